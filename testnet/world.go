package testnet

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/core"
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
	// LostAfter is that of every node; 0: the preset of core.
	LostAfter time.Duration
	// FloorEvery is that of every node; 0: the preset of core.
	FloorEvery time.Duration
	// Bug plants a known bug, to show that a checker catches it.
	Bug Bug
}

// Bug is a planted bug.
type Bug string

// The bugs that can be planted; each is caught by the rule named.
const (
	NoBug         Bug = ""
	SendFirst     Bug = "send-first"     // frames leave before the sync: Released
	AckFirst      Bug = "ack-first"      // acknowledges before the sync: Acked, Survived
	ReuseCounters Bug = "reuse-counters" // forgets the reserved mark at boot: Issued
	DeafSync      Bug = "deaf-sync"      // ignores anti-entropy: Equal
	KeepRuns      Bug = "keep-runs"      // never stops a pod: ExactlyOnce, NothingLeaked
	OpenDoor      Bug = "open-door"      // admits runs beyond its room: Allocatable
	EagerHomes    Bug = "eager-homes"    // believes in a majority always: HomeMoves
	RunTwice      Bug = "run-twice"      // starts what others still run: auditStart
	AllAtOnce     Bug = "all-at-once"    // starts containers before their turn: Sequence
	// Each of these leaves out one rule of the accounting.
	NoStalePath  Bug = "no-stale-path"
	NoIngestRule Bug = "no-ingest-rule" // what is purged comes back: auditAccounts
	NoOrphanRule Bug = "no-orphan-rule"
	KeepReplica  Bug = "keep-replica"  // after its disk was lost or rolled back
	StrayRuns    Bug = "stray-runs"    // runs go on and start where their data is not: auditClaims, auditAway
	TwoNames     Bug = "two-names"     // each node names the Job of a CronJob its own way: Crons
	NoHold       Bug = "no-hold"       // finalizers hold nothing: auditLife
	NoRelease    Bug = "no-release"    // a merge after which nothing holds an object releases nothing: Lives
	EvictEagerly Bug = "evict-eagerly" // takes memory for short always: auditEviction
	EvictAll     Bug = "evict-all"     // and does not wait for what one brings: auditEviction
	TakeBack     Bug = "take-back"     // starts again what it has evicted: auditShunned
	NoProof      Bug = "no-proof"      // an owner that is not here is taken for dead: auditLife
	LoseCopies   Bug = "lose-copies"   // a copy goes whose Snapshot is merely not here: auditCopyOrder
	HastyCopies  Bug = "hasty-copies"  // a copy is told of before it is durable: judgeTold
)

// ablates is the core's rule that a bug switches off.
func (b Bug) ablates() core.Rule {
	return map[Bug]core.Rule{
		EagerHomes: core.MajorityRule, RunTwice: core.SetRule, NoStalePath: core.StaleRule, NoIngestRule: core.IngestRule,
		NoOrphanRule: core.OrphanRule, KeepReplica: core.ReplicaRule, TwoNames: core.CronRule, StrayRuns: core.ClaimRule,
		EvictEagerly: core.ShortRule, EvictAll: core.PaceRule, TakeBack: core.ShunRule,
		NoHold: core.HoldRule, NoRelease: core.ReleaseRule, NoProof: core.ProofRule, LoseCopies: core.CopyRule, HastyCopies: core.DurableRule,
	}[b]
}

