package libp2p

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	mstream "github.com/multiformats/go-multistream"

	"holon/p2p"
)

// streamPrefix comes before the owner's protocol names on the wire.
const streamPrefix = "/holon/stream/1/"

// stream is a libp2p stream in the form of the contract.
type stream struct{ s network.Stream }

var _ p2p.Stream = stream{}

func (s stream) Read(p []byte) (int, error)  { return s.s.Read(p) }
func (s stream) Write(p []byte) (int, error) { return s.s.Write(p) }
func (s stream) Close() error                { return s.s.Close() }
func (s stream) CloseWrite() error           { return s.s.CloseWrite() }
func (s stream) Reset()                      { s.s.Reset() }

// Open dials the peer if need be and opens a stream.
func (m *Mesh) Open(ctx context.Context, name p2p.PeerID, proto string) (p2p.Stream, error) {
	s, err := m.open(ctx, name, proto)
	if err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", proto, name, err)
	}
	return stream{s}, nil
}

func (m *Mesh) open(ctx context.Context, name p2p.PeerID, proto string) (network.Stream, error) {
	r := m.remoteNamed(name)
	if r == nil {
		return nil, p2p.ErrNotMember
	}
	if m.ctx.Err() != nil {
		return nil, fmt.Errorf("%w: this mesh is closed", p2p.ErrUnreachable)
	}
	if !r.isConnected() {
		if err := r.connect(ctx); err != nil {
			return nil, unreachable(ctx, err)
		}
	}
	return m.openStream(ctx, r.id, protocol.ID(streamPrefix+proto))
}

// unreachable is the error of a dial or a stream that failed: the context's own
// if that was the cause.
func unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", p2p.ErrUnreachable, ctx.Err())
	}
	return fmt.Errorf("%w: %w", p2p.ErrUnreachable, err)
}

// openStream opens a stream on a connection that stands.
func (m *Mesh) openStream(ctx context.Context, id peer.ID, proto protocol.ID) (network.Stream, error) {
	s, err := m.end.net.NewStream(network.WithNoDial(ctx, "holon dials by itself"), id)
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	if err := negotiate(ctx, s, proto); err != nil {
		s.Reset()
		if errors.Is(err, mstream.ErrNotSupported[protocol.ID]{}) {
			return nil, p2p.ErrNoHandler
		}
		return nil, unreachable(ctx, err)
	}
	return s, nil
}

// negotiate agrees on the protocol; the end of ctx breaks it off.
func negotiate(ctx context.Context, s network.Stream, proto protocol.ID) error {
	stop := context.AfterFunc(ctx, func() { s.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := mstream.SelectProtoOrFail(proto, s); err != nil {
		return err
	}
	if !stop() {
		return ctx.Err()
	}
	return s.SetProtocol(proto)
}

// Handle serves inbound streams of a protocol.
func (m *Mesh) Handle(proto string, h func(ctx context.Context, peer p2p.PeerID, s p2p.Stream)) {
	m.end.host.SetStreamHandler(protocol.ID(streamPrefix+proto), func(s network.Stream) {
		r := m.remote(s.Conn().RemotePeer())
		if r == nil || !m.enter() {
			s.Reset()
			return
		}
		defer m.wg.Done()
		h(m.ctx, r.name, stream{s})
	})
}
