package core

import (
	"slices"

	"holon/crdt"
	"holon/crdt/state"
	"holon/scheduler"
)

// explained keeps what a plan says of a workload.
func (c *Core) explained(uid crdt.UID, plan *scheduler.Plan) {
	if !slices.Equal(c.sched.reasons[uid], plan.Reasons) {
		c.derived.workloads[uid] = true
	}
	c.sched.reasons[uid] = plan.Reasons
	setOrDelete(c.sched.waiting, uid, plan.Waits)
	setOrDelete(c.sched.heeding, uid, plan.Heeds)
}

func setOrDelete(set map[crdt.UID]bool, uid crdt.UID, in bool) {
	if delete(set, uid); in {
		set[uid] = true
	}
}

// explain gives the reasons of a workload's slots, in words.
func (c *Core) explain(w *state.Workload) Explanation {
	e := Explanation{Key: w.Key, workload: w.UID, live: c.sched.booking.live, Majority: c.sched.booking.view != nil && c.sched.booking.view.Majority}
	for _, s := range c.wanted(w) {
		slot := SlotExplanation{Slot: s, StandIn: c.standsIn(&s)}
		if why := c.whyPlaced(w, s.ID.Index); why != "" {
			slot.Reasons = []string{why}
		}
		e.Slots = append(e.Slots, slot)
	}
	return e
}

// whyPlaced is what the last plan said of a slot; empty: it was not planned yet.
func (c *Core) whyPlaced(w *state.Workload, slot int) string {
	reasons := c.sched.reasons[w.UID]
	at := slot - w.First // of a DaemonSet it is elsewhere
	if at < 0 || at >= len(reasons) || reasons[at].Slot.Index != slot {
		at = slices.IndexFunc(reasons, func(r scheduler.Reason) bool { return r.Slot.Index == slot })
	}
	if at < 0 {
		return ""
	}
	return reasons[at].Text
}

// Explanation is why a workload is where it is, from this node's view.
type Explanation struct {
	Key      state.Key
	Majority bool
	Slots    []SlotExplanation
	workload crdt.UID
	live     []string // shared
}

// Order gives the scheduler of the workload and then its standbys.
func (e *Explanation) Order() []string { return scheduler.Order(e.workload, e.live) }

// SlotExplanation is one slot of an Explanation.
type SlotExplanation struct {
	Slot    state.Slot
	StandIn string // who stands in now; Slot keeps the name when that is over
	Reasons []string
}

// assigned is the node that runs a slot in the view of the last plan, or "".
func (c *Core) assigned(s *state.Slot) string {
	w := c.index.workloads[s.ID.Workload]
	if c.sched.booking.view == nil || w == nil {
		return ""
	}
	return c.sched.booking.view.Assigned(w, s)
}

// standsIn is the node that stands in for the home of a slot in this view, until
// the home is ready again and the stand-in stops.
func (c *Core) standsIn(s *state.Slot) string {
	if !s.HasStandIn() {
		return ""
	}
	node := s.StandIn.Node
	if c.assigned(s) == node {
		return node
	}
	if r := c.statusOf(node).Find(state.MakeRunID(s.ID, s.Run.Revision, node, s.Run.Nonce)); r == nil || r.Stopping || !c.live(node) {
		return ""
	}
	return node
}
