package node

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"holon/crdt"
	"holon/crdt/seal"
	"holon/crdt/state"
	"holon/node/core"
)

// Restorer fills an empty store with the first state of a new cluster: the objects
// that users had in another one, created anew. It drives a core that has no mesh,
// so everything is written as a node writes it, under dots and UIDs of its own.
// Nothing of what the old cluster wrote is taken over as it is, so nothing of it
// can ever be joined with what its old nodes hold.
type Restorer struct {
	store Store
	id    Identity
	core  *core.Core
	now   core.Instant
	asked uint64
	batch []core.Mutate
	bytes int
	// opens holds the data keys of the old cluster, seals the one of the new.
	opens SecretKeys
	seals seal.Key
}

// Bounds of what one Step of a restore writes.
const (
	restoreObjects = 256
	restoreBytes   = 4 << 20
)

// NewRestorer begins to fill store for the node that id names; dir is its data
// directory, where the mark of the database goes. opens is the old cluster's: a
// Secret is sealed for its own UID, so it is opened and sealed anew.
func NewRestorer(store Store, dir string, id Identity, opens SecretKeys) (*Restorer, error) {
	own, err := newKeyring(id.DataKeys)
	if err != nil {
		return nil, err
	}
	guarded, boot, err := bootStore(store, dir, ThisMachine())
	if err != nil {
		return nil, err
	}
	r := &Restorer{opens: opens, store: guarded, id: id, now: BootTime()}
	r.core, err = core.New(core.Config{
		Node: id.Name, Peer: id.Peer(), Cluster: id.Cluster, ClusterKey: id.ClusterKey,
		Epoch: boot.epoch, Replica: boot.replica, Seed: boot.seed, Passive: true,
	}, r.now, store.Load)
	r.seals, _ = own.newest()
	return r, err
}

// Add creates the object that a record holds. It reports false for what a new
// cluster does not get: holon's own bookkeeping, nodes, and what is deleted.
func (r *Restorer) Add(key state.Key, rec *crdt.Record) (bool, error) {
	create, err := r.recreate(key, rec)
	if err != nil || create == nil {
		return false, err
	}
	for path, value := range create.New {
		r.bytes += len(path) + len(value)
	}
	r.batch = append(r.batch, *create)
	if len(r.batch) < restoreObjects && r.bytes < restoreBytes {
		return true, nil
	}
	return true, r.flush()
}

// recreate is the write that makes a stored object again; nil if there is none.
func (r *Restorer) recreate(key state.Key, rec *crdt.Record) (*core.Mutate, error) {
	live := rec.Live()
	if live == nil || key.Internal() || key.Resource() == state.Nodes {
		return nil, nil
	}
	uid, err := newUID()
	if err != nil {
		return nil, err
	}
	create := &core.Mutate{Key: key, Create: true, NewUID: uid}
	if _, kind := state.KindOf(key.Resource()); kind == "" {
		create.New = liveRegisters(live)
		return create, nil
	}
	object, _, err := state.DecodeObject(rec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	opened, err := r.opens.Open(key, object)
	if err != nil {
		return nil, err
	}
	create.New, err = registers(key.Resource(), withCreation(unowned(opened)))
	if err == nil && key.Resource() == state.Secrets {
		create.New, err = state.SealRegisters(r.seals, key, uid, create.New)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return create, nil
}

// unowned drops what names UIDs of the old cluster, and that the object was being deleted.
func unowned(object map[string]any) map[string]any {
	out := copyOf(object)
	meta, _ := out["metadata"].(map[string]any)
	meta = copyOf(meta)
	delete(meta, "ownerReferences")
	delete(meta, "deletionTimestamp")
	delete(meta, "deletionGracePeriodSeconds")
	out["metadata"] = meta
	return out
}

// liveRegisters are the present values of an object of a kind that this version
// does not know: a later one may.
func liveRegisters(o *crdt.Object) map[string][]byte {
	out := map[string][]byte{}
	for path, register := range o.Registers {
		if register.Value != nil && !strings.HasPrefix(path, "#") {
			out[path] = bytes.Clone(register.Value)
		}
	}
	return out
}

// Finish makes the node the first member, and with that the store one that `holon
// up` can start from.
func (r *Restorer) Finish() error {
	if err := r.flush(); err != nil {
		return err
	}
	first := core.FirstMember{Admit: core.Admit{Peer: r.id.Peer(), Name: r.id.Name, Chain: r.id.Chain}, Objects: foundation(r.id.Cluster)}
	if err := r.ask(first); err != nil {
		return err
	}
	r.now += time.Minute // marks that may lag are due by then
	return r.step(core.Woke{}, nil)
}

func (r *Restorer) flush() error {
	batch := r.batch
	r.batch, r.bytes = nil, 0
	if len(batch) == 0 {
		return nil
	}
	return r.ask(core.Import{Objects: batch})
}

func (r *Restorer) ask(op core.Op) error {
	r.asked++
	var failed error
	err := r.step(core.Asked{ID: r.asked, Op: op}, &failed)
	if err != nil {
		return err
	}
	return failed
}

// step makes durable what a Step persists. What it would send, show or run is for
// the daemon that starts from this store.
func (r *Restorer) step(ev core.Event, failed *error) error {
	ready := r.core.Step(r.now, ev)
	if err := commitParts(r.store, &ready.Persist); err != nil {
		return err
	}
	for _, ack := range ready.Acks {
		if failed != nil {
			*failed = ack.Err
		}
	}
	return nil
}
