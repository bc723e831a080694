package runtimetest

import (
	"strings"
	"sync"
	"time"

	"holon/runtime"
)

func testStopGraceful(h *harness) {
	spec := h.pod(
		h.container("main", "trap 'echo term seen; exit 0' TERM; echo ready; while :; do sleep 0.05; done"),
		h.container("gone", "exit 0"))
	h.ensure(spec)
	h.awaitLog(spec.ID, "main", "ready")
	h.awaitState(spec.ID, "gone", 0, runtime.Exited)

	var log syncBuffer
	following := make(chan error, 1)
	go func() {
		following <- h.rt.Logs(h.ctx, spec.ID, "main", runtime.LogOptions{Follow: true, Tail: -1}, &log)
	}()
	h.eventually("the follower has begun", func() bool { return strings.Contains(log.String(), "ready") }, log.String)

	start := time.Now()
	h.stop(spec.ID, time.Minute)
	if took := time.Since(start); took > 30*time.Second {
		h.t.Errorf("stopping a container that obeys SIGTERM took %v", took)
	}
	h.gone(spec.ID)
	select {
	case err := <-following:
		if err != nil {
			h.t.Errorf("the follower ended with %v, want nil", err)
		}
	case <-time.After(h.Patience):
		h.t.Fatal("the follower does not end with its container")
	}
	if !strings.Contains(log.String(), "term seen") {
		h.t.Errorf("the follower got %q, want the words after SIGTERM too", log.String())
	}
}

func testStopForced(h *harness) {
	spec := h.pod(h.container("main", "trap '' TERM; echo ready; while :; do sleep 0.05; done"))
	h.ensure(spec)
	h.awaitLog(spec.ID, "main", "ready")
	const grace = time.Second
	start := time.Now()
	h.stop(spec.ID, grace)
	// Half the grace: runtimes may count whole seconds, or round.
	if took := time.Since(start); took < grace/2 || took > grace+h.Patience {
		h.t.Errorf("a container that ignores SIGTERM was stopped after %v, grace is %v", took, grace)
	}
	h.gone(spec.ID)
}

func testStopIdempotent(h *harness) {
	h.stop("nosuchpod", time.Second)
	spec := h.pod(h.container("main", forever))
	h.ensure(spec)
	h.awaitState(spec.ID, "main", 0, runtime.Running)
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { errs[i] = h.rt.StopPod(h.ctx, spec.ID, 0) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			h.t.Errorf("StopPod at the same time as others: %v", err)
		}
	}
	h.gone(spec.ID)
	h.stop(spec.ID, 0)

	// The name is free again: the same order makes a new pod.
	h.ensure(spec)
	h.awaitState(spec.ID, "main", 0, runtime.Running)
}

// gone fails the test if anything is left of a pod.
func (h *harness) gone(id runtime.RunID) {
	h.t.Helper()
	if s, there := h.status(id); there {
		h.t.Fatalf("still listed: %+v", s)
	}
	h.wantKind("Logs after StopPod", h.rt.Logs(h.ctx, id, "main", all, &syncBuffer{}), runtime.NotFound)
}

// testStopContainer: one attempt ends, with SIGTERM or else by force; the container
// can be started again, its neighbour goes on, and older attempts mean nothing.
func testStopContainer(h *harness) {
	spec := h.pod(
		h.container("obeys", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"),
		h.container("stubborn", "trap '' TERM; echo ready; while :; do sleep 0.05; done"),
		h.container("neighbour", forever))
	h.ensure(spec)
	h.awaitLog(spec.ID, "obeys", "ready")
	h.awaitLog(spec.ID, "stubborn", "ready")
	before := h.awaitState(spec.ID, "neighbour", 0, runtime.Running)
	end := func(container string, attempt int, grace time.Duration) {
		h.t.Helper()
		if err := h.rt.StopContainer(h.ctx, spec.ID, container, attempt, grace); err != nil {
			h.t.Fatalf("StopContainer: %v", err)
		}
	}
	end("obeys", 0, time.Minute)
	if c := h.awaitState(spec.ID, "obeys", 0, runtime.Exited); c.ExitCode != 7 {
		h.t.Errorf("a container that obeys SIGTERM with exit code 7 is reported with %d", c.ExitCode)
	}
	end("obeys", 0, time.Minute)
	end("stubborn", 0, time.Second)
	if c := h.awaitState(spec.ID, "stubborn", 0, runtime.Exited); c.ExitCode != 137 {
		h.t.Errorf("a killed container is reported with exit code %d, want 137", c.ExitCode)
	}
	if err := h.rt.StartContainer(h.ctx, spec, "obeys", 1); err != nil {
		h.t.Fatalf("StartContainer: %v", err)
	}
	h.awaitState(spec.ID, "obeys", 1, runtime.Running)
	end("obeys", 0, 0) // an order of before the restart
	end("nobody", 0, 0)
	h.awaitState(spec.ID, "obeys", 1, runtime.Running)
	if after := h.awaitState(spec.ID, "neighbour", 0, runtime.Running); after.ID != before.ID {
		h.t.Errorf("its neighbour is now %+v, was %+v", after, before)
	}
	h.stop(spec.ID, 0)
	end("obeys", 1, 0)
}
