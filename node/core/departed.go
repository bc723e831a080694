package core

import (
	"encoding/binary"

	"holon/crdt"
	"holon/crdt/state"
)

// departed remembers the objects that were deleted and purged last. A node whose
// database was rolled back in secret gives what it has written since it last agreed with
// anybody a new name (fork.go), although peers may have had that, deleted and purged
// it: under the new name no context tells that it is gone (seed 4830 of the
// histories). Its UID does, so it is deleted again.
type departed struct {
	known map[crdt.UID]bool
	ring  []crdt.UID
	next  int // in the ring, and on disk
}

// departedMax bounds what is remembered: 1 MB of memory.
const departedMax = 16 << 10

const diskDeparted = "d/" // + place in the ring, 4 bytes: a UID

func newDeparted() departed { return departed{known: map[crdt.UID]bool{}} }

// load takes what is on disk; what does not name an object is passed over. A full ring
// goes on at its beginning after a boot, whichever is the oldest.
func (d *departed) load(load func(prefix string, f func(key string, value []byte) error) error) error {
	return load(diskDeparted, func(key string, value []byte) error {
		var uid crdt.UID
		if len(value) == len(uid) && len(d.ring) < departedMax {
			copy(uid[:], value)
			d.ring = append(d.ring, uid)
			d.known[uid] = true
		}
		return nil
	})
}

// depart remembers the objects that a purge takes out of a record.
func (c *Core) depart(before, after *crdt.Record) {
	if before == after {
		return
	}
	for _, uid := range sortedUIDs(before.Objects) {
		if before.Objects[uid].Dead != nil && after.Objects[uid] == nil && !c.departed.known[uid] {
			at := c.departed.add(uid)
			c.persist(diskDeparted+string(binary.BigEndian.AppendUint32(nil, uint32(at))), uid[:])
		}
	}
}

// add takes the place of the oldest once there are departedMax.
func (d *departed) add(uid crdt.UID) (at int) {
	if len(d.ring) < departedMax {
		d.ring = append(d.ring, uid)
		d.known[uid] = true
		return len(d.ring) - 1
	}
	at = d.next % departedMax
	d.next = at + 1
	delete(d.known, d.ring[at])
	d.ring[at] = uid
	d.known[uid] = true
	return at
}

// sendBack deletes again what has come back although it was deleted.
func (c *Core) sendBack(key state.Key, rec *crdt.Record) {
	for _, uid := range sortedUIDs(rec.Objects) {
		if rec.Objects[uid].Dead != nil || !c.departed.known[uid] {
			continue
		}
		c.store.count.SentBack++
		c.fact(true, key, "DeletedAgain", "object %s was deleted before, and a database that was rolled back has brought it back; it is deleted again", uid)
		err := c.write(key, func(rec *crdt.Record, at crdt.Write) (*crdt.Record, error) { return rec.Delete(uid, at) })
		if err != nil {
			c.fact(true, key, "NotDeleted", "object %s, which was deleted before: %v", uid, err)
		}
	}
}
