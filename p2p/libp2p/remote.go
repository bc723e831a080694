package libp2p

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"holon/p2p"
)

const (
	frameProtocol = protocol.ID("/holon/frame/1")

	openTimeout  = 5 * time.Second  // for a stream on a connection that stands
	writeTimeout = 15 * time.Second // a peer that takes nothing for so long gets a new stream
	reopenMin    = 50 * time.Millisecond
	reopenMax    = time.Second
)

// remote is another member.
type remote struct {
	m    *Mesh
	id   peer.ID
	name p2p.PeerID
	out  *outbox

	// Guarded by m.mu.
	member   bool
	standing bool // a connection to it should always stand
	wanted   bool // somebody has something for it
	hints    []ma.Multiaddr
	seen     []ma.Multiaddr // by mDNS
	dialling bool
	tries    int
	next     time.Time // not dialled before
	writing  bool
	reader   *frameReader
	readers  int    // inbound frame streams; more than one only while they change
	boot     uint64 // of the peer, as it last said itself

	// events orders Up, Frame and Down of this peer. It is held while the owner
	// is called, so the owner must not call back into the mesh.
	events sync.Mutex
	up     bool
}

// frameReader is the inbound frame stream of a peer; a newer one replaces it.
type frameReader struct {
	s    network.Stream
	done chan struct{}
}

// p2pID is the contract's form of a peer ID.
func p2pID(id peer.ID) p2p.PeerID { return p2p.PeerID(id.String()) }

func newRemote(m *Mesh, id peer.ID) *remote {
	return &remote{m: m, id: id, name: p2pID(id), out: newOutbox()}
}

// isConnected says whether a connection stands with a peer that may speak.
func (r *remote) isConnected() bool {
	return r.m.gate.admits(r.id) && r.m.end.net.Connectedness(r.id) == network.Connected
}

// connected is called by the swarm for each new connection.
func (m *Mesh) connected(id peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.peers[id]
	if r == nil || !r.member {
		if frame := m.gate.farewell(id); frame != nil {
			m.spawnLocked(func() { m.sayFarewell(id, frame) })
		}
		return
	}
	r.tries = 0
	if !r.writing {
		r.writing = m.spawnLocked(r.write)
	}
}

// disconnected is called by the swarm for each lost connection.
func (m *Mesh) disconnected(id peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.peers[id]; r != nil {
		m.spawnLocked(r.settle)
	}
}

// drop ends the connections to a peer that is no member any more, or is blocked.
func (r *remote) drop() {
	if !r.m.gate.isMember(r.id) {
		r.out.clear()
		r.m.allow(r.id)
	}
	if err := r.m.end.net.ClosePeer(r.id); err != nil {
		r.m.log.Debug("close connections", "peer", r.name, "error", err)
	}
	r.settle()
}

// settle reports the loss of the last connection, and lets the dialler look.
func (r *remote) settle() {
	r.events.Lock()
	if r.up && !r.isConnected() {
		r.up = false
		r.m.events.Down(r.name)
	}
	gone := !r.up
	r.events.Unlock()

	r.m.mu.Lock()
	if !r.isConnected() {
		r.soon()
	}
	if gone && !r.member && r.m.peers[r.id] == r {
		delete(r.m.peers, r.id)
	}
	r.m.mu.Unlock()
	r.m.wake()
}

// heard reports a peer up, and then a frame if there is one. It is false for a
// peer that may not speak any more.
func (r *remote) heard(frame []byte, isFrame bool) bool {
	r.events.Lock()
	defer r.events.Unlock()
	if !r.isConnected() {
		return false
	}
	if !r.up {
		r.up = true
		r.m.events.Up(r.name)
	}
	if isFrame {
		r.m.events.Frame(r.name, frame)
	}
	return true
}

// Send queues a frame for one member.
func (m *Mesh) Send(to p2p.PeerID, frame []byte) { m.queue(to, frame, (*outbox).push) }

