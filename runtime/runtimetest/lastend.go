package runtimetest

import (
	"holon/runtime"
)

// testLastEnd: a status says of the attempt before what the status of that one said when
// it had ended, also to the next daemon; there is nothing to say of the first one.
func testLastEnd(h *harness) {
	spec := h.pod(h.container("main", "exit 3"), h.container("side", forever))
	h.ensure(spec)
	before := h.awaitState(spec.ID, "main", 0, runtime.Exited)
	if before.Last != (runtime.Ended{}) {
		h.t.Fatalf("before the first attempt there was %+v", before.Last)
	}
	for attempt, script := range []string{1: "exit 0", 2: forever, 3: "exit 5", 4: forever} {
		if attempt == 0 {
			continue
		}
		spec.Containers[0] = h.container("main", script)
		if err := h.rt.StartContainer(h.ctx, spec, "main", attempt); err != nil {
			h.t.Fatalf("StartContainer %d: %v", attempt, err)
		}
		if script == forever {
			now := h.awaitState(spec.ID, "main", attempt, runtime.Running)
			h.wantLast(now, before)
			h.rt.Close()
			h.rt = h.New()
			s, _ := h.status(spec.ID)
			h.wantLast(find(s, "main"), before)
			h.Kill(h.t, s, "main")
		}
		now := h.awaitState(spec.ID, "main", attempt, runtime.Exited)
		h.wantLast(now, before)
		before = now
	}
	if before.ExitCode != 137 {
		h.t.Errorf("killed, and said to have ended as %+v", before)
	}
	if side := h.awaitState(spec.ID, "side", 0, runtime.Running); side.Last != (runtime.Ended{}) {
		h.t.Errorf("the other container is said to have ended: %+v", side.Last)
	}
}

// wantLast compares what a status says of the attempt before with what was seen of it.
func (h *harness) wantLast(now, before runtime.ContainerStatus) {
	h.t.Helper()
	have, want := now.Last, before.Ended()
	if !have.StartedAt.Equal(want.StartedAt) || !have.FinishedAt.Equal(want.FinishedAt) {
		h.t.Errorf("attempt %d says that the one before was there from %v to %v, want %v to %v", now.Attempt, have.StartedAt, have.FinishedAt, want.StartedAt, want.FinishedAt)
	}
	have.StartedAt, have.FinishedAt = want.StartedAt, want.FinishedAt // of another time zone, or with a monotonic clock
	if have != want || want == (runtime.Ended{}) {
		h.t.Errorf("attempt %d says of the one before %+v, want %+v", now.Attempt, have, want)
	}
}
