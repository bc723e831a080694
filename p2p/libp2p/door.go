package libp2p

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"holon/p2p/cert"
)

const (
	joinProtocol = protocol.ID("/holon/join/1")

	strangersMax = 8                // at the door at once
	strangerTime = 10 * time.Second // each, the handshake not counted
)

// doorLimits bound what strangers can cost.
var doorLimits = limits{
	conns: strangersMax, transient: strangersMax, perPeer: 2, streams: 4 * strangersMax,
	memory: 16 << 20, perIP: strangersMax, rate: 5, burst: 4 * strangersMax,
}

// Admit decides on a join request that came through the door. The request's
// public key is the newcomer's own: its connection proved that. It returns a
// *cert.JoinRefused to refuse with a reason; any other error reads as NotServing.
type Admit func(context.Context, cert.JoinRequest) (cert.JoinGrant, error)

// door is a second libp2p host with the same identity that speaks the join
// protocol and nothing else. Strangers meet it instead of the mesh.
type door struct {
	m      *Mesh
	end    *endpoint
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // handlers

	mu     sync.Mutex
	admit  Admit
	closed bool
}

// OpenDoor lets newcomers ask to join until CloseDoor; at an open door it
// replaces admit. It fails without Config.Chain and Config.ClusterKey, or when
// there is no address to listen on.
func (m *Mesh) OpenDoor(admit Admit) error {
	m.doorway.Lock()
	defer m.doorway.Unlock()
	if err := m.cfg.Chain.VerifyPeer(m.cfg.Cluster, m.cfg.ClusterKey, m.name); err != nil {
		return fmt.Errorf("open door: this node cannot show that it is a member: %w", err)
	}
	m.mu.Lock()
	d, closed := m.door, m.closed
	m.mu.Unlock()
	if closed {
		return errors.New("open door: this mesh is closed")
	}
	if d != nil {
		d.mu.Lock()
		d.admit = admit
		d.mu.Unlock()
		return nil
	}
	d, err := newDoor(m, admit)
	if err != nil {
		return fmt.Errorf("open door: %w", err)
	}
	m.mu.Lock()
	m.door = d
	m.mu.Unlock()
	m.announce()
	return m.book.save()
}

// CloseDoor ends every conversation at the door and waits for them.
func (m *Mesh) CloseDoor() error {
	m.doorway.Lock()
	defer m.doorway.Unlock()
	m.mu.Lock()
	d := m.door
	m.door = nil
	m.mu.Unlock()
	if d == nil {
		return nil
	}
	m.announce()
	return d.close()
}

// DoorAddrs are the addresses of the open door, for tokens; none while it is closed.
func (m *Mesh) DoorAddrs() []string {
	m.mu.Lock()
	d := m.door
	m.mu.Unlock()
	if d == nil {
		return nil
	}
	var out []string
	for _, a := range listenAddrs(d.end) {
		out = append(out, a+"/p2p/"+string(m.name))
	}
	return out
}

func newDoor(m *Mesh, admit Admit) (_ *door, err error) {
	d := &door{m: m, admit: admit}
	if d.end, err = newEndpoint(endpointConfig{key: m.cfg.Key, gater: doorGate{}, limits: doorLimits}); err != nil {
		return nil, err
	}
	d.ctx, d.cancel = context.WithCancel(m.ctx)
	d.end.net.Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		time.AfterFunc(strangerTime, func() { c.Close() }) // closing twice does no harm
	}})
	d.end.host.SetStreamHandler(joinProtocol, d.serve)
	var errs []error
	listening := false
	for _, addr := range doorListen(m.cfg.Listen) {
		key := "door " + addr
		got, err := d.end.listen(addr, m.book.port(key))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m.book.setPort(key, got.String())
		listening = true
	}
	if !listening {
		return nil, errors.Join(append(errs, d.close())...)
	}
	return d, nil
}

