package core

import (
	"fmt"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
	"holon/scheduler"
)

// A slot of a StatefulSet must not run twice where somebody can see it. So it has no
// handover: whoever is to run it waits until no live node says that it runs it, and
// whoever has it stops once the other one is there to take it. A stand-in, where one
// is allowed, gives way in the same order.

// takenElsewhere reports whether a slot must not start here, since another live node
// runs it, or has not said yet since it was out of reach that it does not. A node that
// refuses it has not let go of it before it says nothing of it any more, but a
// stand-in need not wait for a home that cannot.
func (c *Core) takenElsewhere(s *state.Slot) bool {
	if c.begun(s) || c.cfg.Ablate == SetRule {
		return false
	}
	atHome := s.Home.Node == c.cfg.Node
	for name, b := range c.members.byName {
		if name == c.cfg.Node || b.Left || !c.live(name) {
			continue
		}
		if !c.status.fresh[name] || c.mentions(name, s.ID, atHome) {
			c.runner.held[s.ID.Workload] = true
			return true
		}
	}
	return false
}

// begun reports whether the present run of a slot is here already, or may be, as it was
// ordered and nothing has been seen since.
func (c *Core) begun(s *state.Slot) bool {
	id := state.MakeRunID(s.ID, s.Run.Revision, c.cfg.Node, s.Run.Nonce)
	r := c.runner.runs[id]
	return c.runner.seen[id].ID != "" || r != nil && r.ensured != 0 && !r.stopped
}

// mentions reports whether a node says something of a slot; refusals: also that it
// refuses it.
func (c *Core) mentions(node string, slot state.SlotID, refusals bool) bool {
	return slices.ContainsFunc(c.status.runs[slot.Workload][node], func(r *state.RunStatus) bool {
		return r.Slot == slot && (r.Refused == "" || refusals)
	})
}

// unsettleHeld has those who wait for word of other nodes judged again.
func (n *runner) unsettleHeld() {
	for uid := range n.held {
		n.unsure[uid], n.dirty = true, true
	}
	n.held = map[crdt.UID]bool{}
}

// keepsSet reports whether a run of a set's slot goes on here although it belongs
// elsewhere: until somebody else can have it.
func (c *Core) keepsSet(w *state.Workload, r *run, s *state.Slot) bool {
	if c.runner.seen[r.id].ID == "" {
		return false // it starts where it belongs
	}
	at := c.assigned(s)
	if at == "" || at == c.cfg.Node {
		return true
	}
	return !c.handsBack(w, r, s, true)
}

// lingers reports whether a run goes on that is not wanted any more, because slots above
// it are not gone yet: an ordered set shrinks from the top.
func (c *Core) lingers(w *state.Workload, r *run) bool {
	if !w.InOrder || c.runner.seen[r.id].ID == "" || w.First > r.slot.ID.Index {
		return false
	}
	for node, runs := range c.status.runs[w.UID] {
		if !c.live(node) {
			continue
		}
		for _, o := range runs {
			if o.Slot.Index > r.slot.ID.Index && !w.Counts(o.Slot.Index) {
				return true
			}
		}
	}
	return false
}

// place plans the slots of a workload, but for those of a set whose turn has not come.
func (c *Core) place(view *scheduler.View, w *state.Workload, slots []state.Slot) scheduler.Plan {
	if !w.Set() {
		return scheduler.Place(view, w, slots)
	}
	var open []state.Slot
	var held []scheduler.Reason
	for i, why := range c.turns(view, w, slots) {
		if why == "" {
			open = append(open, slots[i])
		} else {
			held = append(held, scheduler.Reason{Slot: slots[i].ID, Text: why, Pending: slots[i].Home.Node == ""})
		}
	}
	plan := scheduler.Place(view, w, open)
	plan.Reasons = slices.Concat(plan.Reasons, held)
	slices.SortFunc(plan.Reasons, func(a, b scheduler.Reason) int { return a.Slot.Index - b.Slot.Index })
	return plan
}

// turns says of each slot of a set what it waits for; "": for nothing. In an ordered set
// one that has never run waits until all below it are ready. One that is ready and shall
// move waits while any other is not, or moves: in between nobody runs it.
func (c *Core) turns(view *scheduler.View, w *state.Workload, slots []state.Slot) []string {
	why, waitsFor, unready := make([]string, len(slots)), -1, 0
	for i := range slots {
		s := &slots[i]
		ready := s.Home.Node != "" && c.slotAvailable(s, s.Run.Revision)
		if s.Home.Node == "" && w.InOrder && waitsFor >= 0 {
			why[i] = fmt.Sprintf("starts once %s is ready", state.SetPodName(w.Name, waitsFor))
		}
		if !ready {
			unready++
			if waitsFor < 0 {
				waitsFor = s.ID.Index
			}
		}
	}
	for i := range slots {
		s := &slots[i]
		if s.Home.Node == "" || !c.slotReadyOn(s, s.Home.Node) || view.Assigned(w, s) != "" {
			continue
		}
		if unready > 0 {
			why[i] = s.Home.Node + " shall not run it any more; it moves once all other slots are ready"
		}
		unready++
	}
	return why
}

// rolloutSet gives the slots of a set the present template: from the highest ordinal
// down to the partition, each ready before the next. In place: the old run stops, then
// the new one starts. A slot whose template was forgotten on the other side of a split
// moves in any case.
func (c *Core) rolloutSet(w *state.Workload, slots []state.Slot) (deeds []deed) {
	down, mayMove := 0, !w.OnDelete
	for i := len(slots) - 1; i >= 0; i-- {
		s := &slots[i]
		if s.Home.Node == "" {
			continue
		}
		lost := c.index.template(w.UID, s.Run.Revision) == nil
		mayMove = mayMove && s.ID.Index >= w.Partition && down < w.MaxUnavailable
		if s.Run.Revision != w.Revision && (mayMove || lost) {
			deeds = append(deeds, c.setRun(w, s, state.Run{Revision: w.Revision, Nonce: s.Run.Nonce}))
			down++
		} else if !c.slotAvailable(s, s.Run.Revision) {
			down++
		}
	}
	return deeds
}

// currentRevision is the one that slots below the partition have: what the lowest
// placed slot runs that has not got the present one.
func (c *Core) currentRevision(w *state.Workload) string {
	for i := range w.Replicas {
		if s := c.index.slots[w.UID][w.First+i]; s.Run.Revision != "" && s.Run.Revision != w.Revision {
			return s.Run.Revision
		}
	}
	return w.Revision
}

// firstRevision is what a slot runs that is made now.
func (c *Core) firstRevision(w *state.Workload, index int) string {
	if w.Set() && !w.OnDelete && index < w.Partition {
		return c.currentRevision(w)
	}
	if w.Paused {
		return c.pausedRevision(w)
	}
	return w.Revision
}

// renew gives a slot a new run: its pod was deleted by a user. Where templates are
// exchanged by that alone, it gets the present one.
func (c *Core) renew(w *state.Workload, s *state.Slot) error {
	run := s.Run
	run.Nonce++
	if w != nil && w.OnDelete && c.index.revisions[w.UID][w.Revision].Template != nil {
		run.Revision, run.Prev = w.Revision, ""
	}
	return c.set(state.SlotKey(s.Namespace, s.ID), s.UID, map[string][]byte{state.SlotRun: state.EncodeRegister(run)})
}

// nextInOrder reports whether all slots below one that was never placed have been.
func (c *Core) nextInOrder(w *state.Workload, index int) bool {
	return index == w.First || c.index.slots[w.UID][index-1].Home.Node != ""
}
