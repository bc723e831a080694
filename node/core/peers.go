package core

import (
	"slices"

	"holon/p2p"
)

func (m *members) reachable(peer p2p.PeerID) bool {
	b := m.byPeer[peer]
	return b != nil && b.live
}

// reachablePeers lists the live others, sorted.
func (m *members) reachablePeers() []p2p.PeerID {
	var peers []p2p.PeerID
	for peer, b := range m.byPeer {
		if b.live {
			peers = append(peers, peer)
		}
	}
	slices.Sort(peers)
	return peers
}

// speaks reports whether a peer answers, as far as is known: it is live or at least
// connected. A newcomer has no record of anybody, so to it nobody is live, and its
// first pull must not end with one lost frame (seed 1566 of the histories).
func (m *members) speaks(peer p2p.PeerID) bool {
	return m.reachable(peer) || m.connected[peer] && m.known(peer)
}

// partners lists those who speak, sorted.
func (m *members) partners() []p2p.PeerID {
	var peers []p2p.PeerID
	for peer := range m.byPeer {
		if m.speaks(peer) {
			peers = append(peers, peer)
		}
	}
	for peer := range m.connected { // a newcomer has no record of them
		if m.byPeer[peer] == nil && m.speaks(peer) {
			peers = append(peers, peer)
		}
	}
	slices.Sort(peers)
	return peers
}

// connectedPeers lists the members that a frame gets to without help, sorted.
func (m *members) connectedPeers() []p2p.PeerID {
	var peers []p2p.PeerID
	for peer := range m.connected {
		if m.known(peer) {
			peers = append(peers, peer)
		}
	}
	slices.Sort(peers)
	return peers
}
