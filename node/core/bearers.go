package core

import (
	"holon/crdt"
	"holon/crdt/state"
)

// bearers are the objects of one kind that have borne names, for what a node keeps of them on
// its disk: that goes only once it is known that somebody has deleted the object.
type bearers struct {
	// of names the key of every object that a record holds here, dead ones included, and of
	// those that lost their name to an older one in a merge; dead are those that somebody
	// deleted. A loser was deleted by nobody: what is kept of it stays as long as the winner.
	of   map[crdt.UID]state.Key
	dead map[crdt.UID]bool
	uids map[state.Key][]crdt.UID // of one key
}

func newBearers() bearers {
	return bearers{of: map[crdt.UID]state.Key{}, dead: map[crdt.UID]bool{}, uids: map[state.Key][]crdt.UID{}}
}

// follow takes note of a changed record, whose live object bears marks of losers.
func (b *bearers) follow(key state.Key, rec *crdt.Record, losers map[crdt.UID]bool) {
	for _, uid := range b.uids[key] {
		delete(b.of, uid)
		delete(b.dead, uid)
	}
	delete(b.uids, key)
	add := func(uid crdt.UID) { b.of[uid], b.uids[key] = key, append(b.uids[key], uid) }
	if rec != nil {
		for uid, o := range rec.Objects {
			add(uid)
			if o.Dead != nil && !losers[uid] {
				b.dead[uid] = true
			}
		}
	}
	for uid := range losers { // the mark outlives the object
		add(uid)
	}
}

// buried reports whether somebody has deleted an object: its tombstone is here, or it is among
// the last that were purged. What is merely not here is no proof.
func (c *Core) buried(b *bearers, uid crdt.UID) bool {
	_, known := b.of[uid]
	return known && b.dead[uid] || !known && c.departed.known[uid]
}
