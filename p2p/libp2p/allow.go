package libp2p

import (
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	ma "github.com/multiformats/go-multiaddr"
)

// allowance keeps places for members: a connection from the address of a member
// that proves to be this member is counted apart, so strangers that fill the
// limits do not shut members out.
type allowance struct {
	list *rcmgr.Allowlist

	mu   sync.Mutex
	held map[peer.ID][]ma.Multiaddr // what the list holds for each member
}

func newAllowance(m network.ResourceManager) *allowance {
	return &allowance{list: rcmgr.GetAllowlist(m), held: map[peer.ID][]ma.Multiaddr{}}
}

// set replaces the addresses of a peer; none ends its allowance.
func (a *allowance) set(id peer.ID, addrs []ma.Multiaddr) error {
	if a.list == nil {
		return nil
	}
	self, err := ma.NewComponent("p2p", id.String())
	if err != nil {
		return err
	}
	var want []ma.Multiaddr
	for _, x := range addrs {
		ip, _ := ma.SplitFirst(x)
		if ip == nil || ip.Protocol().Code != ma.P_IP4 && ip.Protocol().Code != ma.P_IP6 {
			continue
		}
		if place := ip.Multiaddr().Encapsulate(self.Multiaddr()); !contains(want, place) {
			want = append(want, place)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, place := range a.held[id] {
		if !contains(want, place) {
			if err := a.list.Remove(place); err != nil {
				return err
			}
		}
	}
	for _, place := range want {
		if !contains(a.held[id], place) {
			if err := a.list.Add(place); err != nil {
				return err
			}
		}
	}
	if a.held[id] = want; len(want) == 0 {
		delete(a.held, id)
	}
	return nil
}

func contains(list []ma.Multiaddr, x ma.Multiaddr) bool {
	return slices.ContainsFunc(list, x.Equal)
}

// allow brings a peer's allowance in line with what is known of it.
func (m *Mesh) allow(id peer.ID) {
	var addrs []ma.Multiaddr
	if m.gate.isMember(id) {
		addrs = m.whereabouts(id)
	}
	if err := m.places.set(id, addrs); err != nil {
		m.log.Debug("no place is kept for a member", "peer", id, "error", err)
	}
}

// whereabouts is everything that is known of where a peer may be.
func (m *Mesh) whereabouts(id peer.ID) []ma.Multiaddr {
	addrs := m.book.addrs(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.peers[id]; r != nil {
		addrs = append(append(addrs, r.hints...), r.seen...)
	}
	return ma.Unique(addrs)
}
