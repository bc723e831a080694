package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/runtime"
)

// Hook is what a container is told once: after its start, which the shell answers with
// Hooked, or before its end, which is part of an Order.
type Hook struct {
	Target
	About   state.Key                // the pod
	Handler *corev1.LifecycleHandler // not to be changed
}

// Hooked tells how a hook after a start went. Output says more of one that failed.
type Hooked struct {
	Hook   Hook
	OK     bool
	Output string
}

// Ending is one attempt of a container that an order ends, and what it is told before;
// nil: nothing.
type Ending struct {
	Container string
	Attempt   int
	PreStop   *Hook
}

// target is where the container at a place in containers() is reached.
func (c *Core) target(r *run, spec *corev1.Container, attempt int) Target {
	return Target{Run: runtime.RunID(r.id), Container: spec.Name, Attempt: attempt, Ports: spec.Ports, IP: c.addressOf(r)}
}

// tellStarted begins the hook of a container that has just started. Until it has
// succeeded the container is not started: what comes after a sidecar waits, and so do
// probes. Main containers start at once; none waits for another one's hook. One that a
// daemon finds running has had its hook: nobody knows better, and twice is worse.
func (c *Core) tellStarted(r *run, spec *corev1.Container, w *watched, adopted bool) {
	if spec.Lifecycle == nil || spec.Lifecycle.PostStart == nil || adopted {
		return
	}
	w.telling = true
	c.out.Hook = append(c.out.Hook, Hook{c.target(r, spec, w.attempt), r.about(), spec.Lifecycle.PostStart})
}

// hooked takes the outcome of a hook. A container whose hook fails is ended, and started
// again if its policy says so.
func (c *Core) hooked(ev Hooked) {
	n := &c.runner
	r := n.runs[state.RunID(ev.Hook.Run)]
	if r == nil {
		return
	}
	w := r.watched[ev.Hook.Container]
	if w == nil || w.attempt != ev.Hook.Attempt || !w.telling {
		return
	}
	w.telling, n.probeAt = false, c.now
	n.stirred[r.id], n.dirty, c.status.dirty = true, true, true
	if !ev.OK && w.running {
		c.fact(true, r.about(), "FailedPostStartHook", "postStart hook of container %s failed: %s", ev.Hook.Container, ev.Output)
		w.condemned = "failed its postStart hook"
	}
}

// ending is that of a container that runs.
func (c *Core) ending(r *run, at int, seen *runtime.ContainerStatus) Ending {
	spec := &r.containers()[at]
	e := Ending{Container: spec.Name, Attempt: seen.Attempt}
	if spec.Lifecycle != nil && spec.Lifecycle.PreStop != nil {
		e.PreStop = &Hook{c.target(r, spec, seen.Attempt), r.about(), spec.Lifecycle.PreStop}
	}
	return e
}

// endings lists the containers of a pod that run, in groups that end one after the other:
// sidecars after all others, the last one first. Nil: they end at once, and there is
// nothing to tell them.
func (c *Core) endings(r *run) (groups [][]Ending) {
	inTurn := false
	groups = [][]Ending{nil}
	for at, spec := range slices.Backward(r.containers()) {
		seen := c.runner.sees(r, spec.Name)
		if seen == nil || seen.State != runtime.Running {
			continue
		}
		e := c.ending(r, at, seen)
		inTurn = inTurn || e.PreStop != nil || r.role(at) == sidecarRole
		if r.role(at) == sidecarRole {
			groups = append(groups, []Ending{e})
		} else {
			groups[0] = append(groups[0], e)
		}
	}
	if !inTurn {
		return nil
	}
	return groups
}
