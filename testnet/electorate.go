package testnet

import (
	"maps"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
)

// electorate is the world's own truth about who counts for a majority: a change counts
// once more than half of those who counted before have it on their disks. Nodes learn
// that later, by what they hear. A disk that is lost takes nothing back.
type electorate struct {
	w     *World
	peers map[p2p.PeerID]bool
}

func newElectorate(w *World) electorate { return electorate{w: w, peers: map[p2p.PeerID]bool{}} }

// counts reports whether a node counts as the peer that it is now.
func (e *electorate) counts(n *Node) bool { return e.peers[n.peer] }

// synced follows a batch that a node has on its disk now.
func (e *electorate) synced(batch []crdt.KV) {
	for i := range batch {
		if len(batch[i].Key) > 2 && state.Key(batch[i].Key[2:]).Resource() == state.Members {
			e.recount()
			return
		}
	}
}

func (e *electorate) recount() {
	if len(e.peers) == 0 {
		e.peers[e.w.nodes[0].peer] = true // the maker of the cluster
	}
	known := e.known()
	for e.admitOne(known) || e.dismissOne(known) {
	}
}

// known lists the member records of all disks, joined.
func (e *electorate) known() map[state.Key]*crdt.Record {
	known := map[state.Key]*crdt.Record{}
	for _, n := range e.w.nodes {
		for key := range n.disk.ever {
			if rec := n.disk.record(key); key.Resource() == state.Members && rec != nil {
				known[key] = crdt.Join(known[key], rec)
			}
		}
	}
	return known
}

func (e *electorate) admitOne(known map[state.Key]*crdt.Record) bool {
	for _, key := range slices.Sorted(maps.Keys(known)) {
		m, ok, _ := state.DecodeMember(key, known[key])
		if !ok || m.Left || e.peers[p2p.PeerID(m.Peer)] || e.successor(known, m) != m.Peer {
			continue
		}
		if e.held(func(theirs state.Member) bool { return true }, key) {
			e.peers[p2p.PeerID(m.Peer)] = true
			return true
		}
	}
	return false
}

func (e *electorate) dismissOne(known map[state.Key]*crdt.Record) bool {
	for _, peer := range slices.Sorted(maps.Keys(e.peers)) {
		key := state.MakeKey(state.Members, "", string(peer))
		m, ok, _ := state.DecodeMember(key, known[key])
		if !ok {
			continue
		}
		next := e.successor(known, m)
		if m.Forgotten || m.Left && e.held(func(theirs state.Member) bool { return theirs.Left }, key) ||
			next != m.Peer && e.held(func(state.Member) bool { return true }, state.MakeKey(state.Members, "", next)) {
			delete(e.peers, peer)
			return true
		}
	}
	return false
}

// successor is the peer that was admitted last under a member's name, of those who have
// not left.
func (e *electorate) successor(known map[state.Key]*crdt.Record, of state.Member) string {
	last := of
	for key, rec := range known {
		m, ok, _ := state.DecodeMember(key, rec)
		if ok && m.Name == of.Name && !m.Left && (last.Left || m.Born.Compare(last.Born) > 0) {
			last = m
		}
	}
	return last.Peer
}

// held reports whether more than half of those who count have a member record on disk
// that says so.
func (e *electorate) held(says func(state.Member) bool, key state.Key) bool {
	holders := 0
	for _, n := range e.w.nodes {
		if m, ok, _ := state.DecodeMember(key, n.disk.record(key)); e.counts(n) && ok && says(m) {
			holders++
		}
	}
	return 2*holders > len(e.peers)
}

// agree reports nodes that count others than those who count.
func (e *electorate) agree() {
	for _, n := range e.w.nodes {
		if !n.up {
			continue
		}
		if counted := n.core.Counted(); !maps.Equal(counted, e.peers) {
			e.w.violate("eventually: %s counts %v; by the disks it is %v", n.name, slices.Sorted(maps.Keys(counted)), slices.Sorted(maps.Keys(e.peers)))
		}
	}
}
