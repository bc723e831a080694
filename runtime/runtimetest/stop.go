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
