package testnet

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"holon/crdt"
	"holon/testnet/check"
)

// Config says how rough a world is. The zero value is a calm one.
type Config struct {
	Seed  uint64
	Nodes int
	// Loss and Duplicate are probabilities of a frame.
	Loss, Duplicate float64
	// DelayMax bounds the random delay of a frame; SyncMax that of a disk.
	DelayMax, SyncMax time.Duration
	// Bug plants a known bug, to show that a checker catches it.
	Bug Bug
}

// Bug is a planted bug.
type Bug string

// The bugs that can be planted; each is caught by the rule named.
const (
	NoBug         Bug = ""
	SendFirst     Bug = "send-first"     // frames leave before the sync: Released
	AckFirst      Bug = "ack-first"      // acknowledges before the sync: Survived
	ReuseCounters Bug = "reuse-counters" // forgets the reserved mark at boot: Issued
	DeafSync      Bug = "deaf-sync"      // ignores anti-entropy: Equal
	KeepRuns      Bug = "keep-runs"      // never stops a pod: ExactlyOnce, NothingLeaked
	OpenDoor      Bug = "open-door"      // admits runs beyond its room: Allocatable
	EagerHomes    Bug = "eager-homes"    // believes in a majority always: HomeMoves
)

// World is a cluster in one goroutine.
type World struct {
	cfg    Config
	rng    *rand.Rand
	now    time.Duration
	queue  events
	seq    uint64
	nodes  []*Node
	net    network
	ledger *check.Ledger
	bad    []string
	Counts Counts
	keys   clusterKeys
	trace  uint64 // hash of everything that happened, in order
}

// Counts are what happened in a history; a rule that was never put to the test
// proves nothing.
type Counts struct {
	Ops, Acked, Refused                              int
	Crashes, PowerCuts, Partitions, Heals, DiskLosts int
	Lost, Duplicated, Pauses, Kills, RuntimeDowns    int
	Unsynced, StandIns, HomeMoves, Restarts, Pulls   int
	Steps                                            int
}

// Add sums two counts.
func (c *Counts) Add(o Counts) {
	c.Ops += o.Ops
	c.Acked += o.Acked
	c.Refused += o.Refused
	c.Crashes += o.Crashes
	c.PowerCuts += o.PowerCuts
	c.Partitions += o.Partitions
	c.Heals += o.Heals
	c.DiskLosts += o.DiskLosts
	c.Lost += o.Lost
	c.Duplicated += o.Duplicated
	c.Pauses += o.Pauses
	c.Kills += o.Kills
	c.RuntimeDowns += o.RuntimeDowns
	c.Unsynced += o.Unsynced
	c.StandIns += o.StandIns
	c.HomeMoves += o.HomeMoves
	c.Restarts += o.Restarts
	c.Pulls += o.Pulls
	c.Steps += o.Steps
}

// event is something that will happen. Equal times happen in the order in which
// they were planned.
type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

type events []event

func (q events) Len() int           { return len(q) }
func (q events) Less(i, j int) bool { return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq }
func (q events) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)        { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

// eventsMax bounds one history: a world that never comes to rest is a bug.
const eventsMax = 5_000_000

// New makes a world whose nodes have joined one cluster.
func New(cfg Config) *World {
	w := &World{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x9e3779b97f4a7c15)), ledger: check.NewLedger(), now: time.Hour}
	w.net = newNetwork(w)
	w.keys = newClusterKeys(w.rng)
	for i := range cfg.Nodes {
		w.nodes = append(w.nodes, w.newNode(i))
	}
	w.found()
	w.after(200*time.Millisecond, w.net.maintain)
	return w
}

// after plans do for d from now.
func (w *World) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.queue, event{at: w.now + d, seq: w.seq, do: do})
}

// Run lets d of virtual time pass.
func (w *World) Run(d time.Duration) {
	end := w.now + d
	for n := 0; len(w.queue) > 0 && w.queue[0].at <= end; n++ {
		if n > eventsMax {
			w.violate("world: more than %d events in %v", eventsMax, d)
			return
		}
		ev := heap.Pop(&w.queue).(event)
		w.now = ev.at
		ev.do()
	}
	w.now = end
}

func (w *World) violate(format string, args ...any) {
	if len(w.bad) < 50 {
		w.bad = append(w.bad, fmt.Sprintf("[%v] ", w.now-time.Hour)+fmt.Sprintf(format, args...))
	}
}

// Violations lists every broken rule so far.
func (w *World) Violations() []string { return append(w.ledger.Violations(), w.bad...) }

// note mixes what happened into the trace.
func (w *World) note(parts ...any) {
	const prime = 1099511628211
	for _, b := range fmt.Appendf(nil, "%d %v", w.now, parts) {
		w.trace = (w.trace ^ uint64(b)) * prime
	}
}

// Trace names the run: equal traces are equal runs.
func (w *World) Trace() uint64 { return w.trace }

func (w *World) randomReplica() (r crdt.ReplicaID) {
	for i := range r {
		r[i] = byte(w.rng.Uint32())
	}
	return r
}
