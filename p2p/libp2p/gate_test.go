package libp2p

import (
	"context"
	"crypto/x509"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"holon/p2p"
	"holon/p2p/p2ptest"
)

func TestMain(m *testing.M) {
	LogLibrary(slog.DiscardHandler)
	os.Exit(m.Run())
}

// openGate is a stranger's: it dials anybody and lets anybody in.
type openGate struct{ joinGate }

func (openGate) InterceptAccept(network.ConnMultiaddrs) bool { return true }
func (openGate) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

var _ connmgr.ConnectionGater = openGate{}

func rawHost(t testing.TB, template *x509.Certificate) *endpoint {
	t.Helper()
	end, err := newEndpoint(endpointConfig{key: newKey(t), gater: openGate{}, limits: meshLimits, quic: true, certTemplate: template})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end.close() })
	for _, a := range loopback {
		if _, err := end.listen(a, ""); err != nil {
			t.Fatal(err)
		}
	}
	return end
}

// everyProtocol is what a mesh speaks, and what libp2p hosts usually do.
var everyProtocol = []protocol.ID{
	frameProtocol, joinProtocol, streamPrefix + "echo",
	pubsub.GossipSubID_v13, pubsub.GossipSubID_v12, pubsub.GossipSubID_v11, pubsub.GossipSubID_v10, pubsub.FloodSubID,
	"/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0", "/libp2p/circuit/relay/0.2.0/hop",
	"/libp2p/autonat/1.0.0", "/libp2p/dcutr", "/ipfs/kad/1.0.0",
}

// snoop dials a mesh at one address and tries every protocol. It counts the
// streams that were granted and the bytes that came, over streams of either side.
type snoop struct {
	end            *endpoint
	streams, bytes atomic.Int64
}

func newSnoop(t testing.TB) *snoop {
	s := &snoop{end: rawHost(t, nil)}
	s.end.net.SetStreamHandler(func(in network.Stream) { // before any protocol is agreed on
		s.streams.Add(1)
		n, _ := io.Copy(io.Discard, in)
		s.bytes.Add(n)
	})
	return s
}

func (s *snoop) try(t testing.TB, target peer.ID, addr ma.Multiaddr) {
	t.Helper()
	s.end.store.ClearAddrs(target)
	s.end.store.AddAddrs(target, []ma.Multiaddr{addr}, addrTTL)
	for _, proto := range everyProtocol {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		// The last dial's connection may be over without the swarm knowing it yet:
		// it would hand that one out again, for one protocol after the other.
		s.end.net.ClosePeer(target)
		s.end.net.Backoff().Clear(target)
		_, _ = s.end.net.DialPeer(ctx, target) // over QUIC it may look like a success
		st, err := s.end.net.NewStream(network.WithNoDial(ctx, "test"), target)
		if err == nil {
			if negotiate(ctx, st, proto) == nil {
				s.streams.Add(1)
			}
			st.Write([]byte("\x05hello"))
			st.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			n, _ := io.Copy(io.Discard, st)
			s.bytes.Add(n)
			st.Reset()
		}
		cancel()
	}
}

func TestStrangerHearsNothing(t *testing.T) {
	fs := startMany(t, 2, nil)
	for _, f := range fs {
		f.Mesh.Handle("echo", func(_ context.Context, _ p2p.PeerID, s p2p.Stream) {
			defer s.Close()
			s.Write([]byte("secret"))
		})
	}
	introduce(t, fs...)
	target := mesh(fs[0])
	stop := make(chan struct{})
	talking := make(chan struct{})
	go func() { // so that there is something to overhear
		defer close(talking)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				fs[0].Mesh.Broadcast([]byte("overhear me"))
				fs[0].Mesh.Send(fs[1].ID(), []byte("overhear me"))
			}
		}
	}()
	stranger := newSnoop(t)
	gossipOn(t, stranger.end, target.self)
	for _, a := range target.end.net.ListenAddresses() {
		stranger.try(t, target.self, a)
	}
	if stranger.streams.Load() != 0 || stranger.bytes.Load() != 0 {
		t.Errorf("a stranger was granted %d streams and %d bytes", stranger.streams.Load(), stranger.bytes.Load())
	}
	if target.end.net.Connectedness(stranger.end.net.LocalPeer()) != network.NotConnected {
		t.Error("a stranger stays connected")
	}
	if id := p2pID(stranger.end.net.LocalPeer()); fs[0].Events.IsUp(id) || len(fs[0].Events.Frames(id)) != 0 {
		t.Error("the owner heard of a stranger")
	}

	// The same snoop as a member is heard and hears: the test can see it.
	fs[0].Mesh.SetMembers(append(p2ptest.Members(fs...), p2p.Member{ID: p2pID(stranger.end.net.LocalPeer())}))
	stranger.try(t, target.self, target.end.net.ListenAddresses()[0])
	if stranger.streams.Load() == 0 || stranger.bytes.Load() == 0 {
		t.Errorf("as a member it was granted %d streams and %d bytes", stranger.streams.Load(), stranger.bytes.Load())
	}
	close(stop)
	<-talking
}

// gossipOn lets a stranger speak GossipSub on the cluster's topic.
func gossipOn(t testing.TB, end *endpoint, target peer.ID) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ps, err := pubsub.NewGossipSub(ctx, end.host, pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor())
	if err != nil {
		t.Fatal(err)
	}
	sub, err := ps.Subscribe("/holon/" + testCluster)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if _, err := sub.Next(ctx); err == nil {
			t.Error("a stranger heard gossip")
		}
	}()
	meets, err := end.bus.Emitter(&event.EvtPeerProtocolsUpdated{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { meets.Close() })
	end.net.Notify(&network.NotifyBundle{ConnectedF: func(network.Network, network.Conn) {
		go meets.Emit(event.EvtPeerProtocolsUpdated{Peer: target, Added: []protocol.ID{pubsub.GossipSubID_v12}})
	}})
}

// A peer whose clock is a year ahead makes certificates that, without anyClock,
// start a year from now. Both directions have to work with it and fail without.
func TestCertificatesAreValidOnAnyClock(t *testing.T) {
	ahead := anyClock()
	ahead.NotBefore = time.Now().AddDate(1, 0, 0).Add(-time.Hour) // as libp2p does by itself
	for name, dial := range map[string]func(template *x509.Certificate) error{
		"from it": func(c *x509.Certificate) error { return quicEcho(rawHost(t, c), rawHost(t, nil)) },
		"to it":   func(c *x509.Certificate) error { return quicEcho(rawHost(t, nil), rawHost(t, c)) },
	} {
		if err := dial(ahead); err == nil {
			t.Errorf("%s: the connection works without the fix: this test sees nothing", name)
		}
		if err := dial(nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// quicEcho needs a stream that works: the dialler alone may believe that it is
// connected to a peer that refused its certificate.
func quicEcho(from, to *endpoint) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	to.host.SetStreamHandler("/test/echo", func(s network.Stream) {
		io.Copy(s, s)
		s.Close()
	})
	for _, a := range to.net.ListenAddresses() {
		if _, err := a.ValueForProtocol(ma.P_QUIC_V1); err == nil {
			from.store.AddAddrs(to.net.LocalPeer(), []ma.Multiaddr{a}, addrTTL)
		}
	}
	s, err := from.host.NewStream(ctx, to.net.LocalPeer(), "/test/echo")
	if err != nil {
		return err
	}
	if _, err := s.Write([]byte("x")); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	_, err = io.ReadFull(s, make([]byte, 1))
	return err
}
