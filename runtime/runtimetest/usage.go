package runtimetest

import (
	"fmt"
	"time"

	"holon/runtime"
)

// usage returns what a container uses, and whether that is known.
func (h *harness) usage(id runtime.RunID, container string) (runtime.ContainerUsage, bool) {
	h.t.Helper()
	pods, err := h.rt.Usage(h.ctx)
	if err != nil {
		h.t.Fatalf("Usage: %v", err)
	}
	for _, p := range pods {
		for _, c := range p.Containers {
			if p.ID == id && c.Name == container {
				return c, true
			}
		}
	}
	return runtime.ContainerUsage{}, false
}

// awaitUsage polls until ok is true of what a container uses.
func (h *harness) awaitUsage(id runtime.RunID, container, what string, ok func(runtime.ContainerUsage) bool) runtime.ContainerUsage {
	h.t.Helper()
	var last runtime.ContainerUsage
	h.eventually(what, func() bool {
		u, known := h.usage(id, container)
		last = u
		return known && ok(u)
	}, func() string { return fmt.Sprintf("last usage %+v", last) })
	return last
}

// testUsage: each container has its own time and memory; one that has ended has none,
// and its next attempt begins anew.
func testUsage(h *harness) {
	spec := h.pod(h.container("busy", "while :; do :; done"), h.container("idle", "exec sleep 1000"), h.container("done", "exit 3"))
	h.ensure(spec)
	h.awaitState(spec.ID, "done", 0, runtime.Exited)
	const worked = int64(300 * time.Millisecond)
	h.awaitUsage(spec.ID, "busy", "a busy container computes", func(u runtime.ContainerUsage) bool { return u.CPU > worked && u.Memory > 0 })
	idle := h.awaitUsage(spec.ID, "idle", "an idle container has memory", func(u runtime.ContainerUsage) bool { return u.Memory > 0 })
	if idle.CPU > worked {
		h.t.Errorf("an idle container has computed for %v", time.Duration(idle.CPU))
	}
	if u, known := h.usage(spec.ID, "done"); known {
		h.t.Errorf("a container that has ended uses %+v", u)
	}

	s, _ := h.status(spec.ID)
	h.Kill(h.t, s, "busy")
	h.awaitState(spec.ID, "busy", 0, runtime.Exited)
	if u, known := h.usage(spec.ID, "busy"); known {
		h.t.Errorf("a container that was killed uses %+v", u)
	}
	spec.Containers[0] = h.container("busy", "exec sleep 1000")
	if err := h.rt.StartContainer(h.ctx, spec, "busy", 1); err != nil {
		h.t.Fatalf("StartContainer: %v", err)
	}
	again := h.awaitUsage(spec.ID, "busy", "the next attempt is measured", func(u runtime.ContainerUsage) bool { return u.Memory > 0 })
	if again.Attempt != 1 || again.CPU > worked {
		h.t.Errorf("the next attempt uses %+v", again)
	}
}

// testUsageMemory: what a program holds is in its working set, and what it has read is not.
func testUsageMemory(h *harness) {
	const held = 16 << 20
	fill := fmt.Sprintf("exec sh -c 'x=$(printf %%0%dd 0); echo full; while :; do sleep 1; done'", held)
	spec := h.pod(h.container("holds", fill), h.container("reads", "dd if=/dev/zero of=file bs=65536 count=1024 2>/dev/null; echo full; exec sleep 1000"))
	h.ensure(spec)
	h.awaitLog(spec.ID, "holds", "full")
	h.awaitLog(spec.ID, "reads", "full")
	h.awaitUsage(spec.ID, "holds", "memory that is held is seen", func(u runtime.ContainerUsage) bool { return u.Memory >= held && u.Memory < 16*held })
	h.awaitUsage(spec.ID, "reads", "files are not in the working set", func(u runtime.ContainerUsage) bool { return u.Memory < held })
}

// testDirSize: an empty directory takes next to nothing, and what is not there has no size.
func testDirSize(h *harness) {
	spec := h.pod(h.container("main", "exec sleep 1000"))
	spec.Volumes = []runtime.Volume{{Name: "scratch"}}
	_, err := h.rt.DirSize(h.ctx, spec.ID, "scratch")
	h.wantKind("a volume of no pod", err, runtime.NotFound)
	h.ensure(spec)
	if size, err := h.rt.DirSize(h.ctx, spec.ID, "scratch"); err != nil || size != 0 {
		h.t.Errorf("an empty directory has %d bytes, %v", size, err)
	}
	_, err = h.rt.DirSize(h.ctx, spec.ID, "none")
	h.wantKind("no volume of a pod", err, runtime.NotFound)
}

// testDirSizeOfFiles: files count with what they take of the disk, wherever below they are.
func testDirSizeOfFiles(h *harness) {
	const held = 3 << 20
	dir := h.Path("/holon-scratch")
	c := h.container("main", fmt.Sprintf(`mkdir %s/deep; dd if=/dev/zero of=%s/deep/a bs=65536 count=32 2>/dev/null; dd if=/dev/zero of=%s/b bs=65536 count=16 2>/dev/null
		dd if=/dev/zero of=%s/holes bs=1 count=1 seek=1000000000 2>/dev/null; ln -s / %s/root; sync; echo full; exec sleep 1000`, dir, dir, dir, dir, dir))
	c.Mounts = []runtime.Mount{{Volume: "scratch", Path: "/holon-scratch"}}
	spec := h.pod(c)
	spec.Volumes = []runtime.Volume{{Name: "scratch"}}
	h.ensure(spec)
	h.awaitLog(spec.ID, "main", "full")
	if size, err := h.rt.DirSize(h.ctx, spec.ID, "scratch"); err != nil || size < held || size >= 2*held {
		h.t.Errorf("the directory has %d bytes, %v; 3 MiB were written to it", size, err)
	}
	h.rt.Close()
	h.rt = h.New()
	if size, err := h.rt.DirSize(h.ctx, spec.ID, "scratch"); err != nil || size < held {
		h.t.Errorf("the next daemon finds %d bytes there, %v", size, err)
	}
}
