package scheduler

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/crdt/state/valid"
)

// What a view says of a node is read through a workload's policy: what is one
// workload's lost home, others still wait for. All that follows from time follows
// from View.Now, and Plan.Again says when to look again.

// Expulsion is a NoExecute taint of a node, and since when the node has it.
type Expulsion struct {
	Taint corev1.Taint
	Since time.Duration
}

// healthFor is what a node is to a workload.
func (v *View) healthFor(w *state.Workload, name string) Health {
	n := v.Node(name)
	switch {
	case n == nil:
		return Gone
	case n.Health == Lost && v.lostAt(w, n) <= v.Now:
		return LostLong
	case n.Health == Drained && !n.Silent && w.Daemon():
		return Serving // to those who come with the node
	case n.Health == Serving && v.expelledAt(w, n) <= v.Now && !w.Daemon():
		return Expelling
	}
	return n.Health
}

// lostAfter is how long a home is out of reach before it may move: not before
// somebody may stand in for it.
func (v *View) lostAfter(w *state.Workload) time.Duration {
	lost := v.LostAfter
	if w.LostAfter > 0 {
		lost = w.LostAfter
	}
	if lost == 0 {
		return valid.Never
	}
	return max(lost, w.UnreachableDelay)
}

// lostAt is when a node that is out of reach counts as lost for long. Silence from before
// this view had its majority does not: at the heal of a long split the minority meets the
// others one by one, and moved the homes of those whom it had not met yet.
func (v *View) lostAt(w *state.Workload, n *Node) time.Duration {
	return after(max(n.Since, v.TogetherSince), v.lostAfter(w))
}

// expelledAt is when the taints of a node drive a workload away.
func (v *View) expelledAt(w *state.Workload, n *Node) time.Duration {
	at := valid.Never
	for i := range n.Expels {
		e := &n.Expels[i]
		wait, tolerated := valid.Patience(w.Template.Spec.Tolerations, e.Taint)
		if !tolerated {
			wait = 0
		}
		at = min(at, after(e.Since, wait))
	}
	return at
}

// Leaves reports whether the taints of a node drive a workload away.
func (v *View) Leaves(w *state.Workload, name string) bool {
	return v.healthFor(w, name) == Expelling
}

// Stopped reports whether nobody on this side runs the workload, since this side
// has had no majority for too long.
func (v *View) Stopped(w *state.Workload) bool { return v.Now >= v.stopsAt(w) }

func (v *View) stopsAt(w *state.Workload) time.Duration {
	if v.Majority || v.AloneSince == 0 || w.StopWhenAlone == 0 {
		return valid.Never
	}
	return after(v.AloneSince, w.StopWhenAlone)
}

// replacedAt is when somebody else may run a slot whose home does not serve it.
func (v *View) replacedAt(w *state.Workload, s *state.Slot) time.Duration {
	n := v.Node(s.Home.Node)
	switch {
	case n == nil, v.released(w, s):
	case n.Health == Lost:
		return after(n.Since, v.silence(w))
	case n.Health == Unfit:
		return after(n.Since, w.NotReadyDelay)
	}
	return 0
}

// silence is how long the home of a slot is out of reach before another node runs it.
// A Job that does not say waits as long as its home would take to move: what it does
// may be done once more, but not for every short silence.
func (v *View) silence(w *state.Workload) time.Duration {
	if w.Job != nil && w.UnreachableDelay == 0 {
		return v.lostAfter(w)
	}
	return w.UnreachableDelay
}

// MayStandIn reports whether the stand-in that was named for a slot may run it.
func (v *View) MayStandIn(w *state.Workload, s *state.Slot) bool {
	return v.standsIn(w, s) && v.Away(w, s)
}

// Away reports whether the home of a slot cannot run it, and nobody waits for it.
func (v *View) Away(w *state.Workload, s *state.Slot) bool {
	return !v.serves(w, s.ID, s.Home.Node) && v.replacedAt(w, s) <= v.Now
}

func after(since, wait time.Duration) time.Duration {
	if wait == valid.Never {
		return valid.Never
	}
	return since + wait
}

// turns notes the next instants at which time alone may change what becomes of a
// slot.
func (p *planner) turns(s *state.Slot) {
	v, w := p.v, p.w
	p.turn(v.stopsAt(w))
	for _, name := range []string{s.Home.Node, s.StandIn.Node} {
		n := v.Node(name)
		if n == nil {
			continue
		}
		p.turn(v.expelledAt(w, n))
		if n.Health == Lost {
			p.turn(v.lostAt(w, n))
		}
	}
	p.turn(v.replacedAt(w, s))
}

func (p *planner) turn(at time.Duration) {
	if at != valid.Never && at > p.v.Now && (p.plan.Again == 0 || at < p.plan.Again) {
		p.plan.Again = at
	}
}

// waiting says what a slot waits for whose home nobody replaces yet.
func (p *planner) waiting(s *state.Slot) string {
	why := "home " + s.Home.Node + " is " + p.v.whyNot(p.w, s)
	delay := p.v.silence(p.w)
	if n := p.v.Node(s.Home.Node); n.Health == Unfit {
		delay = p.w.NotReadyDelay
	}
	if delay == valid.Never {
		return why + ", which its toleration puts up with for ever"
	}
	return fmt.Sprintf("%s, and nobody stands in before that has lasted for %v (%s or its toleration)", why, delay, valid.StandInDelayAnnotation)
}
