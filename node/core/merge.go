package core

import (
	"fmt"

	"holon/crdt"
	"holon/crdt/state"
)

// merged looks at what a join has brought together: it says what is in conflict
// now, what a delete has swallowed, and keeps the last valid form of a workload
// that is invalid as a merge. Those who only receive a merge say nothing of it.
func (c *Core) merged(key state.Key, ours, theirs, joined *crdt.Record) {
	if _, kind := state.KindOf(key.Resource()); kind == "" || ours == nil {
		return
	}
	if ours.Vector.Covers(theirs.Vector) || theirs.Vector.Covers(ours.Vector) {
		return // one side knew all that the other did
	}
	for uid := range joined.Objects {
		c.lostEdits(key, state.LostEdits(ours, theirs, uid))
		c.lostEdits(key, state.LostEdits(theirs, ours, uid))
	}
	c.newConflicts(key, ours, theirs, joined)
	c.keepValid(key, ours, theirs, joined)
}

// lostEdits tells of writes to an object that was deleted meanwhile.
func (c *Core) lostEdits(key state.Key, lost []state.Conflict) {
	for _, l := range lost {
		c.fact(true, key, "EditLost", "%s: %s, written at %s, is lost: the object was deleted at %s meanwhile",
			l.Field, state.Short(l.Losers[0].Value), c.nodeOf(l.Losers[0].Replica), c.nodeOf(l.Winner.Replica))
	}
}

// newConflicts tells of conflicts that neither side had.
func (c *Core) newConflicts(key state.Key, ours, theirs, joined *crdt.Record) {
	known := map[string]bool{}
	for _, rec := range []*crdt.Record{ours, theirs} {
		for _, was := range state.Conflicts(key, rec) {
			known[was.Path] = true
		}
	}
	for _, now := range state.Conflicts(key, joined) {
		if _, object := now.LoserOf(); known[now.Path] || object || len(now.Losers) == 0 {
			continue
		}
		loser := now.Losers[0]
		c.fact(true, key, "FieldConflict", "%s: %s, written at %s, wins over %s, written at %s; see holon conflicts",
			now.Field, state.Short(now.Winner.Value), c.nodeOf(now.Winner.Replica), state.Short(loser.Value), c.nodeOf(loser.Replica))
	}
}

// keepValid stores the last valid form of a workload that two valid edits have
// made invalid together: ours, or theirs if ours was invalid. Of several nodes
// that do so at once one wins, for all.
func (c *Core) keepValid(key state.Key, ours, theirs, joined *crdt.Record) {
	if r := key.Resource(); r != state.Deployments && r != state.Pods {
		return
	}
	live := joined.Live()
	if live == nil || live.Registers[state.ValidPath].Value != nil || state.KeepValid(key, live) != nil {
		return
	}
	kept := state.KeepValid(key, ours.Objects[live.UID])
	if kept == nil {
		kept = state.KeepValid(key, theirs.Objects[live.UID])
	}
	if kept == nil {
		return // it was never valid in this view: nothing is made worse
	}
	if err := c.set(key, live.UID, map[string][]byte{state.ValidPath: kept}); err != nil {
		c.fact(true, key, "MergedInvalid", "the last valid form cannot be kept: %v", err)
		return
	}
	value, err := state.BuildObject(live)
	if err == nil {
		err = state.Judge(key, live, value)
	}
	c.fact(true, key, "MergedInvalid", "edits of two sides of a partition do not fit together, the last valid form runs: %v", err)
}

// nodeOf names the node that writes under a replica ID, if one says so.
func (c *Core) nodeOf(replica crdt.ReplicaID) string {
	if replica == c.cfg.Replica {
		return c.cfg.Node
	}
	for _, name := range sortedKeys(c.status.byNode) {
		if s := c.status.byNode[name]; s != nil && s.Replica == replica {
			return name
		}
	}
	return fmt.Sprintf("replica %s", replica)
}
