package node

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"holon/crdt"
)

// Keys of the shell in the store; the core's begin with "r/" and "m/".
const (
	diskReplica = "n/replica"
	diskEpoch   = "n/epoch"
	diskRV      = "n/rv"     // resourceVersion counters below this may have been issued
	diskTokens  = "n/token/" // + ID: deadline of a token that this node issued
)

// boot is what a start of the daemon finds and makes in the store.
type boot struct {
	replica crdt.ReplicaID
	epoch   uint64
	seed    uint64
}

// bootStore counts this boot and reads the replica ID, which names the database:
// a new database gets a new one, whatever the node is called.
func bootStore(s Store) (boot, error) {
	var b boot
	err := s.Load("n/", func(key string, value []byte) error {
		switch {
		case key == diskReplica && len(value) == len(b.replica):
			copy(b.replica[:], value)
		case key == diskEpoch && len(value) == 8:
			b.epoch = binary.BigEndian.Uint64(value)
		}
		return nil
	})
	if err != nil {
		return b, err
	}
	batch := []crdt.KV{}
	if b.replica == (crdt.ReplicaID{}) {
		if _, err := rand.Read(b.replica[:]); err != nil {
			return b, err
		}
		batch = append(batch, crdt.KV{Key: diskReplica, Value: b.replica[:]})
	}
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return b, err
	}
	b.seed = binary.BigEndian.Uint64(random[:])
	b.epoch++
	batch = append(batch, crdt.KV{Key: diskEpoch, Value: binary.BigEndian.AppendUint64(nil, b.epoch)})
	if err := s.Commit(batch); err != nil {
		return b, fmt.Errorf("count this boot: %w", err)
	}
	return b, nil
}

// Used reports whether a store belongs to a node already.
func Used(s Store) (used bool, err error) {
	err = s.Load(diskReplica, func(string, []byte) error {
		used = true
		return nil
	})
	return used, err
}

// RVBlock reads up to where resourceVersion counters were reserved, and gives the
// function that reserves more, for api.NewCache.
func RVBlock(s Store) (start uint64, reserve func(until uint64) error, err error) {
	err = s.Load(diskRV, func(_ string, value []byte) error {
		if len(value) == 8 {
			start = binary.BigEndian.Uint64(value)
		}
		return nil
	})
	return start, func(until uint64) error {
		return s.Commit([]crdt.KV{{Key: diskRV, Value: binary.BigEndian.AppendUint64(nil, until)}})
	}, err
}
