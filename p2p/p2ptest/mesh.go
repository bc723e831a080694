package p2ptest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"holon/p2p"
)

// Mesh is one peer of a Net.
type Mesh struct {
	net    *Net
	self   p2p.PeerID
	events p2p.Events
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // inboxes and handlers

	// Guarded by net.mu.
	members  map[p2p.PeerID]bool
	departed map[p2p.PeerID][]byte
	up       map[p2p.PeerID]bool
	inboxes  map[p2p.PeerID]*inbox
	pending  map[p2p.PeerID]*sendQueue // frames for members that are not connected
	handlers map[string]func(context.Context, p2p.PeerID, p2p.Stream)
	streams  map[*stream]struct{}
	closed   bool
}

var _ p2p.Mesh = (*Mesh)(nil)

func newMesh(n *Net, self p2p.PeerID, events p2p.Events) *Mesh {
	ctx, cancel := context.WithCancel(context.Background())
	return &Mesh{
		net: n, self: self, events: events, ctx: ctx, cancel: cancel,
		members:  map[p2p.PeerID]bool{},
		up:       map[p2p.PeerID]bool{},
		inboxes:  map[p2p.PeerID]*inbox{},
		pending:  map[p2p.PeerID]*sendQueue{},
		handlers: map[string]func(context.Context, p2p.PeerID, p2p.Stream){},
		streams:  map[*stream]struct{}{},
	}
}

// Self is the ID given to Join.
func (m *Mesh) Self() p2p.PeerID { return m.self }

// Addrs is an address that only this package understands.
func (m *Mesh) Addrs() []string { return []string{"/memory/0/p2p/" + string(m.self)} }

// SetMembers replaces the members.
func (m *Mesh) SetMembers(members []p2p.Member) {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	clear(m.members)
	m.departed = map[p2p.PeerID][]byte{}
	for _, mem := range members {
		if mem.Farewell != nil {
			m.departed[mem.ID] = mem.Farewell
		} else {
			m.members[mem.ID] = true
		}
	}
	for peer := range m.pending {
		if !m.members[peer] {
			delete(m.pending, peer)
		}
	}
	m.net.settle()
}

// Send queues a frame.
func (m *Mesh) Send(to p2p.PeerID, frame []byte) { m.queue(to, frame, (*sendQueue).push) }

// SendFirst queues a frame before those of Send. On a connection nothing waits.
func (m *Mesh) SendFirst(to p2p.PeerID, frame []byte) { m.queue(to, frame, (*sendQueue).pushFirst) }

func (m *Mesh) queue(to p2p.PeerID, frame []byte, push func(*sendQueue, []byte)) {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	if m.closed || !m.members[to] || to == m.self || len(frame) > p2p.FrameBytesMax {
		return
	}
	frame = bytes.Clone(frame)
	if m.up[to] {
		m.net.carry(m.self, m.net.nodes[to], frame, false)
		return
	}
	q := m.pending[to]
	if q == nil {
		q = &sendQueue{}
		m.pending[to] = q
	}
	push(q, frame)
}

// Broadcast offers a frame to whomever a rumour reaches.
func (m *Mesh) Broadcast(frame []byte) {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	if m.closed || len(frame) > p2p.BroadcastBytesMax {
		return
	}
	frame = bytes.Clone(frame)
	for _, to := range m.net.reach(m) {
		m.net.carry(m.self, to, frame, true)
	}
}

// Handle registers a handler.
func (m *Mesh) Handle(protocol string, h func(ctx context.Context, peer p2p.PeerID, s p2p.Stream)) {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	m.handlers[protocol] = h
}

// Open opens a stream, after one round trip of the network's delay.
func (m *Mesh) Open(ctx context.Context, peer p2p.PeerID, protocol string) (p2p.Stream, error) {
	m.net.mu.Lock()
	member, delay := m.members[peer], 2*m.net.faults.Delay
	m.net.mu.Unlock()
	if !member {
		return nil, fmt.Errorf("open %s to %s: %w", protocol, peer, p2p.ErrNotMember)
	}
	if err := m.wait(ctx, delay); err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", protocol, peer, err)
	}
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	if !m.up[peer] || m.net.cut[route{m.self, peer}] || m.net.cut[route{peer, m.self}] {
		return nil, fmt.Errorf("open %s to %s: %w", protocol, peer, p2p.ErrUnreachable)
	}
	far := m.net.nodes[peer]
	handler := far.handlers[protocol]
	if handler == nil {
		return nil, fmt.Errorf("open %s to %s: %w", protocol, peer, p2p.ErrNoHandler)
	}
	near, there := newStreams(m, far)
	far.wg.Go(func() { handler(far.ctx, m.self, there) })
	return near, nil
}

func (m *Mesh) wait(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d == 0 {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-m.ctx.Done():
		return p2p.ErrUnreachable
	}
}

// Close leaves the network and waits for inboxes and handlers.
func (m *Mesh) Close() error {
	m.net.mu.Lock()
	if !m.closed {
		m.closed = true
		m.net.settle()
		m.resetStreams("")
		delete(m.net.nodes, m.self)
		m.cancel()
	}
	m.net.mu.Unlock()
	m.wg.Wait()
	return nil
}

// connect, disconnect, resetStreams and inbox run under net.mu.

func (m *Mesh) connect(peer *Mesh) {
	m.up[peer.self] = true
	m.inbox(peer.self).push(item{kind: upItem}, false)
	if q := m.pending[peer.self]; q != nil {
		delete(m.pending, peer.self)
		for _, f := range q.frames {
			m.net.carry(m.self, peer, f, false)
		}
	}
}

func (m *Mesh) disconnect(peer *Mesh) {
	delete(m.up, peer.self)
	in := m.inbox(peer.self)
	in.dropFrames()
	in.push(item{kind: downItem}, false)
}

// resetStreams aborts the streams with one peer, or all for "".
func (m *Mesh) resetStreams(peer p2p.PeerID) {
	for s := range m.streams {
		if peer == "" || s.far.self == peer {
			s.abort()
		}
	}
}

func (m *Mesh) inbox(from p2p.PeerID) *inbox {
	in := m.inboxes[from]
	if in == nil {
		in = newInbox()
		m.inboxes[from] = in
		if !m.closed {
			m.wg.Go(func() { in.deliver(m.ctx, from, m.events) })
		}
	}
	return in
}
