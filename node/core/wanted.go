package core

import (
	"holon/crdt/state"
	"holon/scheduler"
)

// wanted lists the slots of a workload, one per replica in index order, or one per node
// of a DaemonSet, those that were never written included.
func (c *Core) wanted(w *state.Workload) []state.Slot {
	return c.wantedIn(c.sched.booking.view, w)
}

// wantedIn is wanted in another view than the one that is kept.
func (c *Core) wantedIn(view *scheduler.View, w *state.Workload) []state.Slot {
	if w.Daemon() {
		if view == nil || w.Stops {
			return nil
		}
		return view.DaemonSlots(w, c.index.slots[w.UID])
	}
	if w.Paused && c.pausedRevision(w) == "" {
		return nil // as long as it has rolled out nothing
	}
	slots := make([]state.Slot, 0, w.Replicas)
	for index := w.First; index < w.First+w.Replicas; index++ {
		if !w.Counts(index) {
			continue // done, or not yet: of a Job
		}
		s, ok := c.index.slots[w.UID][index]
		if !ok {
			s = state.Slot{ID: state.SlotID{Workload: w.UID, Index: index}, Namespace: w.Namespace, Owner: w.Key}
		}
		slots = append(slots, s)
	}
	return slots
}

// wants reports whether a slot is among those wanted. Before the first plan nobody knows
// of a DaemonSet's, and what runs goes on.
func (c *Core) wants(w *state.Workload, index int) bool {
	if !w.Daemon() || w.Stops {
		return w.Counts(index)
	}
	s, ok := c.index.slots[w.UID][index]
	if !ok {
		s.ID = state.SlotID{Workload: w.UID, Index: index}
	}
	view := c.sched.booking.view
	return view == nil || view.DaemonWants(w, &s)
}