// doorListen puts the door on the IP addresses of the mesh, on a TCP port of its own.
func doorListen(listen []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range listen {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			continue
		}
		ip, _ := ma.SplitFirst(a)
		if addr := ip.String() + "/tcp/0"; ip != nil && !seen[addr] && strings.HasPrefix(addr, "/ip") {
			seen[addr] = true
			out = append(out, addr)
		}
	}
	return out
}

func (d *door) close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	err := d.end.close()
	d.wg.Wait()
	return err
}

// enter counts a handler; false once closed.
func (d *door) enter() (Admit, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, false
	}
	d.wg.Add(1)
	return d.admit, true
}

// serve speaks the join protocol with one stranger.
func (d *door) serve(s network.Stream) {
	defer s.Reset()
	admit, ok := d.enter()
	if !ok {
		return
	}
	defer d.wg.Done()
	ctx, cancel := context.WithTimeout(d.ctx, strangerTime)
	defer cancel()
	log := d.m.log.With("newcomer", s.Conn().RemotePeer(), "address", s.Conn().RemoteMultiaddr())
	if err := d.converse(ctx, s, admit); err != nil {
		log.Info("join did not complete", "error", err)
	} else {
		log.Info("join granted")
	}
}

func (d *door) converse(ctx context.Context, s network.Stream, admit Admit) error {
	until, _ := ctx.Deadline()
	if err := s.SetDeadline(until); err != nil {
		return err
	}
	welcome, err := cert.Welcome{Version: cert.Version, Cluster: d.m.cfg.Cluster, ClusterKey: d.m.cfg.ClusterKey, Chain: d.m.cfg.Chain}.Encode()
	if err != nil {
		return err
	}
	if err := writeJoin(s, welcome); err != nil {
		return err
	}
	b, err := readJoin(s)
	if err != nil {
		return err
	}
	req, err := cert.DecodeJoinRequest(b)
	if err != nil {
		return err
	}
	grant, verdict := d.decide(ctx, s.Conn().RemotePeer(), req, admit)
	reply := cert.JoinReply{Grant: grant}
	if verdict != nil {
		reply = cert.JoinReply{Refused: asRefusal(verdict)}
	}
	if b, err = reply.Encode(); err != nil {
		return err
	}
	if err := errors.Join(writeJoin(s, b), s.CloseWrite()); err != nil {
		return err
	}
	// The newcomer closes first: then the reply has arrived.
	if _, err := s.Read(make([]byte, 1)); err != io.EOF && verdict == nil {
		return fmt.Errorf("granted, but the newcomer may not have heard it: %w", err)
	}
	return verdict
}

func (d *door) decide(ctx context.Context, from peer.ID, req cert.JoinRequest, admit Admit) (*cert.JoinGrant, error) {
	switch {
	case req.Cluster != d.m.cfg.Cluster:
		return nil, cert.Refuse(cert.WrongCluster, "this is a member of "+d.m.cfg.Cluster)
	case cert.PeerIDOf(req.PublicKey) != p2pID(from):
		return nil, cert.Refuse(cert.NotServing, "the request is for another key than the connection's")
	}
	grant, err := admit(ctx, req)
	if err != nil {
		return nil, err
	}
	return &grant, nil
}

// asRefusal hides what is none of a stranger's business.
func asRefusal(err error) *cert.JoinRefused {
	if r := (*cert.JoinRefused)(nil); errors.As(err, &r) {
		return r
	}
	return cert.Refuse(cert.NotServing, "")
}

// Join messages have four bytes of length before them.

func writeJoin(w io.Writer, b []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

func readJoin(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > cert.JoinBytesMax {
		return nil, fmt.Errorf("join message of %d bytes is over its limit of %d", n, cert.JoinBytesMax)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

// doorGate lets anybody in and dials nobody.
type doorGate struct{}

var _ connmgr.ConnectionGater = doorGate{}

func (doorGate) InterceptPeerDial(peer.ID) bool               { return false }
func (doorGate) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return false }
func (doorGate) InterceptAccept(network.ConnMultiaddrs) bool  { return true }
func (doorGate) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}
func (doorGate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
