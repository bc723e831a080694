package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
	"holon/p2p"
)

// batch is what several Readies ask for, to be made durable by one sync.
type batch struct {
	persist []crdt.KV
	changed []core.Change
	derived []core.Derived
	view    *core.View
	why     []core.Explanation
	members []p2p.Member
	acks    []core.Ack
	send    []core.Envelope
	run     []core.Order
	hooks   []core.Hook
	copies  []core.CopyOrder
	facts   []core.Fact
}

// batchPersistMax bounds what piles up while a disk does not answer.
const batchPersistMax = 4096

func (b *batch) add(r core.Ready) {
	b.persist = append(b.persist, r.Persist...)
	b.changed = append(b.changed, r.Changed...)
	b.derived = append(b.derived, r.Derived...)
	if r.View != nil {
		b.view = r.View
	}
	b.why = append(b.why, r.Explained...)
	if r.Members != nil {
		b.members = r.Members
	}
	b.acks = append(b.acks, r.Acks...)
	for _, e := range r.Send {
		if !e.Early {
			b.send = append(b.send, e)
		}
	}
	b.run = append(b.run, r.Run...)
	b.hooks = append(b.hooks, r.Hook...)
	b.copies = append(b.copies, r.Copies...)
	b.facts = append(b.facts, r.Facts...)
}

func (b *batch) empty() bool {
	return len(b.persist)+len(b.changed)+len(b.derived)+len(b.acks)+len(b.send)+len(b.run)+len(b.hooks)+len(b.copies)+len(b.facts) == 0 && b.view == nil && b.members == nil
}

// diskState says whether the store takes writes. While it does not, nothing is
// acknowledged and no new write is taken; liveness goes on.
type diskState struct {
	failing atomic.Pointer[string]
}

// admits reports whether an event may be stepped now.
func (d *diskState) admits(ev core.Event, pending *batch) bool {
	if d.failing.Load() == nil {
		return true
	}
	if received, ok := ev.(core.Received); ok {
		return len(pending.persist) < batchPersistMax || core.IsLiveness(received.Frame)
	}
	return true
}

// commit makes batches durable, in order, and lets out what waits for that.
func (n *Node) commit(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n.idle <- struct{}{}:
		}
		select {
		case <-ctx.Done():
			return
		case b := <-n.commits:
			if !n.persist(ctx, b) {
				return
			}
			n.release(ctx, b)
		}
	}
}

// Pace of retries on a disk that fails.
const (
	diskRetryFirst = 200 * time.Millisecond
	diskRetryMax   = 5 * time.Second
)

// persist writes a batch, for as long as it takes: nothing after it may happen
// before it. Those who wait for an answer get one at once if the disk fails.
func (n *Node) persist(ctx context.Context, b batch) bool {
	if len(b.persist) == 0 {
		return true
	}
	wait := diskRetryFirst
	reshow := func() {}
	for {
		err := commitParts(n.cfg.Store, &b.persist)
		if err == nil {
			reshow()
			if n.disk.failing.Swap(nil) != nil {
				n.log.Info("the disk takes writes again")
				n.host.poke()
			}
			return true
		}
		text := err.Error()
		if n.disk.failing.Swap(&text) == nil {
			n.log.Error("this node cannot store anything and acknowledges nothing", "error", err)
			n.host.poke()
			reshow = n.showDiskFailure(text)
		}
		n.asks.failAll(b.acks, fmt.Errorf("%w: %v", errNotDurable, err))
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
			wait = min(2*wait, diskRetryMax)
		}
	}
}

// showDiskFailure makes this node's own API show it as not Ready, as its peers
// see it by its status: what the core derives waits behind the batch that cannot
// be written. again shows what was shown before; until then nothing else is.
func (n *Node) showDiskFailure(text string) (again func()) {
	key := api.Key{Resource: state.Nodes, Name: n.cfg.Identity.Name}
	before, ok := n.cfg.Cache.Get(key)
	if !ok {
		return func() {}
	}
	show := func(value map[string]any) {
		if err := n.cfg.Cache.Apply([]api.Object{{Key: key, Token: before.Token, Source: api.Decoded(value)}}, nil); err != nil {
			n.log.Error("resourceVersions could not be reserved", "error", err)
		}
	}
	show(state.WithDiskFailure(before.Value(), text))
	return func() { show(before.Value()) }
}

// Bounds of one transaction: less than the store takes, because the guard adds a
// pair.
const (
	partPairsMax = 1024
	partBytesMax = 240 << 10
)

// commitParts writes a batch in transactions that the store takes, in order: a
// crash between two of them keeps a prefix, which is a state that the core was
// in. What is written is cut off, so that a retry goes on behind it.
func commitParts(store Store, batch *[]crdt.KV) error {
	for len(*batch) > 0 {
		part, bytes := 0, 0
		for part < len(*batch) && part < partPairsMax {
			kv := (*batch)[part]
			size := len(kv.Key) + len(kv.Value)
			if part > 0 && bytes+size > partBytesMax {
				break
			}
			part, bytes = part+1, bytes+size
		}
		if err := store.Commit((*batch)[:part]); err != nil {
			return err
		}
		*batch = (*batch)[part:]
	}
	return nil
}

// release lets out what a durable batch brought: first to peers, because they only
// begin with it now, then to readers here, then to askers, then to the runtime.
func (n *Node) release(ctx context.Context, b batch) {
	if b.members != nil {
		n.mesh.SetMembers(b.members)
		n.remember(b.members)
	}
	for _, e := range b.send {
		n.send(e)
	}
	n.project(b.changed, b.derived)
	if b.view != nil {
		n.view.Store(b.view)
		n.noteEviction(b.view)
	}
	for _, e := range b.why {
		n.reasons.Store(e.Key, e)
	}
	n.asks.answer(b.acks)
	for _, o := range b.run {
		n.execute(ctx, o)
	}
	for _, h := range b.hooks {
		n.tellStarted(ctx, h)
	}
	for _, o := range b.copies {
		n.toKeep <- o // the core has one under way at most
	}
	for _, f := range b.facts {
		n.journal(f)
	}
}

// asks remembers who waits for which Ack.
type asks struct {
	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan core.Ack
}

// ask hands a request to the core and waits until it is durable here.
func (n *Node) ask(ctx context.Context, op core.Op) (core.Ack, error) {
	if failing := n.disk.failing.Load(); failing != nil {
		return core.Ack{}, fmt.Errorf("%w: %s", errNotDurable, *failing)
	}
	id, answer, err := n.asks.open()
	if err != nil {
		return core.Ack{}, err
	}
	defer n.asks.drop(id)
	if !n.tell(ctx, core.Asked{ID: id, Op: op}) {
		return core.Ack{}, ctx.Err()
	}
	select {
	case ack := <-answer:
		return ack, ack.Err
	case <-ctx.Done():
		return core.Ack{}, ctx.Err()
	}
}

func (a *asks) open() (uint64, chan core.Ack, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) >= asksMax {
		return 0, nil, errBusy
	}
	a.next++
	answer := make(chan core.Ack, 1)
	a.waiting[a.next] = answer
	return a.next, answer, nil
}

func (a *asks) drop(id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, id)
}

func (a *asks) answer(acks []core.Ack) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ack := range acks {
		if answer := a.waiting[ack.ID]; answer != nil {
			answer <- ack
			delete(a.waiting, ack.ID)
		}
	}
}

func (a *asks) failAll(acks []core.Ack, err error) {
	failed := make([]core.Ack, len(acks))
	for i, ack := range acks {
		failed[i] = core.Ack{ID: ack.ID, Err: err}
	}
	a.answer(failed)
}
