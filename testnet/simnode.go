package testnet

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/core"
	"holon/p2p"
	"holon/p2p/cert"
	"holon/p2p/swim"
	"holon/runtime"
	"holon/runtime/runtimetest"
)

// Node is one simulated node: a core, a disk, a container host, and the thinnest
// shell that performs a Ready.
type Node struct {
	w       *World
	index   int
	name    string
	peer    p2p.PeerID
	key     ed25519.PrivateKey
	chain   []byte
	core    *core.Core
	disk    *disk
	host    *runtimetest.Host
	replica crdt.ReplicaID
	epoch   uint64

	up     bool
	paused bool
	// rejoining: its disk burnt, and it is being admitted again.
	rejoining bool
	backlog   []func()     // what came in while paused
	boot      int          // counts boots; what was planned for an earlier one is void
	known     []p2p.Member // who let it in
	allowed   map[p2p.PeerID]bool
	farewells map[p2p.PeerID][]byte // what those are told who may not speak any more
	stops     map[runtime.RunID]core.Order
	specs     map[runtime.RunID]runtime.Spec
	wakeAt    time.Duration
	nextAsk   uint64
	askers    map[uint64]func(core.Ack)
	seen      map[state.Key]*crdt.Record   // what readers here may see
	newest    map[state.Key]*crdt.Record   // what the core holds, durable or not
	shown     map[state.Key]map[string]any // derived objects, as readers here see them
	why       map[state.Key]core.Explanation
	sent      []byte // the frame that was sent last
	down      string // why the runtime does not answer
	drains    bool
	leaving   bool // everything here stops
	full      bool // there is no room for copies on its disk
	copying   bool // an order for one is under way

	admittedAt time.Duration // when it admitted somebody last
	admittedBy p2p.PeerID    // who let it in again
	was        p2p.PeerID    // before its disk burnt last: others believe in it for a moment
	evicted    p2p.PeerID    // what it was when it was evicted, until its owner has noticed

	pausedAt  time.Duration
	powerCuts int
	clock     wallClock
	strain    strain
	// absent is how long it counts a silent member for the purge floor; 0: the preset.
	absent  time.Duration
	doubt   string                 // why its database is not to be trusted at the next boot
	copies  []*disk                // of its disk as it once was
	counted core.Counters          // of this boot, those that are in the world's
	stopped map[runtime.RunID]bool // runs that were ever ordered to stop
	courses map[runtime.RunID]*course
	sets    map[state.SlotID]bool // slots of StatefulSets that ran here when last seen
	running map[state.SlotID]bool // slots of bare pods that ran here when last seen
}

// room of every node: what a small machine has.
var room = state.Resources{CPU: 2000, Memory: 2 << 30, Pods: 20}

// absentAfter draws how soon a node stops to count a silent member: some are so
// rash that they purge what a member behind a short partition has not heard.
func (w *World) absentAfter() time.Duration {
	if w.rng.IntN(3) == 0 {
		return time.Second
	}
	return 0
}

// clusterKeys are what a cluster's founder makes.
type clusterKeys struct {
	id      string
	private ed25519.PrivateKey
}

func newClusterKeys(rng interface{ Uint32() uint32 }) clusterKeys {
	return clusterKeys{id: "5eed5eed5eed5eed5eed5eed5eed5eed", private: seededKey(rng)}
}

func seededKey(rng interface{ Uint32() uint32 }) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = byte(rng.Uint32())
	}
	return ed25519.NewKeyFromSeed(seed)
}

func (k clusterKeys) public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

func (w *World) newNode(i int) *Node {
	n := &Node{w: w, index: i, name: fmt.Sprintf("n%d", i+1), key: seededKey(w.rng), disk: newDisk(), specs: map[runtime.RunID]runtime.Spec{}, stopped: map[runtime.RunID]bool{}, running: map[state.SlotID]bool{}, sets: map[state.SlotID]bool{}, courses: map[runtime.RunID]*course{}}
	n.recertify()
	n.replica, n.clock = w.randomReplica(), clocksByTurns[i%len(clocksByTurns)]
	n.absent = w.absentAfter()
	n.host = runtimetest.NewHost(runtimetest.HostConfig{Node: n.name, StartDelay: 300 * time.Millisecond, RemoveDelay: 50 * time.Millisecond, Program: w.program})
	return n
}

// recertify signs the node's key with the cluster's.
func (n *Node) recertify() {
	public := n.key.Public().(ed25519.PublicKey)
	n.peer = cert.PeerIDOf(public)
	var serial [16]byte
	for j := range serial {
		serial[j] = byte(n.w.rng.Uint32())
	}
	chain, err := cert.Issue(n.w.keys.private, nil, cert.Request{Cluster: n.w.keys.id, Name: n.name, PublicKey: public, Introducer: true, Serial: serial})
	if err != nil {
		panic(err) // the request is ours
	}
	if n.chain, err = chain.Encode(); err != nil {
		panic(err)
	}
}

