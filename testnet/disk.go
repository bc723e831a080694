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
	freeAt time.Duration // when the sync under way ends
}

func newDisk() *disk { return &disk{pairs: map[string][]byte{}} }

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
		}
	}
}

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
