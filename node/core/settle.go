package core

import (
	"fmt"

	"holon/crdt"
	"holon/crdt/state"
)

// settleConflict answers a conflict: it writes the place anew, with the winner's value or
// with a loser's, so that nobody is asked again.
func (c *Core) settleConflict(op Settle) error {
	rec := c.store.record(op.Key)
	live := rec.Live()
	if live == nil {
		return ErrNotFound
	}
	for _, conflict := range state.Conflicts(op.Key, rec) {
		if conflict.Path != op.Path {
			continue
		}
		if op.Loser == KeepWinner {
			return c.dropLosers(op.Key, live, &conflict)
		}
		if op.Loser < 0 || op.Loser >= len(conflict.Losers) {
			return fmt.Errorf("%w: %s has %d losers", ErrNotFound, conflict.Field, len(conflict.Losers))
		}
		return c.takeLoser(op.Key, rec, &conflict, conflict.Losers[op.Loser].Value)
	}
	return fmt.Errorf("%w: no conflict at %s", ErrNotFound, state.FieldName(op.Path))
}

func (c *Core) dropLosers(key state.Key, live *crdt.Object, conflict *state.Conflict) error {
	value := live.Registers[conflict.Path].Value
	loser, whole := conflict.LoserOf()
	switch {
	case whole:
		return c.forgetLoser(key, live, loser)
	case conflict.Gone:
		value = nil
	}
	return c.set(key, live.UID, map[string][]byte{conflict.Path: value})
}

// forgetLoser removes what is kept of an object that lost its name, or itself.
func (c *Core) forgetLoser(key state.Key, live *crdt.Object, loser crdt.UID) error {
	path := state.ConflictPath(loser)
	if live.Registers[path].Value != nil {
		if err := c.set(key, live.UID, map[string][]byte{path: nil}); err != nil {
			return err
		}
	}
	if o := c.store.record(key).Objects[loser]; o == nil || o.Dead != nil {
		return nil
	}
	if err := c.spareLoser(key, loser); err != nil {
		return err
	}
	return c.write(key, func(rec *crdt.Record, w crdt.Write) (*crdt.Record, error) { return rec.Delete(loser, w) })
}

func (c *Core) takeLoser(key state.Key, rec *crdt.Record, conflict *state.Conflict, value []byte) error {
	live := rec.Live()
	if conflict.Gone {
		return fmt.Errorf("%w: the list element that %s is in was removed: add it again, with this value, or drop the conflict", ErrInvalid, conflict.Field)
	}
	delta := map[string][]byte{conflict.Path: value}
	loser, whole := conflict.LoserOf()
	if whole {
		var err error
		if delta, err = replaceBy(key, live, value); err != nil {
			return err
		}
	}
	if err := c.judgeWrite(key, live, delta); err != nil {
		return err
	}
	c.countSpec(key, live, delta)
	if len(delta) > 0 {
		if err := c.set(key, live.UID, delta); err != nil {
			return err
		}
	}
	if !whole {
		return nil
	}
	return c.forgetLoser(key, c.store.record(key).Live(), loser)
}

// replaceBy gives the registers to write so that an object says what another one
// said, but for when it was made.
func replaceBy(key state.Key, live *crdt.Object, text []byte) (map[string][]byte, error) {
	next, err := state.ReadKept(text)
	if err != nil {
		return nil, err
	}
	before, err := state.BuildObject(live)
	if err != nil {
		return nil, err
	}
	was, _ := before["metadata"].(map[string]any)
	meta, _ := next["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
	}
	for _, own := range state.OwnMeta {
		if v, ok := was[own]; ok {
			meta[own] = v
		}
	}
	if len(meta) > 0 {
		next["metadata"] = meta
	}
	old, err := state.FlattenAs(key.Resource(), before)
	if err != nil {
		return nil, err
	}
	new, err := state.FlattenAs(key.Resource(), next)
	return state.Changes(live.Registers, old, new), err
}

// judgeWrite refuses a write that would make a valid object invalid or change
// what may not change, and takes the last valid form away once it is not needed.
func (c *Core) judgeWrite(key state.Key, live *crdt.Object, delta map[string][]byte) error {
	before, after, err := state.Preview(live, delta)
	if err != nil {
		return err
	}
	if err := state.JudgeUpdate(key, live, after, before); err != nil && state.Judge(key, live, before) == nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	c.dropValid(key, live, after, delta)
	return nil
}

// dropValid takes the last valid form away if the object will be valid itself.
func (c *Core) dropValid(key state.Key, live *crdt.Object, after map[string]any, delta map[string][]byte) {
	if live.Registers[state.ValidPath].Value != nil && state.Judge(key, live, after) == nil {
		delta[state.ValidPath] = nil
	}
}