// SendFirst queues a frame before all that Send has queued.
func (m *Mesh) SendFirst(to p2p.PeerID, frame []byte) { m.queue(to, frame, (*outbox).pushFirst) }

func (m *Mesh) queue(to p2p.PeerID, frame []byte, push func(*outbox, []byte)) {
	r := m.remoteNamed(to)
	if r == nil || len(frame) > p2p.FrameBytesMax || m.ctx.Err() != nil {
		return
	}
	push(r.out, bytes.Clone(frame))
	if !r.isConnected() {
		m.mu.Lock()
		r.wanted = true
		m.mu.Unlock()
		m.wake()
	}
}

// write keeps a frame stream to the peer open while a connection stands.
func (r *remote) write() {
	pause := reopenMin
	for {
		start := time.Now()
		err := r.writeStream()
		if r.m.ctx.Err() == nil && r.isConnected() {
			r.m.log.Debug("frame stream ended", "peer", r.name, "error", err)
			if time.Since(start) > reopenMax {
				pause = reopenMin
			}
			select {
			case <-time.After(pause):
				pause = min(2*pause, reopenMax)
			case <-r.m.ctx.Done():
			}
		}
		if r.stopWriting() {
			return
		}
	}
}

// stopWriting decides together with connected, which starts a writer for a peer
// that has none.
func (r *remote) stopWriting() bool {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if r.m.ctx.Err() == nil && r.isConnected() {
		return false
	}
	r.writing = false
	return true
}

// writeStream opens a stream, introduces this node and sends what is queued
// until the stream breaks.
func (r *remote) writeStream() error {
	ctx, cancel := context.WithCancel(r.m.ctx)
	defer cancel()
	opening, done := context.WithTimeout(ctx, openTimeout)
	s, err := r.m.openStream(opening, r.id, frameProtocol)
	done()
	if err != nil {
		return err
	}
	defer s.Reset()
	if !r.m.spawn(func() { // the peer never writes here: a read ends with the stream
		defer cancel()
		s.Read(make([]byte, 1))
	}) {
		return context.Canceled
	}
	w := bufio.NewWriterSize(s, 16<<10)
	if err := r.writeRecords(s, w, nil); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	r.m.gossip.meet(r.id)
	for {
		if err := r.writeQueued(s, w); err != nil {
			return err
		}
		if err := r.out.wait(ctx); err != nil {
			return err
		}
	}
}

func (r *remote) writeQueued(s network.Stream, w *bufio.Writer) error {
	if about := r.out.told(); about != nil {
		if err := r.writeRecords(s, w, about); err != nil {
			return err
		}
	}
	for {
		frame, ok := r.out.pop()
		if !ok {
			return w.Flush()
		}
		if !r.m.gate.admits(r.id) {
			return p2p.ErrNotMember
		}
		if err := s.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		if err := r.m.codec.writeFrame(w, frame); err != nil {
			return err
		}
	}
}

// writeRecords sends address records, as many messages as they need. The first
// message of a stream is never left out, even if it is empty.
func (r *remote) writeRecords(s network.Stream, w *bufio.Writer, about map[peer.ID]struct{}) error {
	const perMessage = 128 // 128 records of the largest size fit in one message
	records := r.m.book.about(about, r.m.gate.isMember)
	for first := true; first || len(records) > 0; first = false {
		n := min(len(records), perMessage)
		body, err := encodeRecords(records[:n])
		if err != nil {
			return err
		}
		records = records[n:]
		if err := s.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		if err := writeMessage(w, kindRecords, body); err != nil {
			return err
		}
	}
	return nil
}

