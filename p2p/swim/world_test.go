package swim

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// world is many machines in virtual time, single-threaded: one seed, one run.
type world struct {
	t     testing.TB
	now   Instant
	order uint64
	todo  todoHeap
	rand  *rand.Rand
	nodes []*node
	index map[ID]*node
	cfg   Config
	loss  float64
	delay [2]time.Duration
	tick  time.Duration // largest lateness of a Tick
	cut   func(a, b int) bool
	lag   func(to int) time.Duration // added to the delay
	// onChange sees every change as it happens.
	onChange func(n *node, c Change)
	packets  uint64
	bytes    uint64
}

type node struct {
	at     int
	id     ID
	m      *Machine
	boot   uint64
	stored uint64 // persisted incarnation
	up     bool
	paused bool
	inbox  []func()
	wake   uint64 // generation of the latest wake
	view   map[ID]State
	log    []stamped
}

type stamped struct {
	at Instant
	Change
}

type todo struct {
	at    Instant
	order uint64
	do    func()
}

type todoHeap []todo

func (h todoHeap) Len() int      { return len(h) }
func (h todoHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h todoHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h *todoHeap) Push(x any) { *h = append(*h, x.(todo)) }
func (h *todoHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// newWorld starts n machines that know each other, at random moments of the
// first 100 ms.
func newWorld(t testing.TB, n int, seed uint64, cfg Config) *world {
	w := &world{
		t: t, cfg: cfg, rand: rand.New(rand.NewPCG(seed, 0x5117)), index: map[ID]*node{},
		delay: [2]time.Duration{200 * time.Microsecond, 5 * time.Millisecond}, tick: 5 * time.Millisecond,
	}
	for i := range n {
		nd := &node{at: i, id: ID(fmt.Sprintf("12D3KooWpeer%04d", i)), stored: 1}
		w.nodes = append(w.nodes, nd)
		w.index[nd.id] = nd
	}
	for _, nd := range w.nodes {
		w.after(w.upTo(100*time.Millisecond), func() { w.start(nd) })
	}
	return w
}

func (w *world) upTo(d time.Duration) time.Duration {
	return time.Duration(w.rand.Int64N(int64(d) + 1))
}

func (w *world) after(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.todo, todo{w.now + d, w.order, do})
}

func (w *world) run(d time.Duration) {
	end := w.now + d
	for len(w.todo) > 0 && w.todo[0].at <= end {
		x := heap.Pop(&w.todo).(todo)
		w.now = x.at
		x.do()
	}
	w.now = end
}

// start boots a node from what it has persisted.
func (w *world) start(n *node) {
	n.boot++
	n.stored += 1000
	n.up, n.paused, n.inbox = true, false, nil
	n.view = map[ID]State{}
	n.m = New(Self{ID: n.id, Incarnation: n.stored, Epoch: n.boot}, w.cfg, w.rand.Uint64())
	for _, other := range w.nodes {
		if other != n {
			n.view[other.id] = Unreachable
			w.take(n, n.m.Join(w.now, other.id))
		}
	}
}

func (w *world) stop(n *node) { n.up = false; n.wake++ }

// step has an event happen at a node, or wait until the node is resumed.
func (w *world) step(n *node, do func()) {
	switch {
	case !n.up:
	case n.paused:
		n.inbox = append(n.inbox, do)
	default:
		do()
	}
}

func (w *world) pause(n *node, d time.Duration) {
	n.paused = true
	boot := n.boot
	w.after(d, func() {
		if n.boot == boot {
			n.resume(w)
		}
	})
}

func (n *node) resume(w *world) {
	if n.paused {
		n.paused = false
		inbox := n.inbox
		n.inbox = nil
		for _, do := range inbox {
			w.step(n, do)
		}
	}
}

// take performs an output: persist, send, note, wake.
func (w *world) take(n *node, out Output) {
	if out.Incarnation != 0 {
		if out.Incarnation <= n.stored {
			w.t.Fatalf("%s raised its incarnation from %d to %d", n.id, n.stored, out.Incarnation)
		}
		n.stored = out.Incarnation
	}
	for _, p := range out.Send {
		w.send(n, p)
	}
	for _, c := range out.Changes {
		w.note(n, c)
	}
	n.wake++
	if out.Wake == Never {
		return
	}
	if out.Wake < w.now {
		w.t.Fatalf("%s wants to be woken at %v, it is %v", n.id, out.Wake, w.now)
	}
	generation := n.wake
	w.after(max(out.Wake-w.now, 0)+w.upTo(w.tick), func() {
		if n.wake == generation {
			w.step(n, func() {
				if n.wake == generation {
					w.take(n, n.m.Tick(w.now))
				}
			})
		}
	})
}

