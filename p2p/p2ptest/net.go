// Package p2ptest is a network in memory whose faults a test chooses, and the
// conformance suite that every p2p.Mesh has to pass.
//
// The network keeps real time: a delay is a timer, so inside a synctest bubble
// it costs nothing. Which frame is lost is drawn from the seed; which goroutine
// runs first is not, so a run is repeatable in its faults, not in its order.
package p2ptest

import (
	"math/rand/v2"
	"sync"
	"time"

	"holon/p2p"
)

// Faults are what the network does to frames. Rates are between 0 and 1. Streams
// are reliable: only delay and cuts touch them.
type Faults struct {
	Loss      float64
	Duplicate float64
	Reorder   float64       // the frame overtakes the one before it
	Delay     time.Duration // one way
	Jitter    time.Duration // added to Delay, uniformly drawn
}

// Net connects meshes in memory.
type Net struct {
	mu     sync.Mutex // guards everything below and every Mesh's state; never held across a wait
	rng    *rand.Rand
	faults Faults
	cut    map[route]bool
	nodes  map[p2p.PeerID]*Mesh
}

// route is one direction between two peers.
type route struct{ from, to p2p.PeerID }

// NewNet makes a network without faults. The seed decides every later draw.
func NewNet(seed uint64) *Net {
	return &Net{
		rng:   rand.New(rand.NewPCG(seed, 0x686f6c6f6e)),
		cut:   map[route]bool{},
		nodes: map[p2p.PeerID]*Mesh{},
	}
}

// SetFaults changes the faults for frames sent from now on.
func (n *Net) SetFaults(f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
}

// Cut stops what goes from one peer to the other. With one direction cut the
// connection stays up, frames that way are lost and streams break; with both
// directions cut the peers see each other go down.
func (n *Net) Cut(from, to p2p.PeerID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[route{from, to}] = true
	n.settle()
}

// Partition cuts both directions between every peer of a and every peer of b.
func (n *Net) Partition(a, b []p2p.PeerID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, x := range a {
		for _, y := range b {
			n.cut[route{x, y}], n.cut[route{y, x}] = true, true
		}
	}
	n.settle()
}

// Heal ends every cut.
func (n *Net) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
	n.settle()
}

// Join adds a peer. It has no members yet, so nobody hears it.
func (n *Net) Join(self p2p.PeerID, events p2p.Events) *Mesh {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := newMesh(n, self, events)
	n.nodes[self] = m
	return m
}

// canConnect says whether a connection between two peers can stand.
func (n *Net) canConnect(a, b *Mesh) bool {
	return a != b && a.members[b.self] && b.members[a.self] && !a.closed && !b.closed &&
		!(n.cut[route{a.self, b.self}] && n.cut[route{b.self, a.self}])
}

// settle brings every connection in line with members and cuts. It runs after
// each change of either, under mu.
func (n *Net) settle() {
	for _, a := range n.nodes {
		for _, b := range n.nodes {
			if a.self >= b.self {
				continue
			}
			want := n.canConnect(a, b)
			switch {
			case want && !a.up[b.self]:
				a.connect(b)
				b.connect(a)
			case !want && a.up[b.self]:
				a.disconnect(b)
				b.disconnect(a)
			}
			n.farewell(a, b)
			n.farewell(b, a)
			if !want || n.cut[route{a.self, b.self}] || n.cut[route{b.self, a.self}] {
				a.resetStreams(b.self)
			}
		}
	}
}

// farewell tells a departed peer of a so, as if it had dialled.
func (n *Net) farewell(a, b *Mesh) {
	frame := a.departed[b.self]
	if frame == nil || !b.members[a.self] || a.closed || b.closed || n.cut[route{a.self, b.self}] || n.cut[route{b.self, a.self}] {
		return
	}
	in := b.inbox(a.self)
	in.push(item{kind: upItem}, false)
	in.push(item{kind: frameItem, frame: frame}, false)
	in.push(item{kind: downItem}, false)
}

// reach are the peers that a rumour of origin comes to, over whatever
// connections stand.
func (n *Net) reach(origin *Mesh) []*Mesh {
	seen := map[p2p.PeerID]bool{origin.self: true}
	todo := []*Mesh{origin}
	var out []*Mesh
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		for peer := range at.up {
			if b := n.nodes[peer]; !seen[peer] && !n.cut[route{at.self, peer}] && b.members[origin.self] {
				seen[peer] = true
				todo, out = append(todo, b), append(out, b)
			}
		}
	}
	return out
}

// carry puts a frame on its way, with the faults of the moment. It runs under mu.
func (n *Net) carry(from p2p.PeerID, to *Mesh, frame []byte, rumour bool) {
	if !rumour && n.cut[route{from, to.self}] || n.rng.Float64() < n.faults.Loss {
		return
	}
	delay := n.faults.Delay
	if n.faults.Jitter > 0 {
		delay += time.Duration(n.rng.Int64N(int64(n.faults.Jitter)))
	}
	it := item{kind: frameItem, frame: frame, rumour: rumour, due: time.Now().Add(delay)}
	in := to.inbox(from)
	in.push(it, n.rng.Float64() < n.faults.Reorder)
	if n.rng.Float64() < n.faults.Duplicate {
		in.push(it, false)
	}
}
