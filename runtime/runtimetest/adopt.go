package runtimetest

import (
	"strings"

	"holon/runtime"
)

func testAdoptAfterClose(h *harness) {
	testAdopt(h, func(old runtime.Runtime) {
		if err := old.Close(); err != nil {
			h.t.Fatalf("close: %v", err)
		}
	})
}

// testAdoptAfterCrash leaves the first value open, as a crash would.
func testAdoptAfterCrash(h *harness) {
	testAdopt(h, func(old runtime.Runtime) { h.t.Cleanup(func() { old.Close() }) })
}

func testAdopt(h *harness, end func(runtime.Runtime)) {
	spec := h.pod(h.container("main", uuid+"; exec sleep 1000"), h.container("done", "echo bye; exit 5"))
	h.ensure(spec)
	before := h.awaitState(spec.ID, "main", 0, runtime.Running)
	log := h.awaitLog(spec.ID, "main", "\n")
	h.awaitState(spec.ID, "done", 0, runtime.Exited)
	ip, _ := h.status(spec.ID)

	end(h.rt)
	h.rt = h.New()

	s, there := h.status(spec.ID)
	if !there {
		h.t.Fatal("the next daemon does not list the pod")
	}
	if s.Namespace != spec.Namespace || s.Name != spec.Name || s.UID != spec.UID || s.Slot != spec.Slot || s.IP != ip.IP || s.Requests != spec.Requests {
		h.t.Errorf("adopted as %+v, was %+v", s, ip)
	}
	if c := find(s, "main"); c.ID != before.ID || c.State != runtime.Running || c.Attempt != 0 {
		h.t.Errorf("adopted container is %+v, was %+v", c, before)
	}
	if c := find(s, "done"); c.State != runtime.Exited || c.ExitCode != 5 {
		h.t.Errorf("adopted container that had exited: %+v", c)
	}
	h.ensure(spec)
	if got := h.logs(spec.ID, "main", all); got != log {
		h.t.Errorf("log is %q after adoption, was %q", got, log)
	}
	if err := h.rt.StartContainer(h.ctx, spec, "done", 1); err != nil {
		h.t.Fatalf("StartContainer by the next daemon: %v", err)
	}
	h.awaitState(spec.ID, "done", 1, runtime.Exited)
	if got := h.logs(spec.ID, "done", runtime.LogOptions{Previous: true, Tail: -1}); !strings.Contains(got, "bye") {
		h.t.Errorf("previous log over a restart is %q", got)
	}
	s, _ = h.status(spec.ID)
	h.Kill(h.t, s, "main")
	if c := h.awaitState(spec.ID, "main", 0, runtime.Exited); c.ExitCode != 137 {
		h.t.Errorf("exit after adoption: %+v, want 137", c)
	}
	h.stop(spec.ID, 0)
	h.gone(spec.ID)
}