func (w *world) send(from *node, p Packet) {
	w.packets++
	w.bytes += uint64(len(p.Payload))
	if len(p.Payload) > PacketBytesMax {
		w.t.Fatalf("a packet of %d bytes", len(p.Payload))
	}
	to := w.index[p.To]
	if to == nil || w.rand.Float64() < w.loss {
		return
	}
	boot := to.boot
	lag := time.Duration(0)
	if w.lag != nil {
		lag = w.lag(to.at)
	}
	w.after(lag+w.delay[0]+w.upTo(w.delay[1]-w.delay[0]), func() {
		if w.cut != nil && w.cut(from.at, to.at) || to.boot != boot {
			return
		}
		w.step(to, func() { w.take(to, to.m.Receive(w.now, from.id, p.Payload)) })
	})
}

func (w *world) note(n *node, c Change) {
	if n.view[c.ID] != c.From {
		w.t.Fatalf("%v: %s reports %s %v -> %v, its last report was %v", w.now, n.id, c.ID, c.From, c.To, n.view[c.ID])
	}
	if !arrow(c.From, c.To) {
		w.t.Fatalf("%v: %s moves %s %v -> %v, there is no such arrow", w.now, n.id, c.ID, c.From, c.To)
	}
	n.view[c.ID] = c.To
	n.log = append(n.log, stamped{w.now, c})
	if w.onChange != nil {
		w.onChange(n, c)
	}
}

// arrow holds the drawing above State.
func arrow(from, to State) bool {
	switch from {
	case Alive:
		return to != Unreachable
	case Suspect:
		return true
	case Unreachable:
		return to != Suspect
	case Left:
		return to == Alive
	}
	return false
}

// split cuts the world in two: nodes below k, and the rest.
func (w *world) split(k int) { w.cut = func(a, b int) bool { return (a < k) != (b < k) } }

// running are the nodes that are up.
func (w *world) running() []*node {
	return slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return !n.up })
}

// all says whether every running node but the subject itself believes state.
func (w *world) all(subject *node, state State) bool {
	for _, n := range w.running() {
		if n != subject && n.view[subject.id] != state {
			return false
		}
	}
	return true
}

// until runs until done, at most for limit; it returns the time that took.
func (w *world) until(limit time.Duration, done func() bool) time.Duration {
	start := w.now
	for w.now-start < limit && !done() {
		w.run(10 * time.Millisecond)
	}
	return w.now - start
}

// settle runs until all running nodes hold each other alive.
func (w *world) settle() {
	w.t.Helper()
	w.run(200 * time.Millisecond)
	took := w.until(20*time.Second, w.agreed)
	if took >= 20*time.Second {
		w.t.Fatalf("no agreement after %v:\n%s", took, w.views())
	}
}

func (w *world) agreed() bool {
	for _, n := range w.running() {
		if !w.all(n, Alive) {
			return false
		}
	}
	return true
}

func (w *world) views() string {
	s := ""
	for _, n := range w.running() {
		s += fmt.Sprintf("%s health %d:", n.id, n.m.Stats().Health)
		for _, x := range n.m.Members() {
			if x.State != Alive {
				s += fmt.Sprintf(" %s=%v@%d", x.ID, x.State, x.Incarnation)
			}
		}
		s += "\n"
	}
	return s
}

// count sums the changes into a state over all nodes, from a time on.
func (w *world) count(to State, since Instant) int {
	n := 0
	for _, nd := range w.nodes {
		for _, c := range nd.log {
			if c.at >= since && c.To == to && c.From != to {
				n++
			}
		}
	}
	return n
}

// trace is a fingerprint of everything that was reported and when.
func (w *world) trace() uint64 {
	h := fnv.New64a()
	for _, n := range w.nodes {
		for _, c := range n.log {
			fmt.Fprintln(h, n.id, c.at, c.Change)
		}
	}
	fmt.Fprintln(h, w.packets, w.bytes)
	return h.Sum64()
}
