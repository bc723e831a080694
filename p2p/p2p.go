// Package p2p says what a node asks of its network: frames to one peer or to
// all, byte streams on demand, and word of who comes and goes. p2p/libp2p
// implements it on real networks, p2p/p2ptest in memory with faults; both pass
// the conformance suite of p2p/p2ptest.
//
// Frames are hints: they may be lost, never altered. What must arrive is
// carried by anti-entropy, which the node's core runs over these frames.
//
// # Frames
//
// A frame is opaque here; node/core owns its content. It is at most
// FrameBytesMax long. Send keeps order per peer while the connection lives;
// Broadcast promises no order at all.
package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Bounds that every Mesh enforces.
const (
	FrameBytesMax     = 4 << 20  // one frame of Send: a chunk of records, one of which may be large
	BroadcastBytesMax = 48 << 10 // one frame of Broadcast: larger ones go by anti-entropy
	SendQueueMax      = 1024     // frames waiting for one peer; more are dropped, oldest first
	SendQueueBytesMax = 8 << 20  // bytes waiting for one peer; likewise
	PeersDialledMax   = 64       // standing connections that a mesh seeks by itself
)

// PeerID names a peer for life: the text form of its libp2p peer ID.
type PeerID string

// Errors of Open.
var (
	ErrUnreachable = errors.New("peer is unreachable")
	ErrNotMember   = errors.New("peer is not a member of this cluster")
	ErrNoHandler   = errors.New("peer does not serve this protocol: it may run another version of holon")
)

// Member is a peer that may speak. Addrs are hints (multiaddrs); the mesh keeps
// its own signed, ordered address records.
//
// A peer with a Farewell may not, any more: it is not dialled, and if it dials it gets
// this frame and is shut out.
type Member struct {
	ID       PeerID
	Addrs    []string
	Farewell []byte `json:"-" cbor:"-"`
}

func (m Member) String() string { return fmt.Sprintf("{%s %v}", m.ID, m.Addrs) }

// Present lists the members that may speak.
func Present(members []Member) []Member {
	return slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Farewell != nil })
}

// Events is what a mesh tells its owner. Calls come from the mesh's own
// goroutines, concurrently; they must return quickly and must not call back
// into the mesh synchronously.
type Events interface {
	// Frame delivers a frame from an authenticated member.
	Frame(from PeerID, frame []byte)
	// Up and Down report the first connection to a member and the loss of the
	// last one. Down is a hint to probe at once, not a verdict.
	Up(peer PeerID)
	Down(peer PeerID)
}

// Mesh connects the members of one cluster.
type Mesh interface {
	// Self is this node's peer ID.
	Self() PeerID
	// Addrs are the addresses where this node can be reached now, as multiaddrs
	// that end in /p2p/<id>.
	Addrs() []string
	// SetMembers replaces the set of peers that may connect and are dialled.
	// A peer that is dropped from it, or has a Farewell now, is disconnected at once.
	SetMembers([]Member)
	// Send queues a frame for one member and dials it if need be. Best effort:
	// it never blocks and never fails; what cannot be sent is dropped.
	Send(to PeerID, frame []byte)
	// SendFirst is Send past all that waits: for word of being alive, which is worth
	// nothing late and must not wait behind records on a slow link. It keeps order
	// among its own.
	SendFirst(to PeerID, frame []byte)
	// Broadcast offers a frame to all members. Best effort, never blocks.
	Broadcast(frame []byte)
	// Open dials the peer if need be and opens a stream. It fails with
	// ErrUnreachable, ErrNotMember, ErrNoHandler or the error of ctx.
	Open(ctx context.Context, peer PeerID, protocol string) (Stream, error)
	// Handle serves inbound streams of a protocol. The handler runs in its own
	// goroutine and owns the stream; ctx ends when the mesh closes.
	Handle(protocol string, h func(ctx context.Context, peer PeerID, s Stream))
	// Close ends every connection and waits for every goroutine of the mesh,
	// handlers included.
	Close() error
}

// Stream is a reliable, flow-controlled byte stream between two members.
type Stream interface {
	io.ReadWriteCloser
	// CloseWrite ends the sending half; the peer reads EOF.
	CloseWrite() error
	// Reset aborts both halves; the peer reads an error.
	Reset()
}
