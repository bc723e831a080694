// Package libp2p connects the members of a cluster over QUIC and TCP. It is the
// only importer of libp2p.
//
// # How peers meet
//
// Every known member is dialled, up to p2p.PeersDialledMax. Addresses come from
// the members' certificates of address (addrRecord: signed by their peer,
// ordered by boot and sequence), from hints, and from mDNS. A peer whose
// addresses all changed finds the others and tells them.
//
// # How peers speak
//
// Each peer opens one stream to each other for its frames and sends its address
// records first; the receiver calls the peer up when it has them. Broadcasts
// travel by GossipSub in envelopes that their origin signs. Everything else is a
// stream that Open asks for.
//
// # Who may speak
//
// The gate ends the connection of anybody but a member at the end of the
// handshake. A newcomer talks to the door instead: another listener, open only
// while join tokens are outstanding, that speaks the join protocol and nothing
// else.
package libp2p

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/gologshim"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"holon/p2p"
	"holon/p2p/cert"
)

// Config says how a node takes part. Key and Cluster are required.
type Config struct {
	// Key is the node's identity; its peer ID follows from it.
	Key ed25519.PrivateKey
	// Cluster is the cluster ID, 32 hex digits.
	Cluster string
	// Listen are multiaddrs to listen on. The default is QUIC and TCP on every
	// IPv4 address. Port 0 means any port the first time, and that one afterwards.
	Listen []string
	// Dir is where known peers and ports are kept; empty keeps nothing.
	Dir string
	// Members are the first members; SetMembers replaces them.
	Members []p2p.Member
	// ClusterKey is the cluster's public key and Chain this node's certificate:
	// what the door shows to newcomers. Without them no door can be opened.
	ClusterKey ed25519.PublicKey
	Chain      cert.Chain
	// Blocked is SetBlocked from the first moment; nil blocks nobody.
	Blocked func(p2p.PeerID) bool
	// MDNS announces this node on the LAN and finds others.
	MDNS bool
	// Logger gets what an operator may want to know; nil discards it.
	Logger *slog.Logger

	tune tuning
}

// tuning are the knobs of tests; zero values are the real ones.
type tuning struct {
	certTemplate *x509.Certificate // of QUIC
	addrPoll     time.Duration     // how often own addresses are looked at
	addrs        func() []string   // instead of the listeners' own
}

// DefaultListen is QUIC and TCP on every IPv4 address.
var DefaultListen = []string{"/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0"}

const addrPoll = 2 * time.Second

// Mesh is a p2p.Mesh over libp2p.
type Mesh struct {
	cfg    Config
	self   peer.ID
	name   p2p.PeerID
	events p2p.Events
	log    *slog.Logger

	gate   *gate
	end    *endpoint
	book   *book
	codec  *codec
	places *allowance
	gossip *gossip

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the mesh, handlers included
	kick   chan struct{}  // the dialler should look again; one waiting token
	lan    chan struct{}  // what is announced on the LAN changed; one waiting token

	doorway sync.Mutex // one opening or closing of the door at a time
	door    *door      // nil while closed; guarded by mu

	mu      sync.Mutex // never held across a wait or a call out
	peers   map[peer.ID]*remote
	members int
	closed  bool
}

var _ p2p.Mesh = (*Mesh)(nil)

// New starts a mesh. It fails if no address can be listened on. ctx bounds only
// the start.
func New(ctx context.Context, cfg Config, events p2p.Events) (*Mesh, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(cfg.Key) != ed25519.PrivateKeySize {
		return nil, errors.New("p2p: the node key is not an ed25519 private key")
	}
	if !cert.ValidClusterID(cfg.Cluster) {
		return nil, fmt.Errorf("p2p: cluster ID %q is not 32 hex digits", cfg.Cluster)
	}
	if len(cfg.Listen) == 0 {
		cfg.Listen = DefaultListen
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.tune.addrPoll == 0 {
		cfg.tune.addrPoll = addrPoll
	}
	m := &Mesh{
		cfg: cfg, events: events, log: cfg.Logger, gate: newGate(),
		kick: make(chan struct{}, 1), lan: make(chan struct{}, 1), peers: map[peer.ID]*remote{},
	}
	m.gate.block(cfg.Blocked)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	if err := m.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("p2p: %w", err), m.Close())
	}
	return m, nil
}

func (m *Mesh) start() (err error) {
	if m.end, err = newEndpoint(endpointConfig{key: m.cfg.Key, gater: m.gate, limits: meshLimits, quic: true, certTemplate: m.cfg.tune.certTemplate}); err != nil {
		return err
	}
	m.self = m.end.net.LocalPeer()
	m.places = newAllowance(m.end.rcmgr)
	m.name = p2pID(m.self)
	if m.book, err = openBook(m.cfg.Dir, m.cfg.Cluster, m.cfg.Key, m.self, m.log); err != nil {
		return err
	}
	if m.codec, err = newCodec(); err != nil {
		return err
	}
	m.end.net.Notify(&network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { m.connected(c.RemotePeer()) },
		DisconnectedF: func(_ network.Network, c network.Conn) { m.disconnected(c.RemotePeer()) },
	})
	m.end.host.SetStreamHandler(frameProtocol, m.serveFrames)
	if m.gossip, err = newGossip(m); err != nil {
		return err
	}
	if err := m.listen(); err != nil {
		return err
	}
	if _, err := m.refreshOwn(); err != nil {
		return err
	}
	m.SetMembers(m.cfg.Members)
	m.spawn(m.dialler)
	if m.cfg.MDNS {
		m.spawn(m.keepOnLAN)
	}
	return nil
}

