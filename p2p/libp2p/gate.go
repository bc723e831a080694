package libp2p

import (
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"holon/p2p"
)

// gate lets nobody but members speak. A stranger gets as far as the handshake
// that shows who it is, and no further.
type gate struct {
	members  atomic.Pointer[map[peer.ID]struct{}]
	departed atomic.Pointer[map[peer.ID][]byte] // with the farewell of each
	blocked  atomic.Pointer[func(peer.ID) bool] // for the test network; nil blocks nobody
}

var _ connmgr.ConnectionGater = (*gate)(nil)

func newGate() *gate {
	g := &gate{}
	g.setMembers(nil, nil)
	return g
}

func (g *gate) setMembers(ids []peer.ID, departed map[peer.ID][]byte) {
	set := make(map[peer.ID]struct{}, len(ids))
	for _, id := range ids {
		set[id] = struct{}{}
	}
	g.members.Store(&set)
	g.departed.Store(&departed)
}

func (g *gate) block(blocked func(p2p.PeerID) bool) {
	if blocked == nil {
		g.blocked.Store(nil)
		return
	}
	f := func(id peer.ID) bool { return blocked(p2pID(id)) }
	g.blocked.Store(&f)
}

func (g *gate) isMember(id peer.ID) bool {
	_, ok := (*g.members.Load())[id]
	return ok
}

func (g *gate) isBlocked(id peer.ID) bool {
	f := g.blocked.Load()
	return f != nil && (*f)(id)
}

func (g *gate) admits(id peer.ID) bool { return g.isMember(id) && !g.isBlocked(id) }

// farewell is what a departed peer is told; nil for others.
func (g *gate) farewell(id peer.ID) []byte {
	if g.isBlocked(id) {
		return nil
	}
	return (*g.departed.Load())[id]
}

// InterceptPeerDial allows dialling members.
func (g *gate) InterceptPeerDial(id peer.ID) bool { return g.admits(id) }

// InterceptAddrDial allows dialling members.
func (g *gate) InterceptAddrDial(id peer.ID, _ ma.Multiaddr) bool { return g.admits(id) }

// InterceptAccept cannot know yet who it is.
func (g *gate) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured ends a stranger's connection as soon as its key is proven.
func (g *gate) InterceptSecured(_ network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	return g.admits(id) || g.farewell(id) != nil
}

// InterceptUpgraded asks again: the members may have changed during the handshake.
func (g *gate) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	return g.admits(c.RemotePeer()) || g.farewell(c.RemotePeer()) != nil, 0
}
