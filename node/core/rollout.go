package core

import (
	"fmt"
	"slices"

	"holon/crdt/state"
)

// revisionsKept is how many templates of a workload are kept besides those in
// use, as Kubernetes' revisionHistoryLimit.
const revisionsKept = 10

// rollout moves slots to the present template within the workload's bounds: at
// most MaxSurge slots execute two runs, at most MaxUnavailable have none that is
// ready. A slot that serves nobody moves at no cost, and one whose template was
// forgotten on the other side of a split must, though the rollout is paused. slots
// are those wanted.
func (c *Core) rollout(w *state.Workload, slots []state.Slot) []deed {
	if w.Set() {
		return c.rolloutSet(w, slots)
	}
	var deeds []deed
	maxSurge, maxUnavailable := w.Bounds(len(slots))
	surging, unavailable := 0, 0
	for i := range slots {
		s := &slots[i]
		switch {
		case s.Home.Node == "":
			unavailable++
			continue
		case s.Run.Prev != "" && c.slotReady(s, s.Run.Revision):
			deeds = append(deeds, c.setRun(w, s, state.Run{Revision: s.Run.Revision, Nonce: s.Run.Nonce}))
		case s.Run.Prev != "":
			surging++
		}
		if !c.slotReady(s, s.Run.Revision) && (s.Run.Prev == "" || !c.slotReady(s, s.Run.Prev)) {
			unavailable++
		}
	}
	for i := range slots {
		s := &slots[i]
		if s.Home.Node == "" || s.Run.Revision == w.Revision || (w.Paused || w.OnDelete) && c.index.template(w.UID, s.Run.Revision) != nil {
			continue
		}
		next := state.Run{Revision: w.Revision, Nonce: s.Run.Nonce}
		switch {
		case s.Run.Prev == w.Revision: // back to what still runs
		case s.Run.Prev != "" && !c.slotReady(s, s.Run.Revision):
			next.Prev = s.Run.Prev // the template changed again before the new run was ready
		case s.Run.Prev == "" && !c.slotReady(s, s.Run.Revision): // serves nobody
		case surging < maxSurge:
			next.Prev = s.Run.Revision
			surging++
		case unavailable < maxUnavailable:
			unavailable++
		default:
			continue
		}
		deeds = append(deeds, c.setRun(w, s, next))
	}
	return deeds
}

func (c *Core) setRun(w *state.Workload, s *state.Slot, run state.Run) deed {
	key := state.SlotKey(w.Namespace, s.ID)
	return deed{fmt.Sprintf("%s run %s/%d after %q", key, run.Revision, run.Nonce, run.Prev), func() error {
		return c.set(key, s.UID, map[string][]byte{state.SlotRun: state.EncodeRegister(run)})
	}}
}

// slotReady reports whether some live node has a ready run of a slot at a
// revision.
func (c *Core) slotReady(s *state.Slot, revision string) bool {
	if c.ready(s.Home.Node, state.MakeRunID(s.ID, revision, s.Home.Node, s.Run.Nonce)) {
		return true
	}
	return s.HasStandIn() && c.ready(s.StandIn.Node, state.MakeRunID(s.ID, revision, s.StandIn.Node, s.Run.Nonce))
}

// forgetRevisions drops the oldest templates that no slot uses. Whoever is out of
// reach may be giving one to a slot meanwhile (seed 55 of the histories).
func (c *Core) forgetRevisions(w *state.Workload) []deed {
	all := c.index.revisions[w.UID]
	if len(all) <= revisionsKept || !c.allLive() {
		return nil
	}
	used := map[string]bool{w.Revision: true}
	for _, s := range c.index.slots[w.UID] {
		used[s.Run.Revision], used[s.Run.Prev] = true, true
	}
	var idle []revision
	for _, r := range all {
		if !used[r.hash] {
			idle = append(idle, r)
		}
	}
	slices.SortFunc(idle, func(a, b revision) int { return b.born.Compare(a.born) })
	var deeds []deed
	for _, r := range idle[min(len(idle), revisionsKept):] {
		deeds = append(deeds, deed{"forget " + string(r.key), func() error { return c.bury(r.key) }})
	}
	return deeds
}
