package testnet

import (
	"maps"
	"slices"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
	"holon/testnet/check"
)

// sides judge that only one side of a split moves homes, whatever it counts, admits
// or evicts.
type sides struct {
	w     *World
	moves []move
}

// move is when a node gave a slot another home, and whom it heard then.
type move struct {
	at   time.Duration
	node *Node
	side []bool
}

// auditMove judges a home that this node has moved.
func (n *Node) auditMove(key state.Key, before, after *crdt.Record) {
	w := n.w
	side, counted, there := w.reach.side(n), n.core.Counted(), 0
	for i, other := range w.nodes {
		if side[i] && (counted[other.peer] || counted[other.was]) {
			there++
		}
	}
	for _, bad := range check.HomeMoves(n.name, key, before, after, there, len(counted)) {
		w.violate("%s; it believes in%s", bad, n.beliefs())
	}
	w.sides.moved(n, side)
}

func (s *sides) moved(n *Node, side []bool) {
	for _, earlier := range s.moves {
		if disjoint(earlier.side, side) && !s.w.reach.heardOf(n, earlier.side, earlier.at) {
			s.w.violate("anytime: %s moves a home while nobody of those is in reach among whom %s moved one %v ago", n.name, earlier.node.name, s.w.now-earlier.at)
		}
	}
	if last := len(s.moves) - 1; last >= 0 && s.moves[last].node == n && slices.Equal(s.moves[last].side, side) {
		s.moves[last].at = s.w.now
		return
	}
	s.moves = append(s.moves, move{s.w.now, n, side})
}

func disjoint(a, b []bool) bool {
	for i := range a {
		if a[i] && b[i] {
			return false
		}
	}
	return true
}

// countAlike reports nodes that count others than those who belong to the cluster, once
// all is quiet. Where everybody who counted has burnt, and those who are left were let in by
// some of them and had heard nothing else yet, nobody can say any more who counted: that
// cluster stays without a majority (seed 6747 of the histories).
func (w *World) countAlike() {
	if !slices.ContainsFunc(w.nodes, func(n *Node) bool { return n.up && len(n.core.Counted()) > 0 }) {
		w.Counts.Orphaned++
		return
	}
	want := map[p2p.PeerID]bool{}
	for _, n := range w.nodes {
		want[n.peer] = true
	}
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		if counted := n.core.Counted(); !maps.Equal(counted, want) {
			w.violate("eventually: %s counts %v, and those who belong are %v", n.name, slices.Sorted(maps.Keys(counted)), slices.Sorted(maps.Keys(want)))
		}
	}
}
