package core

import (
	"fmt"
	"maps"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
)

// gone reports whether a workload is retired and still owns slots, revisions or Jobs,
// or lost its name and was not deleted.
func (c *Core) gone(uid crdt.UID) bool {
	x := &c.index
	if x.owns(uid) {
		c.orphaned(uid)
		return x.retired[uid]
	}
	_, lost := x.losers[uid]
	return lost
}

// orphaned retires a workload of which slots, revisions or Jobs are left, but not even
// a tombstone: one that the context says this node has had. By I2 it was deleted
// and purged since. What is left was written by a node that did not know.
func (c *Core) orphaned(uid crdt.UID) {
	x := &c.index
	if x.retired[uid] || x.bears(uid) || c.cfg.Ablate == OrphanRule {
		return
	}
	gone := func(owner state.Key, birth crdt.Dot) bool {
		if owner == "" || !c.store.context.Has(birth) {
			return false
		}
		rec := c.store.record(owner)
		return rec == nil || rec.Objects[uid] == nil
	}
	for _, s := range x.slots[uid] {
		x.retired[uid] = x.retired[uid] || gone(s.Owner, s.OwnerBirth)
	}
	for _, r := range x.revisions[uid] {
		x.retired[uid] = x.retired[uid] || gone(r.owner, r.birth)
	}
	for _, j := range x.owned[uid] {
		x.retired[uid] = x.retired[uid] || gone(j.owner, j.birth)
	}
	if x.retired[uid] {
		c.store.count.Orphans++
	}
}

// burials removes what a retired workload left behind. One that lost its name is
// deleted itself, and first: its slots cannot be made again, so it must not come
// back when the winner is deleted (seed 42 of the histories).
func (c *Core) burials(uid crdt.UID) []deed {
	var deeds []deed
	if key, ok := c.index.losers[uid]; ok {
		deeds = append(deeds, deed{fmt.Sprintf("delete the younger %s %s", key, uid), func() error {
			return c.buryLoser(key, uid)
		}})
	}
	for _, w := range c.index.jobsOf(uid) {
		if !w.Deleting {
			deeds = append(deeds, deed{"bury " + string(w.Key), func() error { return c.end(w.Key, state.Background) }})
		}
	}
	for _, i := range slices.Sorted(maps.Keys(c.index.slots[uid])) {
		s := c.index.slots[uid][i]
		key := state.SlotKey(s.Namespace, s.ID)
		deeds = append(deeds, deed{"bury " + string(key), func() error { return c.bury(key) }})
	}
	for _, hash := range slices.Sorted(maps.Keys(c.index.revisions[uid])) {
		key := c.index.revisions[uid][hash].key
		deeds = append(deeds, deed{"bury " + string(key), func() error { return c.bury(key) }})
	}
	return deeds
}

// buryLoser deletes an object that lost its name, and keeps in the winner what it
// said, if that was something else.
func (c *Core) buryLoser(key state.Key, uid crdt.UID) error {
	rec := c.store.record(key)
	kept := state.KeepLoser(rec, uid)
	if results := state.Results(rec.Objects[uid], rec.Live()); len(results) > 0 {
		if err := c.set(key, rec.Live().UID, results); err != nil {
			return err
		}
	}
	if err := c.write(key, func(rec *crdt.Record, at crdt.Write) (*crdt.Record, error) { return rec.Delete(uid, at) }); err != nil {
		return err
	}
	if kept == nil {
		return nil // nobody has to decide anything
	}
	c.fact(true, key, "NameConflict", "two objects were created under this name; the older one stays, %s is deleted; see holon conflicts", uid)
	if err := c.set(key, rec.Live().UID, map[string][]byte{state.ConflictPath(uid): kept}); err != nil {
		c.fact(true, key, "NameConflict", "what %s said is lost: %v", uid, err)
	}
	return nil
}
