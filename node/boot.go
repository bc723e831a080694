package node

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"holon/crdt"
	"holon/node/core"
)

// Keys of the shell in the store; the core's begin with "r/" and "m/".
const (
	diskReplica = "n/replica"
	diskEpoch   = "n/epoch"
	diskRV      = "n/rv"     // resourceVersion counters below this may have been issued
	diskTokens  = "n/token/" // + ID: deadline of a token that this node issued
	diskDB      = "n/db"     // names the database, in the mark too
	diskSeq     = "n/seq"    // counts the batches of this node
	// diskDamage is there while damaged pairs were set aside and the claims to
	// what was in them stand; the store writes it in the batch that sets one aside.
	diskDamage = "n/damage"
)

// boot is what a start of the daemon finds and makes in the store.
type boot struct {
	replica crdt.ReplicaID
	former  crdt.ReplicaID // the one before, if the database is in doubt
	doubt   string         // why it is; empty: it is not
	fresh   bool           // the database is new
	epoch   uint64
	seed    uint64
}

// doubtEpochs is how far the boot counter jumps when the database may be an old
// copy: further than a node can have booted since it was made. Peers ignore what
// a node says under an epoch that they have seen the end of.
const doubtEpochs = 1 << 20

// bootStore counts this boot and finds out whether the database is what the mark
// says that it is. A new database gets a replica ID, which names it whatever the
// node is called; one in doubt gets another. What it returns is the store to use
// from now on.
func bootStore(s Store, dir string, machine Machine) (*guard, boot, error) {
	on, err := readDisk(s)
	if err != nil {
		return nil, boot{}, err
	}
	m, inode, err := readMark(dir)
	var b boot
	if on.used() {
		b.doubt = on.doubt(&m, inode, machine, err)
	}
	b.fresh, b.replica, b.epoch = !on.used(), on.replica, max(on.epoch, m.Epoch)+1
	batch := []crdt.KV{}
	if b.doubt != "" {
		b.former = on.replica
		b.epoch += doubtEpochs
		batch = append(core.Disown(), crdt.KV{Key: diskDamage})
	}
	if b.doubt != "" || b.fresh {
		var random [16]byte
		if err := errors.Join(randomly(b.replica[:]), randomly(random[:])); err != nil {
			return nil, b, err
		}
		on.db = hex.EncodeToString(random[:])
		batch = append(batch, crdt.KV{Key: diskReplica, Value: b.replica[:]}, crdt.KV{Key: diskDB, Value: []byte(on.db)})
	}
	var random [8]byte
	if err := randomly(random[:]); err != nil {
		return nil, b, err
	}
	b.seed = binary.BigEndian.Uint64(random[:])
	batch = append(batch, crdt.KV{Key: diskEpoch, Value: binary.BigEndian.AppendUint64(nil, b.epoch)})

	// The mark first: after a crash between the two the database is new, or in
	// doubt again, or the same as before.
	g := &guard{Store: s, dir: dir, turn: make(chan struct{}, 1), seq: on.seq}
	err = errors.Join(sweep(dir), g.put(mark{DB: on.db, Replica: b.replica, Epoch: b.epoch, Committed: on.counter, Reserved: on.counter, Machine: machine, seq: on.seq}))
	if err == nil {
		err = g.Commit(batch)
	}
	if err != nil {
		return nil, b, fmt.Errorf("count this boot: %w", err)
	}
	return g, b, nil
}

func randomly(b []byte) error {
	_, err := rand.Read(b)
	return err
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
