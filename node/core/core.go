package core

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
	"holon/p2p/swim"
)

// Config is who a node is and how it behaves.
type Config struct {
	Node    string         // its name
	Peer    p2p.PeerID     // its peer ID
	Cluster string         // 32 hex digits
	Epoch   uint64         // boot counter, persisted by the shell before New
	Replica crdt.ReplicaID // names this database
	// Doubt says why the database may have been rolled back or copied; empty: it
	// was not. Then Replica is a fresh one, and Former is the one before: writes
	// that it issued may be missing here, so its reserved counters are not claimed.
	Doubt  string
	Former crdt.ReplicaID
	// ClusterKey verifies the certificates of members.
	ClusterKey ed25519.PublicKey
	// Known are peers that may speak before their member records are here: those
	// that let this node in. A record that says a peer has left overrules it.
	Known []p2p.Member
	// RootCA is the certificate of the API's CA (PEM), which pods find in the ConfigMap that
	// each namespace is given. Empty: none is given.
	RootCA string
	// Seed of this node's own random numbers (probe order, jitter).
	Seed uint64
	Swim swim.Config
	// RankDelay is how long the standby of rank k waits, k times, for the work of
	// those before it. 0: 400 ms.
	RankDelay time.Duration
	// LostAfter is how long a node is out of reach before its homes move. 0: 5 min.
	LostAfter time.Duration
	// BootGrace is how long a booting node plans nothing for others while it has
	// not yet heard of every member. 0: 10 intervals of probes (3 s in a LAN), more
	// than detection takes.
	BootGrace time.Duration
	// OrphanGrace is how long containers of unknown slots are left alone after
	// boot. 0: 30 s.
	OrphanGrace time.Duration
	// Passive cores only write what they are asked to: they plan nothing. They fill a
	// store that another core will start from.
	Passive bool
	// AbsentAfter is how long a member that is not heard of counts for the purge
	// floor. 0: 7 days.
	AbsentAfter time.Duration
	// BrakeCalm is how long homes are held after many members vanished at once. 0: 2 min.
	BrakeCalm time.Duration
	// FloorEvery is the pace at which the purge floor is raised. 0: 1 min.
	FloorEvery time.Duration
	// Ablate switches one rule off, for tests that show that it is needed.
	Ablate Rule
}

// Rule names a rule that a test can switch off.
type Rule string

// The rules. MajorityRule: homes move only in a view that holds more than half of the
// counted members.
//
// StaleRule: whoever is behind a peer's floor asks what was deleted before it
// claims that peer's context. IngestRule: an object that is not here though the
// context has its birth is not taken in. OrphanRule: what is left of a workload
// whose birth the context has is buried. ReplicaRule: a database that was lost or
// rolled back gets another replica ID.
const (
	MajorityRule Rule = "majority"
	SetRule      Rule = "set" // a slot of a StatefulSet waits until nobody in sight has it
	StaleRule    Rule = "stale"
	IngestRule   Rule = "ingest"
	OrphanRule   Rule = "orphan"
	ReplicaRule  Rule = "replica"
	CronRule     Rule = "cron"    // the name of a CronJob's Job follows from when it is due
	ClaimRule    Rule = "claim"   // a run ends where the data of its claims is not
	HoldRule     Rule = "hold"    // an object with finalizers is only marked
	ReleaseRule  Rule = "release" // what is marked and nothing holds is deleted, whoever finds it
	ProofRule    Rule = "proof"   // an owner is gone if its tombstone was here
	ShortRule    Rule = "short"   // memory is short only if a sample says so
	PaceRule     Rule = "pace"    // one eviction, then a pause
	ShunRule     Rule = "shun"    // what was evicted is not taken back while the pressure lasts
	CopyRule     Rule = "copy"    // a copy of a Snapshot goes once that is known to be deleted
	DurableRule  Rule = "durable" // a copy is told of once it is durable
)

func (c *Config) validate() error {
	if c.Node == "" || c.Peer == "" || c.Cluster == "" || c.Replica == (crdt.ReplicaID{}) {
		return errors.New("core: node name, peer ID, cluster and replica ID are required")
	}
	profile, err := c.Swim.Complete()
	if err != nil {
		return err
	}
	c.Swim = profile
	for value, preset := range map[*time.Duration]time.Duration{
		&c.RankDelay: 400 * time.Millisecond, &c.LostAfter: 5 * time.Minute,
		&c.BootGrace: 10 * c.Swim.ProbeInterval, &c.OrphanGrace: 30 * time.Second,
		&c.AbsentAfter: absentAfter, &c.FloorEvery: floorEvery, &c.BrakeCalm: brakeCalm,
	} {
		if *value == 0 {
			*value = preset
		}
	}
	return nil
}