// program is what containers do: most stay, those of a crashing image exit,
// those of one that is done as well, and those of a stubborn one take no hint.
func (w *World) program(_ runtime.Spec, c runtime.Container, attempt int) (runtimetest.Program, error) {
	p := runtimetest.Program{RunFor: runtimetest.Never, TermCode: 143, TermDelay: 20 * time.Millisecond}
	if len(c.Command) > 1 {
		p.Memory = memoryUsed[c.Command[1]]
	}
	switch c.Image {
	case "crash":
		p.RunFor, p.ExitCode = 2*time.Second, 1
	case "done":
		p.RunFor = 2 * time.Second
	case "brief":
		p.RunFor = brief
	case "fickle": // which succeeds at the second try
		if p.RunFor = brief; attempt == 0 {
			p.ExitCode = 1
		}
	case "stubborn":
		p.IgnoreTerm = true
	}
	return p, nil
}

// start boots a node from its disk.
func (n *Node) start() {
	n.w.reach.note()
	n.w.did("start %s", n.name)
	n.boot++
	n.epoch++
	n.up, n.paused, n.rejoining, n.backlog = true, false, false, nil
	n.askers, n.stops = map[uint64]func(core.Ack){}, map[runtime.RunID]core.Order{}
	n.seen, n.newest, n.wakeAt = map[state.Key]*crdt.Record{}, map[state.Key]*crdt.Record{}, 0
	n.strain.boot()
	n.shown, n.why, n.drains, n.leaving = map[state.Key]map[string]any{}, map[state.Key]core.Explanation{}, false, false
	load := n.disk.load
	if n.w.cfg.Bug == ReuseCounters {
		load = func(prefix string, f func(string, []byte) error) error {
			return n.disk.load(prefix, func(key string, value []byte) error {
				if key == "m/high" {
					return nil
				}
				return f(key, value)
			})
		}
	}
	cfg := core.Config{
		Node: n.name, Peer: n.peer, Cluster: n.w.keys.id, Epoch: n.epoch, Replica: n.replica, LostAfter: n.w.cfg.LostAfter,
		ClusterKey: n.w.keys.public(), Known: n.known, Seed: n.w.rng.Uint64(), Swim: swim.LAN(),
		FloorEvery: n.w.cfg.FloorEvery, BrakeCalm: 3 * time.Second, AbsentAfter: n.absent,
	}
	cfg.Ablate = n.w.cfg.Bug.ablates()
	n.identify(&cfg)
	c, err := core.New(cfg, n.w.now, load)
	if err != nil {
		n.w.violate("world: %s does not boot: %v", n.name, err)
		n.up = false
		return
	}
	n.core = c
	n.allow(c.Speakers())
	for change := range c.Snapshot() {
		n.seen[change.Key], n.newest[change.Key] = change.Record, change.Record
	}
	n.counted = core.Counters{}
	n.keepFiles()
	n.tellHost()
	n.observe()
	n.pollHost(n.boot)
}

// admits reports whether a peer's frames are let in.
func (n *Node) admits(peer p2p.PeerID) bool { return n.up && n.allowed[peer] }

func (n *Node) allow(members []p2p.Member) {
	n.allowed, n.farewells = map[p2p.PeerID]bool{}, map[p2p.PeerID][]byte{}
	for _, m := range members {
		if m.Farewell != nil {
			n.farewells[m.ID] = m.Farewell
		} else {
			n.allowed[m.ID] = true
		}
	}
}

// guarded runs do now, later if the node is paused, or never if it has rebooted.
func (n *Node) guarded(boot int, do func()) {
	switch {
	case !n.up || n.boot != boot:
	case n.paused:
		if len(n.backlog) < 4096 {
			n.backlog = append(n.backlog, do)
		}
	default:
		do()
	}
}

func (n *Node) deliver(from p2p.PeerID, frame []byte) {
	if n.w.cfg.Bug == DeafSync && core.IsChunk(frame) {
		return
	}
	n.guarded(n.boot, func() { n.step(core.Received{From: from, Frame: frame}) })
}

func (n *Node) peerUp(peer p2p.PeerID) { n.guarded(n.boot, func() { n.step(core.PeerUp{Peer: peer}) }) }
func (n *Node) peerDown(peer p2p.PeerID) {
	n.guarded(n.boot, func() { n.step(core.PeerDown{Peer: peer}) })
}

