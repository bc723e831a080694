package core

import (
	"holon/crdt"
	"holon/crdt/state"
)

// wantRuns marks the runs that belong here now, of the workloads of which that may
// have changed.
func (c *Core) wantRuns() {
	n, due := &c.runner, c.runner.unsure
	n.unsure = map[crdt.UID]bool{}
	if n.unsureAll {
		n.unsureAll = false
		for uid := range c.index.here {
			due[uid] = true
		}
		for uid := range n.of {
			due[uid] = true
		}
	}
	for uid := range due { // a run is of one workload: their order does not matter
		c.wantWorkload(uid)
	}
}

func (c *Core) wantWorkload(uid crdt.UID) {
	n := &c.runner
	var before []*run
	for _, r := range n.of[uid] {
		if r.wanted {
			before = append(before, r)
		}
		r.wanted, r.kept = false, false
	}
	if w := c.index.workloads[uid]; w != nil && !n.stopping && !c.sched.booking.view.Stopped(w) {
		for i := range c.index.here[uid] {
			if c.wants(w, i) {
				c.wantSlot(w, c.index.slots[uid][i])
			}
		}
		for _, r := range n.of[uid] {
			r.wanted = r.wanted || c.handover(r)
		}
		if !w.Stops {
			c.keepEnded(w)
		}
	}
	for _, r := range n.of[uid] {
		n.stirred[r.id] = true
	}
	for _, r := range before {
		if !r.wanted {
			r.retryAt = 0 // it waited to start; nothing waits to stop
			n.letGo(r)
		}
	}
}

// unsettleRuns has what is wanted here judged again where it may depend on one of
// the workloads.
func (c *Core) unsettleRuns(workloads map[crdt.UID]bool) {
	n := &c.runner
	for uid := range workloads {
		if len(c.index.here[uid])+len(n.of[uid]) > 0 {
			n.unsure[uid], n.dirty = true, true
		}
	}
	n.dirty = n.dirty || len(n.strangers) > 0 && len(workloads) > 0
}

// wantSlot adds the runs of a slot that this node is to execute: as its home, or
// as its stand-in while the home is away. What a stand-in has started goes on
// until the home is ready (handover); a stand-in left over from an outage that is
// over starts nothing.
func (c *Core) wantSlot(w *state.Workload, s state.Slot) {
	switch {
	case s.Home.Node == c.cfg.Node:
		if c.leaves(w) && s.HasStandIn() && c.slotReadyOn(&s, s.StandIn.Node) {
			return
		}
	case s.HasStandIn() && s.StandIn.Node == c.cfg.Node && c.sched.booking.view.MayStandIn(w, &s):
	default:
		return
	}
	if w.Set() && c.takenElsewhere(&s) {
		return
	}
	for _, revision := range []string{s.Run.Revision, s.Run.Prev} {
		if revision == "" {
			continue
		}
		template := c.index.template(w.UID, revision)
		id := state.MakeRunID(s.ID, revision, c.cfg.Node, s.Run.Nonce)
		if w.Job != nil && w.Job.Spent(s.ID.Index, s.Run.Nonce) {
			continue
		}
		r := c.runner.runs[id]
		if template == nil { // on its way: the workload's newer one was here first
			if r != nil && r.slot.ID == s.ID { // not an orphan that is being stopped
				r.wanted = true
			}
			continue
		}
		if c.misplaced(w, template, s.ID.Index, id) {
			continue
		}
		if r == nil {
			if c.runner.draining && c.runner.seen[id].ID == "" {
				continue // nothing new starts on a node that is going down
			}
			r = &run{id: id, restart: map[string]*backoff{}, stale: shows(template, "", "")}
		}
		if r.created == "" { // it is new, or came before this node knew any time
			r.created = c.createdAt(id)
		}
		c.runner.put(r, s)
		r.workload, r.revision, r.template, r.wanted = w, revision, template, true
	}
}

// createdAt is when a run came to be here: what its pod was made with, if there is one.
func (c *Core) createdAt(id state.RunID) string {
	if pod := c.runner.seen[id]; pod.ID != "" {
		return pod.CreatedAt
	}
	return c.display()
}

// drained reports whether this node's slots shall move away: because it goes down,
// or because its record says so. In the latter case it is there to stay, and starts
// again what has nowhere else to go.
func (c *Core) drained() bool { return c.runner.draining || c.index.nodes[c.cfg.Node].Drain }

// leaves reports whether the slots of one workload shall move away from here.
func (c *Core) leaves(w *state.Workload) bool {
	return c.drained() || c.sched.booking.view.Leaves(w, c.cfg.Node)
}

func (c *Core) slotReadyOn(s *state.Slot, node string) bool {
	return node != "" && c.ready(node, state.MakeRunID(s.ID, s.Run.Revision, node, s.Run.Nonce))
}

// readyOn reports whether a node has a ready run of a slot, of either revision.
func (c *Core) readyOn(s *state.Slot, node string) bool {
	return c.slotReadyOn(s, node) || s.Run.Prev != "" && c.ready(node, state.MakeRunID(s.ID, s.Run.Prev, node, s.Run.Nonce))
}

// handover reports whether a run that is not wanted here any more goes on until
// its successor elsewhere is ready: nobody stops before the next one serves.
func (c *Core) handover(r *run) bool {
	w := c.index.workloads[r.slot.ID.Workload]
	if w == nil || r.stopped || r.refused != "" {
		return false
	}
	if c.misplaced(w, r.template, r.slot.ID.Index, r.id) {
		return false
	}
	if !c.wants(w, r.slot.ID.Index) {
		return c.lingers(w, r)
	}
	s, ok := c.index.slots[w.UID][r.slot.ID.Index]
	if !ok || s.Run.Nonce != r.slot.Run.Nonce || (r.revision != s.Run.Revision && r.revision != s.Run.Prev) {
		return false // the pod was deleted, or its revision is over
	}
	if s.Home.Node == c.cfg.Node {
		return false
	}
	if w.Set() {
		return c.keepsSet(w, r, &s)
	}
	if s.HasStandIn() && s.StandIn.Node != c.cfg.Node && c.slotReadyOn(&s, s.StandIn.Node) {
		return false
	}
	return !c.handsBack(w, r, &s, c.slotReadyOn(&s, s.Home.Node))
}

// handsBack reports whether the home of a slot has been ready for long enough, as far
// as this node could see, that a run elsewhere stops. Only a stand-in waits.
func (c *Core) handsBack(w *state.Workload, r *run, s *state.Slot, ready bool) bool {
	if !ready {
		r.back = 0
		return false
	}
	if r.back == 0 {
		r.back = c.now
	}
	if !s.HasStandIn() || s.StandIn.Node != c.cfg.Node || c.now >= r.back+w.Handback {
		return true
	}
	c.sched.alarms.set(w.UID, r.back+w.Handback)
	c.sched.again(r.back + w.Handback)
	c.wake(r.back + w.Handback)
	return false
}
