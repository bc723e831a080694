package libp2p

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/sec"
	blankhost "github.com/libp2p/go-libp2p/p2p/host/blank"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/quic-go/quic-go"
)

// Connections are given up after this long without a sign of life. SWIM notices
// sooner; this frees what is left of a connection that nobody closed.
const (
	idleTimeout     = 10 * time.Second
	keepAlivePeriod = 2 * time.Second
	acceptTimeout   = 5 * time.Second // for the handshakes of an inbound TCP connection
)

// Receive windows of one stream and one connection: enough for 100 Mbit/s at
// 300 ms, small enough that a stalled reader costs little.
const (
	streamWindow     = 4 << 20
	connectionWindow = 8 << 20
)

// endpoint is a libp2p host put together by hand: a swarm and a protocol switch,
// and nothing that would speak to a stranger by itself (no identify, ping,
// relay, AutoNAT, hole punching or DHT).
type endpoint struct {
	host  *blankhost.BlankHost
	net   *swarm.Swarm
	bus   event.Bus
	quic  *quicreuse.ConnManager // nil where only TCP is spoken
	rcmgr network.ResourceManager
	store peerstore.Peerstore
}

type endpointConfig struct {
	key    ed25519.PrivateKey
	gater  connmgr.ConnectionGater
	limits limits
	quic   bool
	// certTemplate is what QUIC certificates are made from; nil for certTemplate().
	certTemplate *x509.Certificate
}

// anyClock is a certificate template that is valid whatever the verifier's clock
// says. libp2p's own starts an hour before now on the signer's clock, so a peer
// whose clock is further ahead would be refused.
func anyClock() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Date(1970, 1, 1, 0, 0, 1, 0, time.UTC),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		Subject:      pkix.Name{SerialNumber: "holon"},
	}
}

func newEndpoint(cfg endpointConfig) (_ *endpoint, err error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(cfg.key)
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	self, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	e := &endpoint{bus: eventbus.NewBus()}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.store, err = pstoremem.NewPeerstore(); err != nil {
		return nil, err
	}
	if err := errors.Join(e.store.AddPrivKey(self, key), e.store.AddPubKey(self, key.GetPublic())); err != nil {
		return nil, err
	}
	if e.rcmgr, err = cfg.limits.manager(); err != nil {
		return nil, err
	}
	e.net, err = swarm.NewSwarm(self, e.store, e.bus,
		swarm.WithConnectionGater(cfg.gater), swarm.WithResourceManager(e.rcmgr),
		// The detectors stop dialling UDP after some failures: a partition is full of them.
		swarm.WithUDPBlackHoleSuccessCounter(nil), swarm.WithIPv6BlackHoleSuccessCounter(nil))
	if err != nil {
		return nil, err
	}
	if cfg.quic {
		if err := e.addQUIC(cfg, key); err != nil {
			return nil, fmt.Errorf("QUIC transport: %w", err)
		}
	}
	if err := e.addTCP(cfg, key); err != nil {
		return nil, fmt.Errorf("TCP transport: %w", err)
	}
	e.host = blankhost.NewBlankHost(e.net, blankhost.WithEventBus(e.bus))
	if e.host == nil {
		return nil, errors.New("libp2p host could not be made")
	}
	return e, nil
}

func (e *endpoint) addTCP(cfg endpointConfig, key crypto.PrivKey) error {
	mux := *yamux.DefaultTransport.Config()
	mux.KeepAliveInterval = keepAlivePeriod
	mux.ConnectionWriteTimeout = idleTimeout
	mux.MaxStreamWindowSize = streamWindow
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: (*yamux.Transport)(&mux)}}
	secure, err := noise.New(noise.ID, key, muxers)
	if err != nil {
		return err
	}
	up, err := upgrader.New([]sec.SecureTransport{secure}, muxers, nil, e.rcmgr, cfg.gater, upgrader.WithAcceptTimeout(acceptTimeout))
	if err != nil {
		return err
	}
	transport, err := tcp.NewTCPTransport(up, e.rcmgr, nil)
	if err != nil {
		return err
	}
	return e.net.AddTransport(transport)
}

func (e *endpoint) addQUIC(cfg endpointConfig, key crypto.PrivKey) error {
	reset, err1 := hkdf.Key(sha256.New, cfg.key.Seed(), nil, "holon QUIC stateless reset", 32)
	token, err2 := hkdf.Key(sha256.New, cfg.key.Seed(), nil, "holon QUIC address token", 32)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	var err error
	e.quic, err = quicreuse.NewConnManager(quic.StatelessResetKey(reset), quic.TokenGeneratorKey(token),
		quicreuse.ConnContext(e.admitQUIC),
		quicreuse.VerifySourceAddress(func(addr net.Addr) bool { return e.rcmgr.VerifySourceAddress(addr) }))
	if err != nil {
		return err
	}
	// Idle timeout and keep-alive hold for both ends of a connection that one of
	// them sets, and every connection between members is dialled by a member.
	client := e.quic.ClientConfig()
	client.MaxIdleTimeout = idleTimeout
	client.KeepAlivePeriod = keepAlivePeriod
	client.MaxStreamReceiveWindow = streamWindow
	client.MaxConnectionReceiveWindow = connectionWindow
	template := cfg.certTemplate
	if template == nil {
		template = anyClock()
	}
	transport, err := libp2pquic.NewTransport(key, e.quic, nil, cfg.gater, e.rcmgr,
		libp2pquic.WithTLSIdentityOption(libp2ptls.WithCertTemplate(template)))
	if err != nil {
		return err
	}
	return e.net.AddTransport(transport)
}

// admitQUIC charges an inbound QUIC connection to the resource manager before
// its handshake.
func (e *endpoint) admitQUIC(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	addr, err := quicreuse.ToQuicMultiaddr(info.RemoteAddr, quic.Version1)
	if err != nil {
		addr = nil
	}
	scope, err := e.rcmgr.OpenConnection(network.DirInbound, false, addr)
	if err != nil {
		return ctx, err
	}
	ctx = network.WithConnManagementScope(ctx, scope)
	context.AfterFunc(ctx, scope.Done)
	return ctx, nil
}

// listen opens each address and returns what it became; wanted are tried first
// in its place, for a port that should survive a restart.
func (e *endpoint) listen(addr string, wanted string) (ma.Multiaddr, error) {
	before := map[string]bool{}
	for _, a := range e.net.ListenAddresses() {
		before[a.String()] = true
	}
	var errs []error
	for _, try := range []string{wanted, addr} {
		if try == "" {
			continue
		}
		a, err := ma.NewMultiaddr(try)
		if err != nil {
			return nil, fmt.Errorf("listen address %q: %w", try, err)
		}
		if err := e.net.AddListenAddr(a); err != nil {
			errs = append(errs, fmt.Errorf("listen on %s: %w", try, err))
			continue
		}
		for _, a := range e.net.ListenAddresses() {
			if !before[a.String()] {
				return a, nil
			}
		}
		return a, nil
	}
	return nil, errors.Join(errs...)
}

// close ends every connection and what serves them.
func (e *endpoint) close() error {
	var errs []error
	if e.net != nil {
		errs = append(errs, e.net.Close())
	}
	if e.quic != nil {
		errs = append(errs, e.quic.Close())
	}
	if e.store != nil {
		errs = append(errs, e.store.Close())
	}
	if e.rcmgr != nil {
		errs = append(errs, e.rcmgr.Close())
	}
	return errors.Join(errs...)
}
