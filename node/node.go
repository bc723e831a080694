package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
	"holon/node/image"
	"holon/p2p"
	"holon/p2p/cert"
	"holon/runtime"
)

// Bounds of the shell.
const (
	inboxMax   = 4096 // events waiting for the loop; frames beyond are dropped
	batchMax   = 256  // events per batch
	asksMax    = 1024 // requests waiting for their Ack
	ordersMax  = 16   // starts that the runtime works on at once, and as many stops
	copiesMax  = 2    // snapshots being written at once: each holds on to records that change meanwhile
	sessionMax = 64   // logs and exec sessions served for other nodes at once

	wakeMax = time.Second // the loop steps at least this often
)

// Store keeps pairs on disk. A Commit that returned nil survives a power cut.
type Store interface {
	Load(prefix string, f func(key string, value []byte) error) error
	Commit(batch []crdt.KV) error
	Close() error
}

// Mesh is what a node asks of its network beyond p2p.Mesh: a door for those who
// hold a token, and a way to play partition in a test network.
type Mesh interface {
	p2p.Mesh
	OpenDoor(admit func(context.Context, cert.JoinRequest) (cert.JoinGrant, error)) error
	CloseDoor() error
	DoorAddrs() []string
	SetBlocked(blocked func(p2p.PeerID) bool)
}

// Config is what a node is made of. All fields are required unless said.
type Config struct {
	Identity Identity
	Store    Store
	// DataDir holds the mark, which must not lie in the store's own directory.
	DataDir string
	// Machine is where this node runs; nil: ThisMachine.
	Machine Machine
	Runtime runtime.Runtime
	// NewMesh connects this node to all members but the blocked ones (nil: none);
	// it is called once, when events can be taken.
	NewMesh func(ctx context.Context, members []p2p.Member, blocked func(p2p.PeerID) bool, events p2p.Events) (Mesh, error)
	Cache   *api.Cache
	Logger  *slog.Logger
	Core    core.Config // identity, Epoch, Replica, Former, Doubt and Seed are filled by New
	// Facts of this host that do not change.
	Host      core.Host
	Introduce bool // this node may admit others
	// Clock is the time that everything here goes by; nil: BootTime.
	Clock func() core.Instant
	// Blocked names the nodes that this one must not see, in a test network that is
	// cut when it starts; Block replaces it. Usually nil.
	Blocked []string
	// SaveDataKeys keeps the data keys beside the identity, synced; nil: nowhere.
	SaveDataKeys func([][]byte) error
	// DiskFree tells how many bytes are free where a directory is; nil: the file
	// system says.
	DiskFree func(dir string) (uint64, error)
	// HostUsage tells what is used of the machine; nil: ThisHostUsage.
	HostUsage func() (HostUsage, error)
	// HostSpare tells what the machine has left, and the disks of directories; nil: ThisHostSpare.
	HostSpare func(dirs ...string) core.Spare
	// Left is called when this node has left the cluster for good.
	Left func()
}

// Node is a running node. Make it with New, run it with Run.
type Node struct {
	cfg   Config
	log   *slog.Logger
	core  *core.Core
	mesh  Mesh
	inbox chan core.Event
	asks  asks
	disk  diskState
	view  atomic.Pointer[core.View]
	// reasons holds the newest core.Explanation of each workload, by state.Key.
	reasons   sync.Map
	conflicts sync.Map // state.Key -> []state.Conflict: what nobody has settled
	ring      ring
	tokens    tokenBook
	keys      *keyring
	orders    orders
	door      sync.Mutex // held while the door is opened or closed
	ready     chan struct{}
	seen      sync.Mutex // serialises observations, so that a later one is newer
	group     sync.WaitGroup
	stop      context.CancelCauseFunc
	host      hostWatch
	slots     chan struct{} // sessions served for other nodes
	copies    chan struct{} // snapshots being written
	toKeep    chan core.CopyOrder
	evicted   chan struct{} // closed when a view says so
	access    *api.Access   // judges who comes through other nodes
	issuer    *api.Issuer   // of tokens in pods' files; nil: this node has no key for them
	images    *image.Store  // nil: the runtime has none. Set before ready is closed
	silent    silence       // registries that did not answer
	pulls     pulls         // images on their way from registries
	meter     *meter

	evictedOnce sync.Once

	pending batch         // owned by the loop
	wake    core.Instant  // owned by the loop
	idle    chan struct{} // the committer waits for a batch
	commits chan batch    // from the loop to the committer
}

