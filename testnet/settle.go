package testnet

import (
	"fmt"
	"maps"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/core"
	"holon/testnet/check"
)

// settle answers one of the conflicts that this node knows, as `holon conflicts
// take` and `drop` do.
func (n *Node) settle() {
	type place struct {
		key state.Key
		state.Conflict
	}
	var open []place
	for _, key := range slices.Sorted(maps.Keys(n.seen)) {
		for _, c := range state.Conflicts(key, n.seen[key]) {
			open = append(open, place{key, c})
		}
	}
	if len(open) == 0 {
		return
	}
	p := open[n.w.rng.IntN(len(open))]
	op, done := core.Settle{Key: p.key, Path: p.Path, Loser: core.KeepWinner}, &n.w.Counts.Drops
	if p.key.Resource() != state.Pods && n.w.rng.IntN(2) == 0 { // a pod's spec may not be changed
		op.Loser, done = n.w.rng.IntN(len(p.Losers)), &n.w.Counts.Takes
	}
	n.w.did("%s: settles %s of %s, loser %d", n.name, p.Field, p.key, op.Loser)
	n.write(op.Key, op, func(shown *crdt.Record) {
		*done++
		n.w.bad = append(n.w.bad, check.Settled(n.name, op.Key, op.Path, shown)...)
	})
}

// compact lets a new object take the place of one that users made, as `holon
// compact --recreate` does.
func (n *Node) compact() {
	var mine []state.Key
	for _, key := range slices.Sorted(maps.Keys(n.seen)) {
		r := key.Resource()
		if (state.IsWorkload(r) || r == state.ConfigMaps) && n.seen[key].Live() != nil {
			mine = append(mine, key)
		}
	}
	if len(mine) == 0 {
		return
	}
	key := mine[n.w.rng.IntN(len(mine))]
	op := core.Compact{Key: key, Recreate: true, NewUID: state.DerivedUID("sim", fmt.Sprint(n.w.rng.Uint64()))}
	before := n.newest[key]
	n.w.did("%s: compacts %s", n.name, key)
	n.write(key, op, func(shown *crdt.Record) {
		n.w.Counts.Compactions++
		n.w.bad = append(n.w.bad, check.Compacted(n.name, key, op.NewUID, before, shown)...)
	})
}