// Core is the state of one node. It is not safe for concurrent use.
type Core struct {
	cfg      Config
	now      Instant
	booted   Instant
	out      Ready
	store    store
	sync     syncer
	floors   floors
	aside    quarantine
	departed departed
	limits   limits
	members  members
	counted  counted
	brake    brake
	status   statuses
	index    index
	sched    schedule
	runner   runner
	derived  derived
	copies   copies
	host     Host
	pressure pressure
}

// New makes a core from what its disk holds. load calls f for every stored pair
// whose key starts with prefix.
func New(cfg Config, now Instant, load func(prefix string, f func(key string, value []byte) error) error) (*Core, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Core{cfg: cfg, now: now, booted: now}
	c.index = newIndex(cfg.Node)
	c.status = newStatuses()
	c.sched = newSchedule()
	c.runner = newRunner()
	c.derived = newDerived()
	c.pressure.evicted = map[state.SlotID]eviction{}
	c.copies = newCopies()
	c.sync = newSyncer(cfg.Seed)
	c.floors, c.limits, c.departed = newFloors(), newLimits(), newDeparted()
	if err := c.departed.load(load); err != nil {
		return nil, fmt.Errorf("core: load what was purged: %w", err)
	}
	if err := c.loadQuarantine(load); err != nil {
		return nil, fmt.Errorf("core: load what was put aside: %w", err)
	}
	if err := c.loadStore(load); err != nil {
		return nil, err
	}
	first := Ready{Persist: c.out.Persist, Facts: c.out.Facts}
	c.initMembers()
	for _, key := range c.store.keys() {
		if unplanned(key) {
			continue
		}
		c.reindex(key, c.store.record(key))
	}
	c.out = first // what loading the store asks for comes with the first Step
	c.counted.due = true
	return c, nil
}

// Step applies ev at now. It does no IO, starts nothing and reads no clock.
func (c *Core) Step(now Instant, ev Event) Ready {
	before := c.now
	c.now = max(now, c.now)
	c.noticeSleep(before)
	switch ev := ev.(type) {
	case Received:
		c.receive(ev.From, ev.Frame)
	case PeerUp:
		c.peerUp(ev.Peer)
	case PeerDown:
		c.peerDown(ev.Peer)
	case Observed:
		c.observed(ev)
	case Ordered:
		c.ordered(ev)
	case Hooked:
		c.hooked(ev)
	case Probed:
		c.probed(ev)
	case Measured:
		c.measured(ev)
	case Arrived:
		c.arrived(ev.Run)
	case CopiesFound:
		c.copiesFound(ev)
	case CopyEnded:
		c.copyEnded(ev)
	case HostChanged:
		c.hostChanged(ev.Host)
	case Asked:
		c.asked(ev.ID, ev.Op)
	case Woke:
	}
	c.settle()
	ready := c.out
	c.out = Ready{}
	return ready
}

func (c *Core) hostChanged(h Host) {
	before := c.host
	c.host = h
	before.Wall, before.Spare = h.Wall, h.Spare // which others hear of in other ways
	c.hearOwn(h.Wall)
	c.feel(h.Spare)
	if !reflect.DeepEqual(before, h) {
		c.index.dirtyAll, c.status.dirty, c.runner.dirty = true, true, true
	}
}

// settle does all that is due after an event: membership, then plans, then what
// runs here, then word of it.
func (c *Core) settle() {
	c.tickMembers()
	c.tickCounted()
	c.tickBrake()
	c.tickFlaps()
	c.claimVoid()
	c.tickSync()
	c.tickFloor()
	c.tickQuarantine()
	c.keepTime()
	c.plan()
	c.reconcile()
	c.keepCopies()
	c.derive()
	c.publishStatus()
	c.persistMarks()
	if c.index.dirtyAll || len(c.index.touched) > 0 {
		c.wake(c.now) // what this Step wrote is planned with in the next one
	}
}

// wake asks to be stepped at t at the latest.
func (c *Core) wake(t Instant) {
	if c.out.Wake == 0 || t < c.out.Wake {
		c.out.Wake = max(t, c.now+time.Millisecond)
	}
}

func (c *Core) fact(warning bool, about state.Key, reason, format string, args ...any) {
	c.out.Facts = append(c.out.Facts, Fact{Warning: warning, Reason: reason, About: about, Message: fmt.Sprintf(format, args...)})
}

// Snapshot gives every stored record, one decoded at a time, for a shell that has
// just started; later changes come with Ready, and derived objects with the first
// ones.
func (c *Core) Snapshot() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for _, key := range c.store.keys() {
			e := c.store.entries[key]
			if !yield(Change{Key: key, Record: e.Record(), Stored: e, Token: e.token}) {
				return
			}
		}
	}
}

func sortedKeys[M ~map[K]V, K ~string, V any](m M) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b K) int { return strings.Compare(string(a), string(b)) })
	return keys
}
