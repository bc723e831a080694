package core

import (
	"errors"
	"fmt"

	"holon/crdt"
	"holon/crdt/state"
)

// compact frees the registers of removed fields, for an object that is near the
// bound of RegistersMax: a new object with the same fields and slots takes its
// place. All of its writes are in one batch.
func (c *Core) compact(op Compact) (crdt.UID, error) {
	rec := c.store.record(op.Key)
	live := rec.Live()
	if live == nil {
		return crdt.UID{}, ErrNotFound
	}
	if op.Key.Resource() == state.Claims {
		return crdt.UID{}, fmt.Errorf("%w: the data of a claim goes by its UID", ErrInvalid)
	}
	absent, all := state.Absent(live)
	if !op.Recreate {
		return crdt.UID{}, fmt.Errorf("%w: %d of at most %d registers are in use, %d of them by fields that were removed; "+
			"to free these, let a new object take its place (--recreate): same spec, same pods, another UID; "+
			"what is written to it at the same time on the other side of a partition is lost", ErrInvalid, all, crdt.RegistersMax, absent)
	}
	values, err := state.Compacted(op.Key, live, c.Replica())
	if err != nil {
		return crdt.UID{}, err
	}
	// A younger object that lost the name here would take it: the new one is younger.
	for uid := range rec.Objects {
		if kept := state.KeepLoser(rec, uid); kept != nil {
			values[state.ConflictPath(uid)] = kept
		}
	}
	// The whole change is tried before any of it is written: a dot cannot be taken
	// back, and an object that was deleted cannot either.
	if _, err := (*crdt.Record)(nil).Set(op.NewUID, trial, values); err != nil {
		return crdt.UID{}, err
	}
	if err := c.bury(op.Key); err != nil {
		return crdt.UID{}, err
	}
	c.fact(false, op.Key, "Compacted", "%d registers of removed fields were freed; the object goes on as %s", absent, op.NewUID)
	return op.NewUID, c.set(op.Key, op.NewUID, values)
}

// trial is a write that is never stored.
var trial = crdt.Write{
	Dot:   crdt.Dot{Replica: crdt.ReplicaID{1}, Counter: 1},
	Stamp: crdt.Stamp{Time: 1, Replica: crdt.ReplicaID{1}},
}

// tooLarge adds the next step to the refusal of a write that found no room.
func (c *Core) tooLarge(key state.Key, live *crdt.Object, err error) error {
	if live == nil || !errors.Is(err, crdt.ErrTooLarge) {
		return err
	}
	absent, _ := state.Absent(live)
	if absent == 0 {
		return err
	}
	resource, namespace, name := key.Split()
	if namespace != "" {
		namespace = " -n " + namespace
	}
	return fmt.Errorf("%w; fields that were removed hold %d registers: holon compact %s/%s%s --recreate frees them", err, absent, resource, name, namespace)
}