// ask hands a request to the node and remembers who waits.
func (n *Node) ask(op core.Op, answer func(core.Ack)) {
	if m, ok := op.(core.Mutate); ok {
		n.w.did("%s: %s create=%v delete=%v", n.name, m.Key, m.Create, m.Delete)
	} else {
		n.w.did("%s: %T", n.name, op)
	}
	if !n.up {
		n.w.violate("world: %s is asked and is down", n.name)
		return
	}
	n.nextAsk++
	n.askers[n.nextAsk] = answer
	n.step(core.Asked{ID: n.nextAsk, Op: op})
}

// step is the shell's loop: one event in, one Ready performed in its field order,
// what follows Persist after the sync.
func (n *Node) step(ev core.Event) {
	w := n.w
	w.Counts.Steps++
	ready := n.core.Step(w.now, ev)
	ready.Send = append(ready.Send, n.core.Spread()...)
	w.note(n, ev, &ready)
	issued, dropped := n.audit(&ready), n.counted.Dropped
	n.auditAccounts(&ready)
	torn := w.tears(n.counted.Dropped > dropped)
	if got, ok := ev.(core.Received); ok && core.IsChunk(got.Frame) && len(ready.Changed) > 0 {
		w.Counts.Repairs++
	}
	for _, e := range ready.Send {
		if e.Early || w.cfg.Bug == SendFirst {
			n.send(e)
		}
	}
	if ready.Measure != nil {
		n.measure(*ready.Measure)
	}
	if w.cfg.Bug == AckFirst {
		n.answer(ready.Acks)
		ready.Acks = nil
	}
	n.rewake(ready.Wake)
	if len(ready.Persist)+len(ready.Acks)+len(ready.Changed)+len(ready.Run)+len(ready.Members)+len(ready.Send)+len(ready.Derived)+len(ready.Probe)+len(ready.Hook)+len(ready.Copies) == 0 {
		return
	}
	synced := max(n.disk.freeAt, w.now)
	if len(ready.Persist) > 0 {
		synced += 100*time.Microsecond + time.Duration(w.rng.Int64N(int64(w.cfg.SyncMax)+1))
	}
	n.disk.freeAt = synced
	boot := n.boot
	w.after(synced-w.now, func() {
		if n.boot != boot || !n.up {
			if len(ready.Persist) > 0 {
				w.Counts.Unsynced++
			}
			return
		}
		n.disk.apply(ready.Persist)
		for _, enter := range issued {
			enter()
		}
		if torn && w.shape.Tears > 0 {
			w.Counts.Torn++
			w.crash(n, false)
			return
		}
		n.guarded(boot, func() { n.release(&ready) })
	})
}

// release lets out what has become durable.
func (n *Node) release(ready *core.Ready) {
	if ready.Members != nil {
		n.allow(ready.Members)
	}
	for _, e := range ready.Send {
		if !e.Early && n.w.cfg.Bug != SendFirst {
			n.send(e)
		}
	}
	for _, change := range ready.Changed {
		n.w.ledger.Released(n.name, "showed", change.Key, change.Record, n.disk.written)
		if n.seen[change.Key] = change.Record; change.Record == nil {
			delete(n.seen, change.Key)
		}
	}
	for _, d := range ready.Derived {
		if d.Value == nil {
			delete(n.shown, d.Key)
		} else {
			n.shown[d.Key] = d.Value
		}
	}
	for _, e := range ready.Explained {
		n.why[e.Key] = e
	}
	n.answer(ready.Acks)
	for _, o := range ready.Run {
		n.execute(o)
	}
	for _, p := range ready.Probe {
		n.attempt(p)
	}
	for _, h := range ready.Hook {
		n.tellStarted(h)
	}
	for _, o := range ready.Copies {
		n.copyLater(o)
	}
}

func (n *Node) answer(acks []core.Ack) {
	for _, ack := range acks {
		if answer := n.askers[ack.ID]; answer != nil {
			delete(n.askers, ack.ID)
			answer(ack)
		}
	}
}

func (n *Node) send(e core.Envelope) {
	if again := len(n.sent) > 0 && len(e.Frame) > 0 && &n.sent[0] == &e.Frame[0]; !again { // the same to the next peer
		n.judgeSent(e.Frame)
	}
	n.sent = e.Frame
	for _, other := range n.w.nodes {
		if other != n && (e.To == "" || e.To == other.peer) && n.admits(other.peer) {
			n.w.net.send(n, other, e.Frame)
		}
	}
}

