package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"holon/crdt/state"
)

// rollout moves slots to the present template within the workload's bounds: at
// most MaxSurge slots execute two runs, at most MaxUnavailable have none that is
// available. A slot that serves nobody moves at no cost, and one whose template was
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
		case s.Run.Prev != "" && c.slotAvailable(s, s.Run.Revision):
			deeds = append(deeds, c.setRun(w, s, state.Run{Revision: s.Run.Revision, Nonce: s.Run.Nonce}))
		case s.Run.Prev != "":
			surging++
		}
		if !c.slotAvailable(s, s.Run.Revision) && (s.Run.Prev == "" || !c.slotAvailable(s, s.Run.Prev)) {
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
		case s.Run.Prev != "" && !c.slotAvailable(s, s.Run.Revision):
			next.Prev = s.Run.Prev // the template changed again before the new run was ready
		case s.Run.Prev == "" && !c.slotAvailable(s, s.Run.Revision): // serves nobody
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

// slotAvailable is slotReady for as long as the workload wants.
func (c *Core) slotAvailable(s *state.Slot, revision string) bool {
	return slotSome(s, revision, c.available)
}

// slotReady reports whether some live node has a ready run of a slot at a
// revision.
func (c *Core) slotReady(s *state.Slot, revision string) bool {
	return slotSome(s, revision, c.ready)
}

// slotEither asks of both runs of a slot while it moves to another template.
func (c *Core) slotEither(s *state.Slot, is func(*state.Slot, string) bool) bool {
	return is(s, s.Run.Revision) || s.Run.Prev != "" && is(s, s.Run.Prev)
}

// slotSome asks the nodes that a slot may run on until one says yes.
func slotSome(s *state.Slot, revision string, is func(node string, run state.RunID) bool) bool {
	on := func(node string) bool { return is(node, state.MakeRunID(s.ID, revision, node, s.Run.Nonce)) }
	return on(s.Home.Node) || s.HasStandIn() && on(s.StandIn.Node)
}

// revise stores the present template, unless its rollout waits to be resumed. One that was
// there before, as after an undo, gets the greatest number again. kubectl writes what the
// user says of it a moment later.
func (c *Core) revise(w *state.Workload) []deed {
	if w.OneTemplate() {
		return nil
	}
	r, number := c.index.revisions[w.UID][w.Revision], int64(1)
	for _, other := range c.index.revisions[w.UID] {
		if other.Hash != w.Revision {
			number = max(number, other.Number+1)
		}
	}
	delta := map[string][]byte{}
	switch {
	case r.Template == nil && w.Paused:
		return nil
	case r.Template == nil:
		return []deed{c.newRevision(w, number)}
	case r.Number < number && !w.Paused:
		delta[state.RevisionNumber] = state.EncodeRegister(number)
	}
	if w.Cause != "" && r.Cause != w.Cause {
		delta[state.RevisionCause] = state.EncodeRegister(w.Cause)
	}
	if len(delta) == 0 {
		return nil
	}
	return []deed{{fmt.Sprintf("%s is number %d, %q", r.key, number, w.Cause), func() error { return c.set(r.key, r.uid, delta) }}}
}

// pausedRevision is what slots run that are made while the rollout is paused: what most
// of them run, or else the newest template of former days; "": there was none yet.
func (c *Core) pausedRevision(w *state.Workload) string {
	use := map[string]int{}
	for _, s := range c.index.slots[w.UID] {
		use[s.Run.Revision]++
	}
	var best *revision
	for _, hash := range slices.Sorted(maps.Keys(c.index.revisions[w.UID])) {
		r := c.index.revisions[w.UID][hash]
		if best == nil || cmp.Or(cmp.Compare(use[hash], use[best.Hash]), cmp.Compare(r.Number, best.Number)) > 0 {
			best = &r
		}
	}
	if best == nil {
		return ""
	}
	return best.Hash
}

// forgetRevisions drops the oldest templates that no slot uses. Whoever is out of
// reach may be giving one to a slot meanwhile (seed 55 of the histories).
func (c *Core) forgetRevisions(w *state.Workload) []deed {
	all := c.index.revisions[w.UID]
	if len(all) <= w.Kept || !c.allLive() {
		return nil
	}
	used := map[string]bool{w.Revision: true}
	for _, s := range c.index.slots[w.UID] {
		used[s.Run.Revision], used[s.Run.Prev] = true, true
	}
	var idle []revision
	for _, r := range all {
		if !used[r.Hash] {
			idle = append(idle, r)
		}
	}
	slices.SortFunc(idle, func(a, b revision) int { return cmp.Or(cmp.Compare(b.Number, a.Number), b.born.Compare(a.born)) })
	var deeds []deed
	for _, r := range idle[min(len(idle), w.Kept):] {
		deeds = append(deeds, deed{"forget " + string(r.key), func() error { return c.bury(r.key) }})
	}
	return deeds
}
