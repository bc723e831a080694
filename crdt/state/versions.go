package state

import (
	"maps"
	"slices"

	"holon/crdt"
)

// Versions lists what an object may be, as long as nobody has settled its conflicts: first
// what readers see, then the same with each value that lost a field, and the objects
// that lost the name. For whoever must be sure that a right is given on every side.
func Versions(key Key, rec *crdt.Record) []map[string]any {
	live := rec.Live()
	if live == nil {
		return nil
	}
	var all []map[string]any
	add := func(o *crdt.Object) {
		if value, err := BuildObject(o); err == nil {
			all = append(all, value)
		}
	}
	add(live)
	for _, path := range sortedPaths(live) {
		if g := live.Registers[path]; usersWrite(path) {
			for _, lost := range g.Siblings {
				add(withRegister(live, path, crdt.Register{Write: lost.Write, Value: lost.Value}))
			}
		}
	}
	for _, c := range Conflicts(key, rec) {
		if _, object := c.LoserOf(); !object {
			continue
		}
		for _, lost := range c.Losers {
			if value, err := ReadKept(lost.Value); err == nil {
				all = append(all, value)
			}
		}
	}
	return slices.Clip(all)
}

// withRegister is o with another value in one place.
func withRegister(o *crdt.Object, path string, g crdt.Register) *crdt.Object {
	other := *o
	other.Registers = maps.Clone(o.Registers)
	other.Registers[path] = g
	return &other
}
