package core

import (
	"encoding/binary"
	"testing"

	"holon/crdt"
	"holon/crdt/state"
)

// What was purged is remembered over a boot, within its bound.
func TestThePurgedAreRemembered(t *testing.T) {
	uid := func(i int) (u crdt.UID) {
		binary.BigEndian.PutUint32(u[:], uint32(i))
		return u
	}
	disk, d := map[string][]byte{}, newDeparted()
	for i := range departedMax + 10 {
		id := uid(i)
		disk[diskDeparted+string(binary.BigEndian.AppendUint32(nil, uint32(d.add(id))))] = id[:]
	}
	again := newDeparted()
	if err := again.load(memory(disk).load); err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]*departed{"before": &d, "after a boot": &again} {
		if len(d.known) != departedMax || len(d.ring) != departedMax {
			t.Errorf("%s: %d of %d are known", name, len(d.known), len(d.ring))
		}
		if d.known[uid(9)] || !d.known[uid(10)] || !d.known[uid(departedMax+9)] {
			t.Errorf("%s: the oldest are not those that are forgotten", name)
		}
	}
}

// An object that was deleted and purged here, and comes back under a birth that no
// context knows, is deleted again.
func TestWhatComesBackIsDeletedAgain(t *testing.T) {
	c := newSpreader(t)
	key, id := state.MakeKey(state.ConfigMaps, "default", "c"), crdt.UID{7}
	c.departed.add(id)
	theirs := crdt.ReplicaID{9}
	rec, err := (*crdt.Record)(nil).Set(id, crdt.Write{Dot: crdt.Dot{Replica: theirs, Counter: 1}, Stamp: crdt.Stamp{Time: 1, Replica: theirs}}, map[string][]byte{"/data/a": []byte(`"b"`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.join(packedRecord{Key: key, Record: rec.Encode()}); err != nil {
		t.Fatal(err)
	}
	if o := c.store.record(key).Objects[id]; o == nil || o.Dead == nil {
		t.Errorf("it lives again: %+v", o)
	}
}
