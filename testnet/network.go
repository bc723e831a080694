package testnet

import (
	"time"

	"holon/node/core"
)

// Some gossip comes late: it is relayed.
const (
	lateOdds = 50
	lateMax  = 8 * time.Second
)

// network carries frames between the nodes of a world. It is rougher than a real
// mesh: it reorders and duplicates also what a standing stream would not.
type network struct {
	w     *World
	side  []int // nodes on different sides do not hear each other
	mute  map[[2]int]bool
	conns map[[2]int]bool // pairs that think they are connected
}

func newNetwork(w *World) network {
	return network{w: w, side: make([]int, w.cfg.Nodes), mute: map[[2]int]bool{}, conns: map[[2]int]bool{}}
}

// open reports whether frames pass from a to b now.
func (n *network) open(a, b *Node) bool {
	return n.side[a.index] == n.side[b.index] && !n.mute[[2]int{a.index, b.index}]
}

func pair(a, b *Node) [2]int { return [2]int{min(a.index, b.index), max(a.index, b.index)} }

// send carries one frame, or not.
func (n *network) send(from, to *Node, frame []byte) {
	w := n.w
	if w.rng.Float64() < w.cfg.Loss {
		w.Counts.Lost++
		return
	}
	copies := 1
	if w.rng.Float64() < w.cfg.Duplicate {
		w.Counts.Duplicated++
		copies = 2
	}
	for range copies {
		delay := 100*time.Microsecond + time.Duration(w.rng.Int64N(int64(w.cfg.DelayMax)+1))
		if core.IsGossip(frame) && w.rng.IntN(lateOdds) == 0 { // it took another way, past purges and edits
			w.Counts.Late++
			delay += time.Duration(w.rng.Int64N(int64(lateMax)))
		}
		boot := to.boot
		w.after(delay, func() {
			if n.open(from, to) && to.boot == boot && to.admits(from.peer) {
				to.deliver(from.peer, frame)
			}
		})
	}
}

// maintain connects who may talk and does not, as a mesh that redials does.
func (n *network) maintain() {
	w := n.w
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			n.sayFarewell(a, b)
		}
		for _, b := range w.nodes[a.index+1:] {
			if !a.up || !b.up || a.paused || b.paused || n.conns[pair(a, b)] || !n.open(a, b) || !n.open(b, a) || !a.admits(b.peer) || !b.admits(a.peer) {
				continue
			}
			n.conns[pair(a, b)] = true
			a.peerUp(b.peer)
			b.peerUp(a.peer)
		}
	}
	w.after(200*time.Millisecond, n.maintain)
}

// sayFarewell tells a departed peer that would connect so.
func (n *network) sayFarewell(a, b *Node) {
	frame := a.farewells[b.peer]
	if frame != nil && a.up && b.up && !a.paused && !b.leaving && n.open(a, b) && n.open(b, a) && b.admits(a.peer) {
		n.send(a, b, frame)
	}
}

// cut ends the connection of two nodes. Those still there may notice at once.
func (n *network) cut(a, b *Node) {
	if !n.conns[pair(a, b)] {
		return
	}
	delete(n.conns, pair(a, b))
	for _, end := range [][2]*Node{{a, b}, {b, a}} {
		if end[0].up && n.w.rng.IntN(2) == 0 {
			end[0].peerDown(end[1].peer)
		}
	}
}

// partition puts the nodes on two or three sides.
func (n *network) partition() {
	w := n.w
	w.reach.note()
	w.Counts.Partitions++
	sides := 2 + w.rng.IntN(2)
	for i := range n.side {
		n.side[i] = w.rng.IntN(sides)
	}
	w.did("partition %v", n.side)
	n.cutApart()
}

// oneWay makes one node deaf to another.
func (n *network) oneWay() {
	w := n.w
	w.reach.note()
	w.Counts.Partitions++
	a, b := w.rng.IntN(len(w.nodes)), w.rng.IntN(len(w.nodes))
	if a != b {
		n.mute[[2]int{a, b}] = true
		w.did("n%d does not hear n%d", b+1, a+1)
	}
}

func (n *network) cutApart() {
	for _, a := range n.w.nodes {
		for _, b := range n.w.nodes[a.index+1:] {
			if !n.open(a, b) {
				n.cut(a, b)
			}
		}
	}
}

// heal lets everybody talk again.
func (n *network) heal() {
	n.w.reach.note()
	n.w.Counts.Heals++
	n.w.did("heal")
	for i := range n.side {
		n.side[i] = 0
	}
	clear(n.mute)
}
