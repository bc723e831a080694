package core

import (
	"maps"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
)

// The makings of what is shown of StatefulSets, DaemonSets and their revisions.
type (
	madeStatefulSet struct {
		workload *state.Workload
		counts   state.SetCounts
		token    uint64
	}
	madeDaemonSet struct {
		workload *state.Workload
		counts   state.DaemonCounts
		token    uint64
	}
	madeRevision struct {
		revision state.Revision
		born     crdt.Stamp
		owner    crdt.UID
	}
)

func (c *Core) deriveSet(w *state.Workload, shown map[state.Key]bool) {
	n := state.SetCounts{CurrentRevision: c.currentRevision(w)}
	for _, s := range c.wanted(w) {
		if s.Home.Node == "" {
			continue
		}
		n.Placed++
		n.Ready += count(c.slotReady(&s, s.Run.Revision))
		n.Available += count(c.slotAvailable(&s, s.Run.Revision))
		n.Updated += count(s.Run.Revision == w.Revision)
		n.Current += count(s.Run.Revision == n.CurrentRevision)
	}
	n.Placed += c.excess(w)
	token := c.store.entries[w.Key].token
	shown[w.Key] = true
	if !c.derived.shownAs(w.Key, madeStatefulSet{w, n, token}) {
		c.publish(w.Key, state.StatefulSetFace(w, n), token)
	}
	c.deriveRevisions(w, shown)
}

// excess counts the slots that are not wanted any more and that some node in sight
// still has.
func (c *Core) excess(w *state.Workload) int {
	slots := map[int]bool{}
	for node, runs := range c.status.runs[w.UID] {
		for _, r := range runs {
			if c.live(node) && !c.wants(w, r.Slot.Index) {
				slots[r.Slot.Index] = true
			}
		}
	}
	return len(slots)
}

func (c *Core) deriveDaemon(w *state.Workload, shown map[state.Key]bool) {
	n := state.DaemonCounts{Misplaced: c.excess(w)}
	for _, s := range c.wanted(w) {
		n.Wanted++
		if s.Home.Node == "" {
			continue
		}
		n.Placed++
		n.Ready += count(c.slotEither(&s, c.slotReady))
		n.Available += count(c.slotEither(&s, c.slotAvailable))
		n.Updated += count(s.Run.Revision == w.Revision && s.Run.Prev == "")
	}
	token := c.store.entries[w.Key].token
	shown[w.Key] = true
	if !c.derived.shownAs(w.Key, madeDaemonSet{w, n, token}) {
		c.publish(w.Key, state.DaemonSetFace(w, n), token)
	}
	c.deriveRevisions(w, shown)
}

// deriveRevisions shows the templates of a workload as ControllerRevisions.
func (c *Core) deriveRevisions(w *state.Workload, shown map[state.Key]bool) {
	for _, hash := range slices.Sorted(maps.Keys(c.index.revisions[w.UID])) {
		r := c.index.revisions[w.UID][hash]
		key := state.MakeKey(state.ControllerRevisions, w.Namespace, state.RevisionName(w, hash))
		shown[key] = true
		if c.derived.shownAs(key, madeRevision{r.Revision, r.born, w.ObjectUID}) {
			continue
		}
		face, err := state.ControllerRevisionFace(w, &r.Revision)
		if err != nil {
			c.fact(true, w.Key, "InvalidTemplate", "%v", err)
			continue
		}
		c.publish(key, face, 0)
	}
}

// showsSlot reports whether one of the pods is of a slot.
func showsSlot(pods []state.PodFace, slot state.SlotID) bool {
	return slices.ContainsFunc(pods, func(f state.PodFace) bool { return f.Slot == slot })
}