// Rule is the beginning of what the rule that catches a bug says.
func (b Bug) Rule() string {
	return map[Bug]string{
		SendFirst: "before it was on its disk", AckFirst: "acknowledged", ReuseCounters: "twice",
		DeafSync:     "differs between",
		EvictEagerly: "MiB left", EvictAll: "after another pod", TakeBack: "that it has evicted",
		LoseCopies: "which nobody has deleted", HastyCopies: "before it is on its disk",
		NoHold: "holds", NoRelease: "nothing holds", NoProof: "may be alive",
		NoStalePath: "", NoIngestRule: "takes in again", KeepReplica: "", NoOrphanRule: "is not here", TwoNames: "several Jobs", StrayRuns: "data is elsewhere", KeepRuns: "eventually: slot", OpenDoor: "with room for", EagerHomes: "moved the home", RunTwice: "in sight, says that it has it", AllAtOnce: "has begun before",
	}[b]
}

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
	reach  reach
	sides  sides
	ails   map[ailment]bool                 // whether it does not answer at all
	drawn  map[string]map[string]any        // init containers and hooks of Jobs and bare pods
	bare   map[crdt.UID]bool                // workloads that are bare pods
	sets   map[crdt.UID]bool                // UIDs of every StatefulSet
	twice  map[twicePair]time.Duration      // since when two nodes that see each other run a slot of one
	homes  map[state.SlotID]map[string]bool // every home that a slot was given
	away   map[awayRun]time.Duration        // since when runs go on where their data is not
	// forgotten are claims and Snapshots that a user has deleted, nameLost those that a merge
	// has; unwanted are volumes that a user has removed. claimUIDs are all objects that ever were.
	forgotten, nameLost map[crdt.UID]bool
	unwanted            map[string]bool
	claimUIDs           map[crdt.UID]state.Key
	dead                map[string]bool    // UIDs of which somebody had a tombstone
	losers              map[crdt.UID]bool  // objects that lost their name on some node
	early               map[state.Key]bool // Jobs of CronJobs that were made before the calm
	facts               facts
	sampling            bool // nodes are told what memory they have
	bad                 []string
	Counts              Counts
	keys                clusterKeys
	trace               uint64 // hash of everything that happened, in order
	onStep              func(line string)
	keeps               bool     // nodes keep copies for Snapshots
	shape               Shape    // of the history that is played; zero once it is calm
	log                 []string // what clients did and what broke, in order
}

// event is something that will happen. Equal times happen in the order in which
// they were planned.
type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
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
	w := &World{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x9e3779b97f4a7c15)), ledger: check.NewLedger(), now: time.Hour,
		ails: map[ailment]bool{}, drawn: map[string]map[string]any{}, bare: map[crdt.UID]bool{}, sets: map[crdt.UID]bool{}, twice: map[twicePair]time.Duration{}, homes: map[state.SlotID]map[string]bool{}, early: map[state.Key]bool{}, dead: map[string]bool{}, losers: map[crdt.UID]bool{},
		away: map[awayRun]time.Duration{}, forgotten: map[crdt.UID]bool{}, nameLost: map[crdt.UID]bool{}, unwanted: map[string]bool{}, claimUIDs: map[crdt.UID]state.Key{}}
	w.net, w.reach, w.sides = newNetwork(w), newReach(w), sides{w: w}
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

// did enters an operation or a fault in the log of the history.
func (w *World) did(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%10.3fs ", (w.now-time.Hour).Seconds())+fmt.Sprintf(format, args...))
}

// Log lists what clients did and what broke, in order.
func (w *World) Log() []string { return w.log }

func (w *World) violate(format string, args ...any) {
	if len(w.bad) < 50 {
		w.bad = append(w.bad, fmt.Sprintf("[%v] ", w.now-time.Hour)+fmt.Sprintf(format, args...))
	}
}

// Violations lists every broken rule so far.
func (w *World) Violations() []string { return append(w.ledger.Violations(), w.bad...) }

// note mixes a step into the trace.
func (w *World) note(n *Node, ev core.Event, ready *core.Ready) {
	kind, size := kindOf(ev), 0
	for i := range ready.Send {
		size += len(ready.Send[i].Frame)
	}
	for i := range ready.Persist {
		size += len(ready.Persist[i].Value)
	}
	for _, x := range [...]int{int(w.now), n.index, kind, size, len(ready.Persist), len(ready.Send), len(ready.Run), len(ready.Derived), int(ready.Wake)} {
		w.trace = (w.trace ^ uint64(x)) * 1099511628211
		w.trace ^= w.trace >> 29
	}
	if w.onStep != nil {
		w.onStep(fmt.Sprintf("%v %s %T %d %d %d %d %d %v", w.now, n.name, ev, size, len(ready.Persist), len(ready.Send), len(ready.Run), len(ready.Derived), ready.Wake))
	}
}

func kindOf(ev core.Event) int {
	switch ev := ev.(type) {
	case core.Received:
		return 1 + int(ev.Frame[0])
	case core.PeerUp:
		return 100
	case core.PeerDown:
		return 101
	case core.Observed:
		return 102 + len(ev.Pods)
	case core.Ordered:
		return 300 + int(ev.Order.Kind)
	case core.HostChanged:
		return 400
	case core.Asked:
		return 401
	}
	return 402
}

// Trace names the run: equal traces are equal runs.
func (w *World) Trace() uint64 { return w.trace }

func (w *World) randomReplica() (r crdt.ReplicaID) {
	for i := range r {
		r[i] = byte(w.rng.Uint32())
	}
	return r
}