// BootTime reads CLOCK_BOOTTIME, which counts while the machine sleeps.
func BootTime() core.Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("node: CLOCK_BOOTTIME cannot be read: %v", err)) // Linux 2.6.39 has it
	}
	return core.Instant(ts.Nano())
}

// New loads a node from its store. It fails if what is stored does not decode.
func New(cfg Config) (*Node, error) {
	if cfg.Clock == nil {
		cfg.Clock = BootTime
	}
	if cfg.Machine == nil {
		cfg.Machine = ThisMachine()
	}
	if cfg.DiskFree == nil {
		cfg.DiskFree = image.FreeBytes
	}
	if cfg.HostSpare == nil {
		cfg.HostSpare = ThisHostSpare
	}
	given := cfg.Store
	c, err := cfg.load(given)
	if damaged(err) { // again, without what was in the damaged records
		c, err = cfg.load(given)
	}
	if err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger, core: c,
		inbox: make(chan core.Event, inboxMax), idle: make(chan struct{}), commits: make(chan batch),
		ready: make(chan struct{}), slots: make(chan struct{}, sessionMax),
		copies: make(chan struct{}, copiesMax), toKeep: make(chan core.CopyOrder, 1), evicted: make(chan struct{}),
	}
	n.access = api.NewAccess(cfg.Cache, n.ClusterTime)
	n.meter = newMeter(&n.cfg)
	n.asks.waiting = map[uint64]chan core.Ack{}
	n.orders = orders{starts: make(chan struct{}, ordersMax), stops: make(chan struct{}, ordersMax)}
	n.tokens.load(cfg.Store)
	if n.keys, err = newKeyring(cfg.Identity.DataKeys); err != nil {
		return nil, err
	}
	if n.issuer, err = n.issuerOf(&cfg.Identity); err != nil {
		return nil, err
	}
	n.host.current = cfg.Host
	n.sayDoubt()
	n.projectAll(c.Snapshot())
	n.view.Store(c.View()) // Blocked is by name, and the mesh starts before the first step
	return n, nil
}

// load boots a store and makes the core from it. It fills in Core and Store.
func (cfg *Config) load(s Store) (*core.Core, error) {
	store, boot, err := bootStore(s, cfg.DataDir, cfg.Machine)
	if err != nil {
		return nil, err
	}
	id := cfg.Identity
	cc := &cfg.Core
	cc.Node, cc.Peer, cc.Cluster, cc.ClusterKey = id.Name, id.Peer(), id.Cluster, id.ClusterKey
	cc.Known, cc.RootCA = id.Known, string(id.CACert)
	if boot.fresh {
		more, err := remembered(cfg.DataDir, cc.Peer)
		if err != nil {
			cfg.Logger.Warn("the members that this node knew do not read; it goes by those that let it in", "file", KnownFile, "error", err)
		}
		cc.Known = alsoKnown(id.Known, more)
	}
	cc.Epoch, cc.Seed = boot.epoch, boot.seed
	cc.Replica, cc.Former, cc.Doubt = boot.replica, boot.former, boot.doubt
	cfg.Store = store
	return core.New(*cc, cfg.Clock(), store.Load)
}

// sayDoubt tells the operator that this node goes on under a fresh replica ID.
func (n *Node) sayDoubt() {
	cc := &n.cfg.Core
	if cc.Doubt == "" {
		return
	}
	n.journal(core.Fact{
		Warning: true, Reason: "ReplicaReplaced", About: state.MakeKey(state.Nodes, "", cc.Node),
		Message: fmt.Sprintf("the database of this node is in doubt: %s. So the node goes on as a new replica (%s, formerly %s) and asks its peers for what it lacks; nothing needs to be done, unless its data directory runs on two machines: then stop one of them and let it join anew",
			cc.Doubt, cc.Replica, cc.Former),
	})
}