// serveFrames reads the frame stream of a peer. It runs in the stream's own
// goroutine.
func (m *Mesh) serveFrames(s network.Stream) {
	defer s.Reset()
	r := m.remote(s.Conn().RemotePeer())
	if r == nil || !m.enter() {
		return
	}
	defer m.wg.Done()
	me := &frameReader{s: s, done: make(chan struct{})}
	defer close(me.done)
	m.mu.Lock()
	before := r.reader
	r.reader = me
	r.readers++
	m.mu.Unlock()
	if before != nil { // so that frames keep their order
		before.s.Reset()
		<-before.done
	}
	err := r.readFrames(s)
	m.mu.Lock()
	r.readers--
	if r.reader == me {
		r.reader = nil
	}
	m.mu.Unlock()
	if errors.Is(err, errMessage) {
		m.log.Warn("peer breaks the frame protocol; it may run another version", "peer", r.name, "error", err)
	}
}

// enter counts the calling goroutine as one of the mesh; m.wg.Done leaves.
func (m *Mesh) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.wg.Add(1)
	return true
}

func (r *remote) readFrames(s network.Stream) error {
	if err := s.SetReadDeadline(time.Now().Add(openTimeout)); err != nil {
		return err
	}
	in := bufio.NewReaderSize(s, 16<<10)
	for first := true; ; first = false {
		kind, body, err := r.m.codec.readMessage(in)
		if err != nil {
			return err
		}
		if first {
			if kind != kindRecords {
				return fmt.Errorf("%w: the first message is of kind %d", errMessage, kind)
			}
			if err := s.SetReadDeadline(time.Time{}); err != nil {
				return err
			}
		}
		switch kind {
		case kindRecords:
			records, err := decodeRecords(body)
			if err != nil {
				return err
			}
			if !r.heard(nil, false) {
				return p2p.ErrNotMember
			}
			r.m.learn(r.id, records)
			r.metBoot(s.Conn(), records)
		case kindFrame:
			if !r.heard(body, true) {
				return p2p.ErrNotMember
			}
		default:
			r.m.log.Debug("unknown kind of message is skipped", "peer", r.name, "kind", kind)
		}
	}
}

// metBoot closes the connections of a former life of the peer, once it says
// itself, over a newer one, that it has booted since. A power cut closes nothing,
// and QUIC gives up on silence only after idleTimeout: until then this node's
// writer would speak to the dead, and the peer would hear nothing from here.
func (r *remote) metBoot(newer network.Conn, records []addrRecord) {
	i := slices.IndexFunc(records, func(rec addrRecord) bool { return rec.Peer == r.id.String() })
	if i < 0 {
		return
	}
	r.m.mu.Lock()
	rebooted := r.boot != 0 && records[i].Boot > r.boot
	r.boot = max(r.boot, records[i].Boot)
	r.m.mu.Unlock()
	if !rebooted {
		return
	}
	for _, c := range r.m.end.net.ConnsToPeer(r.id) {
		if c != newer && c.Stat().Opened.Before(newer.Stat().Opened) {
			if err := c.Close(); err != nil {
				r.m.log.Debug("close a connection of a former life", "peer", r.name, "error", err)
			}
		}
	}
}

// learn takes address records from a peer, dials whom they are news of, and
// passes them on.
func (m *Mesh) learn(from peer.ID, records []addrRecord) {
	for _, rec := range records {
		id, err := rec.verify(m.cfg.Cluster)
		if err != nil {
			m.log.Warn("address record is refused", "from", from, "error", err)
			continue
		}
		if id != m.self && !m.gate.isMember(id) {
			continue
		}
		switch m.book.put(id, rec) {
		case learned:
			m.mu.Lock()
			if r := m.peers[id]; r != nil {
				r.soon()
			}
			m.mu.Unlock()
			m.allow(id)
			m.tellAll(id, from)
		case overtook:
			m.tellAll(m.self, "")
		case known:
		}
	}
	m.wake()
}

// tellAll sends the record of a peer to every connected one but two.
func (m *Mesh) tellAll(about, except peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, r := range m.peers {
		if r.writing && id != about && id != except {
			r.out.tell(about)
		}
	}
}
