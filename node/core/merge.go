package core

import (
	"fmt"
	"maps"
	"slices"

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
	c.collapse(key, joined)
	c.keepValid(key, ours, theirs, joined)
}

// saidMax bounds what is said of one merge: a ConfigMap may have thousands of fields.
const saidMax = 8

// lostEdits tells of writes to an object that was deleted meanwhile.
func (c *Core) lostEdits(key state.Key, lost []state.Conflict) {
	for i, l := range lost {
		if i == saidMax {
			c.fact(true, key, "EditLost", "and %d more fields", len(lost)-i)
			return
		}
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
	fresh := slices.DeleteFunc(state.Conflicts(key, joined), func(x state.Conflict) bool { return known[x.Path] || len(x.Losers) == 0 })
	for i, now := range fresh {
		if i == saidMax {
			c.fact(true, key, "FieldConflict", "and %d more fields; see holon conflicts", len(fresh)-i)
			return
		}
		loser := now.Losers[0]
		if _, object := now.LoserOf(); object {
			if !isWorkload(key) { // that of a workload is told of when it is buried
				c.fact(true, key, "NameConflict", "two objects were created under this name, at %s and at %s; the older one stays; see holon conflicts",
					c.nodeOf(now.Winner.Replica), c.nodeOf(loser.Replica))
			}
			continue
		}
		c.fact(true, key, "FieldConflict", "%s: %s, written at %s, wins over %s, written at %s; see holon conflicts",
			now.Field, state.Short(now.Winner.Value), c.nodeOf(now.Winner.Replica), state.Short(loser.Value), c.nodeOf(loser.Replica))
	}
}

// collapse deletes an object that lost its name to one that says the same: nobody
// has to decide anything, also not when one of them is edited later. So does a Lease. Losers among
// workloads are buried with what they run.
func (c *Core) collapse(key state.Key, joined *crdt.Record) {
	live := joined.Live()
	if live == nil || isWorkload(key) {
		return
	}
	for _, uid := range slices.SortedFunc(maps.Keys(joined.Objects), crdt.UID.Compare) {
		if o := joined.Objects[uid]; o == live || o.Dead != nil || state.Decided(key) && state.KeepLoser(joined, uid) != nil {
			continue
		}
		err := c.spareLoser(key, uid)
		if err == nil {
			err = c.write(key, func(rec *crdt.Record, w crdt.Write) (*crdt.Record, error) { return rec.Delete(uid, w) })
		}
		if err != nil {
			c.fact(true, key, "NameConflict", "the younger object %s cannot be deleted: %v", uid, err)
		}
	}
}

func isWorkload(key state.Key) bool {
	return state.Plans(key.Resource())
}

// keepValid stores the last valid form of a workload that two valid edits have
// made invalid together: ours, or theirs if ours was invalid. Of several nodes
// that do so at once one wins, for all.
func (c *Core) keepValid(key state.Key, ours, theirs, joined *crdt.Record) {
	if !isWorkload(key) {
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
	if replica == c.Replica() {
		return c.cfg.Node
	}
	for _, name := range sortedKeys(c.status.byNode) {
		if s := c.status.byNode[name]; s != nil && s.Replica == replica {
			return name
		}
	}
	return fmt.Sprintf("replica %s", replica)
}