// Run connects the node and runs it until ctx ends. Pods go on running: stopping
// them is an explicit request (StopAll).
func (n *Node) Run(ctx context.Context) (err error) {
	ctx, n.stop = context.WithCancelCause(ctx)
	defer func() {
		n.stop(err)
		n.group.Wait()
	}()
	n.mesh, err = n.cfg.NewMesh(ctx, n.core.Speakers(), n.hides(n.cfg.Blocked), (*meshEvents)(n))
	if err != nil {
		return err
	}
	defer n.mesh.Close()
	n.serveStreams()
	n.serveImages(ctx)
	close(n.ready)
	n.spawn(func() { n.loop(ctx) })
	n.spawn(func() { n.commit(ctx) })
	n.spawn(func() { n.watchHost(ctx) })
	n.spawn(func() { n.watchPods(ctx) })
	n.spawn(func() { n.watchTokens(ctx) })
	n.spawn(func() { n.watchKeys(ctx) })
	n.spawn(func() { n.watchEviction(ctx) })
	n.spawn(func() { n.access.Follow(ctx) })
	n.spawn(func() { n.keepCopies(ctx) })
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func (n *Node) now() core.Instant { return n.cfg.Clock() }

// spawn runs f in a goroutine that Run waits for.
func (n *Node) spawn(f func()) { n.group.Go(f) }

// Mesh is the node's network, once Run has connected it.
func (n *Node) Mesh(ctx context.Context) (Mesh, error) {
	select {
	case <-n.ready:
		return n.mesh, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// meshEvents turns what the mesh tells into events. It never blocks: frames are
// hints, and a loop that cannot keep up drops them.
type meshEvents Node

func (m *meshEvents) Frame(from p2p.PeerID, frame []byte) {
	m.offer(core.Received{From: from, Frame: frame})
}
func (m *meshEvents) Up(peer p2p.PeerID)   { m.offer(core.PeerUp{Peer: peer}) }
func (m *meshEvents) Down(peer p2p.PeerID) { m.offer(core.PeerDown{Peer: peer}) }

func (m *meshEvents) offer(ev core.Event) {
	select {
	case m.inbox <- ev:
	default:
	}
}

// tell hands an event to the loop and waits for room.
func (n *Node) tell(ctx context.Context, ev core.Event) bool {
	select {
	case n.inbox <- ev:
		return true
	case <-ctx.Done():
		return false
	}
}

// loop owns the Core: it steps it and hands batches to the committer.
func (n *Node) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var idle chan struct{}
		if !n.pending.empty() {
			idle = n.idle
		}
		select {
		case <-ctx.Done():
			return
		case <-idle:
			if !n.handOver(ctx) {
				return
			}
		case ev := <-n.inbox:
			n.step(ctx, ev)
			n.drain(ctx)
		case <-timer.C:
			n.step(ctx, core.Woke{})
		}
		timer.Reset(max(n.wake-n.now(), 0))
	}
}

// handOver gives the committer what it is to make durable, and what may be said of
// it afterwards.
func (n *Node) handOver(ctx context.Context) bool {
	n.pending.send = append(n.pending.send, n.core.Spread()...)
	select {
	case n.commits <- n.pending:
		n.pending = batch{}
		return true
	case <-ctx.Done():
		return false
	}
}

// drain takes what else is waiting, so that one sync serves many events.
func (n *Node) drain(ctx context.Context) {
	for range batchMax {
		select {
		case ev := <-n.inbox:
			n.step(ctx, ev)
		default:
			return
		}
	}
}

func (n *Node) step(ctx context.Context, ev core.Event) {
	if !n.disk.admits(ev, &n.pending) {
		return
	}
	ready := n.core.Step(n.now(), ev)
	for _, e := range ready.Send {
		if e.Early {
			n.send(e)
		}
	}
	for _, p := range ready.Probe {
		n.attempt(ctx, p)
	}
	if ready.Measure != nil {
		m := *ready.Measure
		n.spawn(func() { n.weigh(ctx, m) })
	}
	n.pending.add(ready)
	n.wake = ready.Wake
	if n.wake == 0 {
		n.wake = n.now() + wakeMax
	}
}

func (n *Node) send(e core.Envelope) {
	switch {
	case e.To == "":
		n.mesh.Broadcast(e.Frame)
	case e.Early:
		n.mesh.SendFirst(e.To, e.Frame)
	default:
		n.mesh.Send(e.To, e.Frame)
	}
}
