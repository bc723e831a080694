package scheduler

import (
	"fmt"
	"time"

	"holon/crdt/state"
	"holon/crdt/state/valid"
)

// Plan is what is to be written for one workload, and why. An empty plan means
// that every slot has somebody who runs it or who nobody can replace in this view.
type Plan struct {
	Decisions []Decision
	Reasons   []Reason // one per slot, in the order of the slots
	Booked    []string // nodes that slots were chosen for, each booked once per slot
	// Waits: a slot found no node. It may once a booking is released, not before,
	// unless it heeds other pods.
	Waits bool
	// Heeds: what runs where of other workloads may let a slot in that waits.
	Heeds bool
	// Again is when time alone may change the plan, 0: never.
	Again time.Duration
}

// Decision names the home or the stand-in of one slot.
type Decision struct {
	Slot    state.SlotID
	Home    *state.Home    // exactly one of the two is set
	StandIn *state.StandIn //
}

// Reason explains the state of one slot in words.
type Reason struct {
	Slot    state.SlotID
	Text    string
	Pending bool // nobody runs the slot and nobody can
}

// Place plans the slots of one workload. slots holds what exists, in index
// order, one per replica; a slot that was never written has an empty home. Every
// slot that somebody runs in this view must be booked on that node before
// (Occupy); Place books what it decides.
func Place(v *View, w *state.Workload, slots []state.Slot) Plan {
	p := planner{v: v, w: w, plan: Plan{Reasons: make([]Reason, 0, len(slots))}}
	for i := range slots {
		p.place(&slots[i])
	}
	return p.plan
}

// planner plans one workload.
type planner struct {
	v          *View
	w          *state.Workload
	plan       Plan
	nodes      []candidate // made when the first slot asks for a node
	wishes     []wishes    // by node; nil: nothing is wished
	hard, soft []spread    // constraints that filter, and that are wishes
	near       company
	together   string // the node that was chosen last
}

// place decides one slot, or leaves it as it is.
//
//	this side runs it no more, or not yet      -> nothing
//	somebody runs it                           -> nothing
//	a stand-in runs it and the home may move   -> the stand-in becomes home
//	nobody runs it, never placed               -> home, term 1
//	nobody runs it, the home may move          -> home, next term
//	nobody runs it, the home may not move      -> stand-in, if the kind gets one
func (p *planner) place(s *state.Slot) {
	p.turns(s)
	v, runner, placed := p.v, p.v.Assigned(p.w, s), s.Home.Node != ""
	moves := placed && runner != s.Home.Node && p.homeMoves(s)
	pin := p.pin(s)
	switch {
	case v.Stopped(p.w):
		p.explain(s, true, fmt.Sprintf("no majority has been seen for %v (%s): it runs here again once there is one", p.w.StopWhenAlone, valid.StopWhenAloneAnnotation))
	case p.w.Daemon():
		p.daemon(s)
	case runner == "" && pin.Missing != "":
		p.explain(s, true, pin.Missing)
	case runner != "" && runner == s.Home.Node && v.healthFor(p.w, runner) != Serving:
		p.explain(s, false, "home is "+runner+", which is "+v.whyNot(p.w, s)+": it stays where its volume is")
	case runner != "" && runner == s.Home.Node:
		p.explain(s, false, "home is "+runner+", which serves")
	case runner != "" && !moves:
		p.explain(s, false, runner+" stands in: home "+s.Home.Node+" is "+v.whyNot(p.w, s)+v.whyStays(p.w, s))
	case runner != "":
		p.decide(Decision{Slot: s.ID, Home: &state.Home{Node: runner, Term: s.Home.Term + 1}})
		p.explain(s, false, "stand-in "+runner+" becomes home: "+s.Home.Node+" is "+v.whyNot(p.w, s))
	case placed && runner == "" && pin.Node == s.Home.Node && v.whyWaits(p.w, s.ID) != "":
		p.explain(s, true, v.whyWaits(p.w, s.ID))
	case placed && !moves && !p.w.StandIn && !v.released(p.w, s):
		p.explain(s, true, "home "+s.Home.Node+" is "+v.whyNot(p.w, s)+" and this kind of workload gets no stand-in")
	case placed && !moves && v.replacedAt(p.w, s) > v.Now:
		p.explain(s, true, p.waiting(s))
	default:
		p.choose(s, !placed || moves)
	}
}

// homeMoves reports whether the cause for which a home does not serve is one
// that may raise its term. A silence that may soon end is none, and neither silence
// nor a drain is where the workload gets no stand-in: that must not run twice, and
// its home may still run it. A StatefulSet's home in reach can be seen to have stopped. Without a majority, or while homes are held, nothing is.
func (p *planner) homeMoves(s *state.Slot) bool {
	switch pin := p.pin(s); {
	case p.v.released(p.w, s):
		return p.v.HomesMove()
	case pin.Node != "":
		return false
	}
	switch p.v.healthFor(p.w, s.Home.Node) {
	case Lost, Unfit:
		return false
	case LostLong:
		return p.v.HomesMove() && p.w.StandIn
	case Drained, Expelling:
		return p.v.HomesMove() && (p.w.StandIn || p.w.Set() && !p.v.Node(s.Home.Node).Silent)
	}
	return p.v.HomesMove()
}

// choose gives a slot that nobody runs to the best node, as its home or else as
// its stand-in.
func (p *planner) choose(s *state.Slot, home bool) {
	why := ""
	if s.Home.Node != "" {
		why = "home " + s.Home.Node + " is " + p.v.whyNot(p.w, s) + "; "
	}
	i := p.best(s)
	if i < 0 {
		if waits := p.v.whyWaits(p.w, s.ID); waits != "" {
			why += waits + "; "
		}
		p.explain(s, true, why+p.summary(s))
		p.plan.Waits, p.plan.Heeds = true, p.heeds()
		return
	}
	c := &p.nodes[i]
	text := fmt.Sprintf("%s%s chosen: %d slots of this workload there before, about %d %% free", why, c.node.Name, c.slots, c.room*roomStep)
	if c.unsteady {
		text += "; it comes and goes, and nobody else fits"
	}
	p.explain(s, false, text)
	if home {
		p.decide(Decision{Slot: s.ID, Home: &state.Home{Node: c.node.Name, Term: s.Home.Term + 1}})
	} else {
		p.decide(Decision{Slot: s.ID, StandIn: &state.StandIn{Node: c.node.Name, Basis: s.Home.Term}})
	}
	p.v.Occupy(p.w, c.node.Name)
	p.plan.Booked = append(p.plan.Booked, c.node.Name)
	p.together = c.node.Name
	p.booked(i)
}

// pin is what the volumes of a slot ask, if those that were chosen for in this plan go
// where they belong.
func (p *planner) pin(s *state.Slot) Pin {
	pin := p.v.pin(p.w, s.ID)
	if pin.Shared && pin.Node == "" {
		pin.Node = p.together
	}
	return pin
}

func (p *planner) decide(d Decision) { p.plan.Decisions = append(p.plan.Decisions, d) }

func (p *planner) explain(s *state.Slot, pending bool, text string) {
	p.plan.Reasons = append(p.plan.Reasons, Reason{Slot: s.ID, Text: text, Pending: pending})
}