// judgeSent looks whether all that a frame carries is on disk here.
func (n *Node) judgeSent(frame []byte) {
	n.judgeTold(frame)
	records := core.RecordsIn(frame)
	if core.IsChunk(frame) && len(records) > 0 {
		n.w.Counts.Pulls++
	}
	for key, packed := range records {
		if rec, err := crdt.Decode(packed); err == nil {
			n.w.ledger.Released(n.name, "sent", key, rec, n.disk.written)
		}
	}
}

// rewake plans the next Woke; one that comes late or twice is harmless, and the
// world makes some of them so.
func (n *Node) rewake(at time.Duration) {
	if at == 0 {
		at = n.w.now + time.Second
	}
	n.wakeAt = at
	boot := n.boot
	n.w.after(at-n.w.now, func() {
		if n.wakeAt == at {
			n.guarded(boot, func() { n.step(core.Woke{}) })
		}
	})
}

// ---- the container host

func (n *Node) tellHost() {
	n.step(core.HostChanged{Host: core.Host{
		Wall: n.clock.reads(n.w.now), Spare: n.spare(),
		Runtime: runtime.Info{Name: "sim"}, RuntimeError: n.down, Allocatable: n.room(), HostIP: "10.0.0." + fmt.Sprint(n.index+1),
	}})
}

func (n *Node) room() state.Resources {
	if n.w.cfg.Bug == OpenDoor {
		return state.Resources{CPU: 1 << 40, Memory: 1 << 50, Pods: 1 << 20}
	}
	return room
}

func (n *Node) observe() {
	pods, err := n.host.Pods(n.w.now)
	if err != nil {
		return
	}
	volumes, _ := n.host.Volumes() // it answers, or Pods would not have
	n.step(core.Observed{Pods: pods, Volumes: append([]string{}, volumes...)})
	here := map[runtime.RunID]bool{}
	for _, p := range pods {
		here[p.ID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(n.stops)) {
		if !here[id] {
			o := n.stops[id]
			delete(n.stops, id)
			n.step(core.Ordered{Order: o})
		}
	}
	n.auditHost()
}

func (n *Node) request(id runtime.RunID) state.Resources {
	spec := n.specs[id]
	sum := state.Resources{Pods: 1}
	for _, c := range spec.Containers {
		sum.CPU += c.CPURequest
	}
	return sum
}

func nobodyWaits(spec runtime.Spec) *runtime.Spec {
	spec.Containers = slices.Clone(spec.Containers)
	for i := range spec.Containers {
		spec.Containers[i].Waits = false
	}
	return &spec
}

// pollHost watches the host as a runtime's event stream does.
func (n *Node) pollHost(boot int) {
	next := n.host.Next(n.w.now)
	wait := min(500*time.Millisecond, max(next-n.w.now, 5*time.Millisecond))
	if next == runtimetest.Never {
		wait = 500 * time.Millisecond
	}
	n.w.after(wait, func() {
		if n.boot == boot && n.up {
			n.guarded(boot, n.observe)
			n.pollHost(boot)
		}
	})
}

// execute carries an order to the host after a moment.
func (n *Node) execute(o core.Order) {
	if o.Kind == core.Ensure {
		n.auditRedone(o.Spec)
	}
	boot := n.boot
	n.w.after(time.Duration(1+n.w.rng.IntN(20))*time.Millisecond, func() {
		n.guarded(boot, func() { n.carryOut(o) })
	})
}

func (n *Node) carryOut(o core.Order) {
	var err error
	switch o.Kind {
	case core.Ensure:
		n.specs[o.Run] = *o.Spec
		if n.w.cfg.Bug == AllAtOnce {
			o.Spec = nobodyWaits(*o.Spec)
		}
		err = n.host.Apply(n.w.now, *o.Spec)
	case core.Restart:
		n.w.Counts.Restarts++
		err = n.host.Start(n.w.now, *o.Spec, o.Container, o.Attempt)
	case core.Update:
		err = n.host.UpdateFiles(n.w.now, *o.Spec)
	case core.Discard:
		err = n.host.RemoveVolume(n.w.now, o.Volume)
	case core.Kill:
		n.w.Counts.ProbeKills++
		err = n.host.StopContainer(n.w.now, o.Run, o.Container, o.Attempt, o.Grace)
	case core.Stop:
		if n.w.cfg.Bug == KeepRuns {
			n.step(core.Ordered{Order: o})
			return
		}
		if err = n.host.Stop(n.w.now, o.Run, o.Grace); err == nil {
			n.stops[o.Run] = o
			n.observe()
			return
		}
	}
	n.observe()
	n.step(core.Ordered{Order: o, Err: typed(err)})
}

func typed(err error) *runtime.Error {
	if err == nil {
		return nil
	}
	var e *runtime.Error
	if errors.As(err, &e) {
		return e
	}
	return &runtime.Error{Kind: runtime.Failed, Err: err}
}
