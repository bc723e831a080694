package testnet

import (
	"maps"
	"slices"
	"strings"
	"time"

	"holon/crdt"
	"holon/crdt/state"
)

// disk is a store that keeps only what was synced. Syncs are in order and take a
// random time; a crash loses those under way.
type disk struct {
	pairs  map[string][]byte
	ever   map[state.Key]crdt.Vector // of every record that it held, purged or not
	freeAt time.Duration             // when the sync under way ends
	files  map[crdt.UID]state.SnapshotCopy
}

func newDisk() *disk {
	return &disk{pairs: map[string][]byte{}, ever: map[state.Key]crdt.Vector{}, files: map[crdt.UID]state.SnapshotCopy{}}
}

func (d *disk) load(prefix string, f func(key string, value []byte) error) error {
	for _, key := range slices.Sorted(maps.Keys(d.pairs)) {
		if strings.HasPrefix(key, prefix) {
			if err := f(key, d.pairs[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *disk) apply(batch []crdt.KV) {
	for _, kv := range batch {
		if kv.Value == nil {
			delete(d.pairs, kv.Key)
		} else {
			d.pairs[kv.Key] = kv.Value
			if key, isRecord := strings.CutPrefix(kv.Key, "r/"); isRecord {
				d.wrote(state.Key(key))
			}
		}
	}
}

// copy is the disk as it is now, for one who puts it back later.
func (d *disk) copy() *disk {
	return &disk{pairs: maps.Clone(d.pairs), ever: maps.Clone(d.ever), files: maps.Clone(d.files)}
}

// wrote joins the vector of a record to those it ever had.
func (d *disk) wrote(key state.Key) {
	ever := maps.Clone(d.ever[key])
	if ever == nil {
		ever = crdt.Vector{}
	}
	for r, n := range vectorOf(d.record(key)) {
		ever[r] = max(ever[r], n)
	}
	d.ever[key] = ever
}

func (d *disk) written(key state.Key) crdt.Vector { return d.ever[key] }

// record decodes what is on disk under a key; nil if nothing.
func (d *disk) record(key state.Key) *crdt.Record {
	value, ok := d.pairs["r/"+string(key)]
	if !ok {
		return nil
	}
	rec, err := crdt.Decode(value)
	if err != nil {
		return nil
	}
	return rec
}
