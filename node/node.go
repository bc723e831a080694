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
	"holon/node/api"
	"holon/node/core"
	"holon/p2p"
	"holon/p2p/cert"
	"holon/runtime"
)

// Bounds of the shell.
const (
	inboxMax   = 4096 // events waiting for the loop; frames beyond are dropped
	batchMax   = 256  // events per batch
	asksMax    = 1024 // requests waiting for their Ack
	ordersMax  = 16   // orders that the runtime works on at once
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
	Runtime  runtime.Runtime
	// NewMesh connects this node; it is called once, when events can be taken.
	NewMesh func(ctx context.Context, members []p2p.Member, events p2p.Events) (Mesh, error)
	Cache   *api.Cache
	Logger  *slog.Logger
	Core    core.Config // Node, Peer, Cluster, keys, Epoch and Replica are filled by New
	// Facts of this host that do not change.
	Host      core.Host
	Introduce bool // this node may admit others
	// Clock is the time that everything here goes by; nil: BootTime.
	Clock func() core.Instant
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
	orders    orders
	door      sync.Mutex // held while the door is opened or closed
	ready     chan struct{}
	seen      sync.Mutex // serialises observations, so that a later one is newer
	group     sync.WaitGroup
	stop      context.CancelCauseFunc
	host      hostWatch
	slots     chan struct{} // sessions served for other nodes

	pending batch        // owned by the loop
	wake    core.Instant // owned by the loop
	commits chan batch   // from the loop to the committer
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
	boot, err := bootStore(cfg.Store)
	if err != nil {
		return nil, err
	}
	id := cfg.Identity
	cc := cfg.Core
	cc.Node, cc.Peer, cc.Cluster, cc.ClusterKey = id.Name, id.Peer(), id.Cluster, id.ClusterKey
	cc.Known = id.Known
	cc.Epoch, cc.Replica, cc.Seed = boot.epoch, boot.replica, boot.seed
	c, err := core.New(cc, cfg.Clock(), cfg.Store.Load)
	if err != nil {
		return nil, err
	}
	cfg.Core = cc
	n := &Node{
		cfg: cfg, log: cfg.Logger, core: c,
		inbox: make(chan core.Event, inboxMax), commits: make(chan batch),
		ready: make(chan struct{}), slots: make(chan struct{}, sessionMax),
	}
	n.asks.waiting = map[uint64]chan core.Ack{}
	n.orders.permits = make(chan struct{}, ordersMax)
	n.tokens.load(cfg.Store)
	n.host.current = cfg.Host
	n.project(c.Snapshot(), nil)
	n.view.Store(&core.View{})
	return n, nil
}

// Run connects the node and runs it until ctx ends. Pods go on running: stopping
// them is an explicit request (StopAll).
func (n *Node) Run(ctx context.Context) (err error) {
	ctx, n.stop = context.WithCancelCause(ctx)
	defer func() {
		n.stop(err)
		n.group.Wait()
	}()
	n.mesh, err = n.cfg.NewMesh(ctx, n.core.Speakers(), (*meshEvents)(n))
	if err != nil {
		return err
	}
	defer n.mesh.Close()
	n.serveStreams()
	close(n.ready)
	n.spawn(func() { n.loop(ctx) })
	n.spawn(func() { n.commit(ctx) })
	n.spawn(func() { n.watchHost(ctx) })
	n.spawn(func() { n.watchPods(ctx) })
	n.spawn(func() { n.watchTokens(ctx) })
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
		var out chan batch
		if !n.pending.empty() {
			out = n.commits
		}
		select {
		case <-ctx.Done():
			return
		case out <- n.pending:
			n.pending = batch{}
		case ev := <-n.inbox:
			n.step(ev)
			n.drain()
		case <-timer.C:
			n.step(core.Woke{})
		}
		timer.Reset(max(n.wake-n.now(), 0))
	}
}

// drain takes what else is waiting, so that one sync serves many events.
func (n *Node) drain() {
	for range batchMax {
		select {
		case ev := <-n.inbox:
			n.step(ev)
		default:
			return
		}
	}
}

func (n *Node) step(ev core.Event) {
	if !n.disk.admits(ev, &n.pending) {
		return
	}
	ready := n.core.Step(n.now(), ev)
	for _, e := range ready.Send {
		if e.Early {
			n.send(e)
		}
	}
	n.pending.add(ready)
	n.wake = ready.Wake
	if n.wake == 0 {
		n.wake = n.now() + wakeMax
	}
}

func (n *Node) send(e core.Envelope) {
	if e.To == "" {
		n.mesh.Broadcast(e.Frame)
		return
	}
	n.mesh.Send(e.To, e.Frame)
}