// listen opens every configured address; one that works is enough.
func (m *Mesh) listen() error {
	var errs []error
	for _, addr := range m.cfg.Listen {
		wanted := m.book.port(addr)
		got, err := m.end.listen(addr, wanted)
		if err != nil {
			errs = append(errs, err)
			m.log.Warn("cannot listen", "address", addr, "error", err)
			continue
		}
		if wanted != "" && got.String() != wanted {
			m.log.Warn("port of the last run is taken; peers will be told the new one", "was", wanted, "is", got)
		}
		m.book.setPort(addr, got.String())
	}
	if len(errs) == len(m.cfg.Listen) {
		return fmt.Errorf("no address to listen on: %w", errors.Join(errs...))
	}
	return m.book.save()
}

// LogLibrary sends what libp2p itself logs to h; without it libp2p writes errors
// to standard error. It holds for the whole process and only before the first New.
func LogLibrary(h slog.Handler) { gologshim.SetDefaultHandler(h) }

// spawn runs f in a goroutine that Close waits for; false once closed.
func (m *Mesh) spawn(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.spawnLocked(f)
}

func (m *Mesh) spawnLocked(f func()) bool {
	if m.closed {
		return false
	}
	m.wg.Go(f)
	return true
}

// Self is this node's peer ID.
func (m *Mesh) Self() p2p.PeerID { return m.name }

// Addrs are the addresses of this node now.
func (m *Mesh) Addrs() []string {
	var out []string
	for _, a := range m.ownAddrs() {
		out = append(out, a+"/p2p/"+string(m.name))
	}
	return out
}

// ownAddrs are the addresses of the listeners, loopback ones only if there are
// no others: a peer elsewhere cannot use them.
func (m *Mesh) ownAddrs() []string {
	if m.cfg.tune.addrs != nil {
		return m.cfg.tune.addrs()
	}
	return listenAddrs(m.end)
}

func listenAddrs(e *endpoint) []string {
	// Not what the swarm says: it looks at the interfaces once a minute only.
	addrs, err := manet.ResolveUnspecifiedAddresses(e.net.ListenAddresses(), nil)
	if err != nil {
		return nil
	}
	beyond := slices.DeleteFunc(slices.Clone(addrs), manet.IsIPLoopback)
	if len(beyond) > 0 {
		addrs = beyond
	}
	addrs = slices.DeleteFunc(addrs, manet.IsIP6LinkLocal)
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	slices.Sort(out)
	return out[:min(len(out), recordAddrsMax)]
}

// refreshOwn makes a new own record if the addresses changed.
func (m *Mesh) refreshOwn() (changed bool, err error) {
	return m.book.setOwn(m.ownAddrs())
}

// SetMembers replaces the members. Who is dropped, or departed, is disconnected at once.
func (m *Mesh) SetMembers(members []p2p.Member) {
	hints := map[peer.ID][]ma.Multiaddr{}
	departed := map[peer.ID][]byte{}
	var ids []peer.ID
	for _, mem := range members {
		id, err := peer.Decode(string(mem.ID))
		switch {
		case err != nil:
			m.log.Warn("member has no peer ID", "member", mem.ID, "error", err)
		case id == m.self:
		case mem.Farewell != nil:
			departed[id] = mem.Farewell
		default:
			ids = append(ids, id)
			hints[id] = parseAddrs(mem.Addrs)
		}
	}
	m.gate.setMembers(ids, departed)
	m.book.retain(m.gate.isMember)
	m.gossip.retain(m.gate.isMember)

	m.mu.Lock()
	m.members = len(ids)
	for _, id := range ids {
		r := m.peers[id]
		if r == nil {
			r = newRemote(m, id)
			m.peers[id] = r
		}
		r.admit(hints[id])
	}
	for id, r := range m.peers {
		if !m.gate.isMember(id) && r.member {
			r.member = false
			m.spawnLocked(r.drop)
		}
	}
	m.chooseStanding()
	m.mu.Unlock()
	for _, id := range ids {
		m.allow(id)
	}
	m.wake()
}

// remote finds a member.
func (m *Mesh) remote(id peer.ID) *remote {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.peers[id]; r != nil && r.member {
		return r
	}
	return nil
}

func (m *Mesh) remoteNamed(name p2p.PeerID) *remote {
	id, err := peer.Decode(string(name))
	if err != nil {
		return nil
	}
	return m.remote(id)
}

// SetBlocked cuts the connections to some peers and keeps them cut, both ways:
// no frame, dial or gossip passes directly between this node and a blocked peer.
// What others relay still arrives. nil unblocks and redials at once. Only the
// test network uses it.
func (m *Mesh) SetBlocked(blocked func(p2p.PeerID) bool) {
	m.gate.block(blocked)
	m.mu.Lock()
	for id, r := range m.peers {
		if m.gate.isBlocked(id) {
			m.spawnLocked(r.drop)
		} else {
			r.soon()
		}
	}
	m.mu.Unlock()
	m.wake()
}

// Close ends every connection and waits for every goroutine.
func (m *Mesh) Close() error {
	m.mu.Lock()
	again := m.closed
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	if again {
		m.wg.Wait()
		return nil
	}
	errs := []error{m.CloseDoor()}
	if m.gossip != nil {
		m.gossip.close()
	}
	if m.end != nil {
		errs = append(errs, m.end.close())
	}
	m.wg.Wait()
	if m.codec != nil {
		errs = append(errs, m.codec.close())
	}
	if m.book != nil {
		errs = append(errs, m.book.save())
	}
	return errors.Join(errs...)
}
