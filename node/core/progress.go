package core

import "holon/crdt/state"

// progress is how far the rollout of a Deployment has got, as this node saw it since it
// booted: what counts is more replicas updated, ready or available than ever, or another
// template. (For Kubernetes more than a moment ago counts, so that a pod that crashes again
// and again makes progress for ever.) A rollout that was complete cannot fail any more.
type progress struct {
	revision string
	best     state.Counts
	since    Instant
	complete bool
}

// stalled follows the rollout of a Deployment, and reports whether it has got no further
// for longer than the Deployment allows.
func (c *Core) stalled(w *state.Workload, n state.Counts) bool {
	p, known := c.derived.progress[w.UID]
	if !known || p.revision != w.Revision || w.Paused {
		p = progress{revision: w.Revision, since: c.now}
	}
	best := state.Counts{
		Updated: max(n.Updated, p.best.Updated), Ready: max(n.Ready, p.best.Ready), Available: max(n.Available, p.best.Available),
	}
	if best != p.best {
		p.best, p.since = best, c.now
	}
	p.complete = p.complete || n.Done()
	c.derived.progress[w.UID] = p
	if w.Deadline == 0 || w.Paused || p.complete {
		return false
	}
	due := p.since + w.Deadline
	if c.now >= due {
		return true
	}
	c.sched.alarms.set(w.UID, due)
	c.sched.again(due)
	c.wake(due)
	return false
}
