package core

import (
	"maps"
	"slices"
	"time"

	"holon/crdt/state"
)

// How long a node that refused a run of a slot is not asked again. If the runs
// that it reports were in the way, it is asked as soon as they are gone, after a
// pause where it has refused before; else after the hold, since nobody can see
// what was in the way (another program's port). Both double with each refusal, so
// that a slot does not go to and fro.
const (
	refusalHold     = 30 * time.Second
	refusalHoldMax  = 5 * time.Minute
	refusalPause    = 2 * time.Second
	refusalPauseMax = 30 * time.Second
	refusalForget   = 10 * time.Minute // without another one
)

type refusal struct {
	slot state.SlotID
	node string
}

// refused is what is remembered of the refusals of one slot by one node.
//
//	in force -> lifted (asked again) -> in force, once more -> ...
type refused struct {
	reason    string
	revision  string
	times     int     // of this revision, lately
	seen      Instant // in the node's status, last
	explained bool    // by the runs that the node reported with it
	lifted    bool
}

func (r *refused) hold() time.Duration { return min(refusalHold<<min(r.times-1, 8), refusalHoldMax) }

func (r *refused) pause() time.Duration {
	if r.times == 1 {
		return 0
	}
	return min(refusalPause<<min(r.times-2, 8), refusalPauseMax)
}

// noteRefusals remembers which nodes refuse which slots, so that they are left
// alone also after they have dropped the refused run, and lifts what is over. What
// a node says is read when it is new, and again while something is held against it.
func (c *Core) noteRefusals() {
	s := &c.sched
	due := c.status.heard
	for key := range s.refusals {
		due[key.node] = true
	}
	if c.index.dirtyAll { // somebody may be believed again
		maps.Copy(due, map[string]bool{c.cfg.Node: true})
		for node := range c.status.byNode {
			due[node] = true
		}
	}
	for node := range due { // each has refusals of its own
		if status := c.statusOf(node); status != nil && c.live(node) {
			for i := range status.Runs {
				c.noteRun(status, &status.Runs[i])
			}
		}
	}
	c.status.heard = map[string]bool{}
	for key, r := range s.refusals {
		if r.lifted {
			if c.now >= r.seen+refusalForget {
				delete(s.refusals, key)
			}
			continue
		}
		due := r.seen + r.hold()
		if r.explained && c.roomFor(c.statusOf(key.node), key.slot, r.revision) {
			due = r.seen + r.pause()
		}
		if c.now < due {
			s.again(due)
			continue
		}
		r.lifted = true
		c.index.touchWorkload(key.slot.Workload)
	}
}

// again asks for another plan at t although nothing may have changed.
func (s *schedule) again(t Instant) { s.next = sooner(s.next, t) }

// noteRun takes what a node says of one run. One that it admits is refused no
// more; what went before is forgotten only when the run serves. A run of another
// revision says nothing of it: the former one runs beside the one that is refused.
func (c *Core) noteRun(s *state.NodeStatus, run *state.RunStatus) {
	key := refusal{run.Slot, s.Node}
	r := c.sched.refusals[key]
	if run.Refused == "" && (r == nil || r.revision != run.Revision) || c.over(run) {
		return
	}
	_, before := c.refusedBy(run.Slot, s.Node)
	defer func() {
		if _, now := c.refusedBy(run.Slot, s.Node); now != before {
			c.index.touchWorkload(run.Slot.Workload)
		}
	}()
	switch {
	case run.Refused == "" && run.Ready:
		delete(c.sched.refusals, key)
	case run.Refused == "":
		r.lifted = true
	default:
		if r == nil || r.revision != run.Revision {
			r = &refused{revision: run.Revision, lifted: true}
			c.sched.refusals[key] = r
		}
		if r.lifted {
			r.times, r.lifted, r.explained = r.times+1, false, false
		}
		r.reason, r.seen = run.Refused, c.now
		r.explained = r.explained || !c.roomFor(s, run.Slot, run.Revision)
	}
}

// over reports whether a run is one of a Job that has ended, and is kept for its log.
func (c *Core) over(run *state.RunStatus) bool {
	w := c.index.workloads[run.Slot.Workload]
	return w != nil && w.Job != nil && w.Job.Ended(run.Run) != nil
}

// roomFor reports whether a node, by its own word, has room and ports for a
// revision of a slot beside all that it has not refused. What cannot be judged
// here counts as in the way.
func (c *Core) roomFor(s *state.NodeStatus, slot state.SlotID, revision string) bool {
	template := c.index.template(slot.Workload, revision)
	if s == nil || template == nil {
		return false
	}
	free, want := s.Allocatable, state.HostPorts(&template.Spec, s.HostPortsOnly)
	for i := range s.Runs {
		if s.Runs[i].Refused != "" {
			continue
		}
		other := c.index.template(s.Runs[i].Slot.Workload, s.Runs[i].Revision)
		if other == nil {
			return false
		}
		free = free.Sub(state.Requests(&other.Spec))
		for _, p := range state.HostPorts(&other.Spec, s.HostPortsOnly) {
			if slices.ContainsFunc(want, p.Collides) {
				return false
			}
		}
	}
	need := state.Requests(&template.Spec)
	return need.CPU <= max(free.CPU, 0) && need.Memory <= max(free.Memory, 0) && need.Pods <= free.Pods
}

func (c *Core) refusedBy(slot state.SlotID, node string) (string, bool) {
	r, ok := c.sched.refusals[refusal{slot, node}]
	if !ok || r.lifted {
		return "", false
	}
	if s, exists := c.index.slots[slot.Workload][slot.Index]; exists && s.Run.Revision != r.revision {
		return "", false // it refused another revision
	}
	return r.reason, true
}
