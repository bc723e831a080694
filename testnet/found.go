package testnet

import (
	"fmt"
	"slices"
	"time"

	"holon/crdt/state"
	"holon/node/core"
	"holon/p2p"
	"holon/p2p/cert"
)

// found makes the cluster: the first node admits itself, the others join with a
// token through it, one by one.
func (w *World) found() {
	first := w.nodes[0]
	first.start()
	op := core.FirstMember{Admit: core.Admit{Peer: first.peer, Name: first.name, Chain: first.chain}}
	op.Objects = append(op.Objects, core.Mutate{
		Key: state.MakeKey(state.Namespaces, "", "default"), Create: true, NewUID: state.DerivedUID("namespace", "default"), New: map[string][]byte{},
	})
	first.must(op)
	first.must(nodeObject(first))
	secret := [32]byte{1}
	first.must(core.PutToken{Token: core.Token{ID: "join", SecretHash: cert.SecretHash(secret), UsesLeft: len(w.nodes), Issuer: first.name}})
	for _, n := range w.nodes[1:] {
		first.must(core.Admit{Token: "join", SecretHash: cert.SecretHash(secret), Peer: n.peer, Name: n.name, Chain: n.chain})
	}
	w.Run(50 * time.Millisecond)
	for _, n := range w.nodes[1:] {
		n.known = p2p.Present(first.core.Speakers())
		n.start()
		n.must(nodeObject(n))
	}
}

func nodeObject(n *Node) core.Mutate {
	return core.Mutate{Key: state.MakeKey(state.Nodes, "", n.name), Create: true, NewUID: state.DerivedUID("node", n.name, n.replica.String()), New: map[string][]byte{}}
}

// must asks for what cannot fail in a world that is being made.
func (n *Node) must(op core.Op) {
	n.ask(op, func(ack core.Ack) {
		if ack.Err != nil {
			n.w.violate("world: %s refuses %T: %v", n.name, op, ack.Err)
		}
	})
}

// rejoin gives a node that lost its disk a new database and a new key, under its
// old name, and admits it through a live member once its old self is out of
// everybody's sight.
func (w *World) rejoin(n *Node) {
	n.disk, n.epoch, n.copies = newDisk(), 0, nil
	if w.cfg.Bug != KeepReplica {
		n.replica = w.randomReplica()
	}
	n.key, n.was = seededKey(w.rng), n.peer
	n.recertify()
	peer := n.peer
	w.after(10*time.Second, func() { w.readmit(n, peer) })
}

// evictMember ends the membership of another node. Its owner notices some time later, clears it
// and lets it join again.
func (n *Node) evictMember(other *Node) {
	w, peer := n.w, other.peer
	if other == n || other.index == 0 || w.cfg.Nodes < 3 {
		return
	}
	n.ask(core.EvictMember{Member: string(peer)}, func(ack core.Ack) {
		if ack.Err != nil {
			return
		}
		w.Counts.MemberEvictions++
		other.evicted = peer
		w.after(time.Duration(w.rng.Int64N(int64(20*time.Second))), other.clear)
	})
}

// clear does what the owner of an evicted node does.
func (n *Node) clear() {
	if n.evicted == "" {
		return
	}
	peer := n.evicted
	n.evicted = ""
	if n.peer == peer && !n.rejoining {
		n.w.burn(n)
	}
	n.w.letInAgain(peer)
}

// letInAgain has those join again whom only a peer knows that was evicted before it could
// tell of them.
func (w *World) letInAgain(evicted p2p.PeerID) {
	for _, n := range w.nodes {
		key := state.MakeKey(state.Members, "", string(n.peer))
		known := slices.ContainsFunc(w.nodes, func(other *Node) bool {
			return other != n && other.peer != evicted && other.disk.record(key) != nil
		})
		if n.admittedBy == evicted && !known && !n.rejoining {
			w.burn(n)
		}
	}
}

// letInStrangers does what owners do who find their nodes alone when all links work: those
// join again who were evicted though the answer to that was lost (seed 2777 of the
// histories), and those of whom only the node knew that let them in, until its disk
// burnt (seed 1799).
func (w *World) letInStrangers() {
	insiders := w.insiders()
	for _, n := range w.nodes {
		if n.up && insiders != nil && !insiders[n.peer] {
			n.evicted = ""
			w.burn(n)
		}
	}
}

// insiders are the members of whom the most of the nodes know that they belong.
func (w *World) insiders() map[p2p.PeerID]bool {
	var most map[p2p.PeerID]bool
	count := 0
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		belong, up := n.core.Belonging(), 0
		for _, other := range w.nodes {
			if other.up && belong[other.peer] {
				up++
			}
		}
		if up > count {
			most, count = belong, up
		}
	}
	return most
}

// readmit tries until somebody has admitted the node.
func (w *World) readmit(n *Node, as p2p.PeerID) {
	if n.up || n.peer != as {
		return
	}
	w.after(2*time.Second, func() { w.readmit(n, as) })
	host := w.randomLive()
	if host == nil {
		return
	}
	secret, boot := [32]byte{2}, n.boot
	token := fmt.Sprintf("again-%s-%d", n.replica, w.now)
	host.ask(core.PutToken{Token: core.Token{ID: token, SecretHash: cert.SecretHash(secret), UsesLeft: 1, Issuer: host.name}}, func(core.Ack) {})
	host.ask(core.Admit{Token: token, SecretHash: cert.SecretHash(secret), Peer: n.peer, Name: n.name, Chain: n.chain}, func(ack core.Ack) {
		host.admittedAt = w.now
		if ack.Err == nil && n.boot == boot && !n.up {
			n.known, n.admittedBy = p2p.Present(host.core.Speakers()), host.peer
			n.start()
		}
	})
}
