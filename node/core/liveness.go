package core

import (
	"encoding/binary"
	"slices"
	"time"

	"holon/crdt/state"
	"holon/p2p"
	"holon/p2p/swim"
)

// unsavedMax is how much the incarnation may have risen in the last boot without
// being saved.
const unsavedMax = 1000

// A node whose loop stood still for sleptMin, stopped or suspended, believes what
// it believed before, and reads what waited for it meanwhile. So a peer counts
// towards a majority only once it is heard sleptDrain after the end of that.
const (
	sleptMin   = 3 * time.Second
	sleptDrain = time.Second
)

// noticeSleep is called with the time of the Step before.
func (c *Core) noticeSleep(before Instant) {
	if c.now-before >= sleptMin {
		c.members.awake = c.now + sleptDrain
	}
}

func (c *Core) swimReceive(from p2p.PeerID, packet []byte) {
	c.note(from)
	c.swimOutput(c.members.swim.Receive(c.now, swim.ID(from), packet))
}

func (c *Core) heard(from p2p.PeerID) {
	c.note(from)
	c.swimOutput(c.members.swim.Heard(c.now, swim.ID(from)))
}

// note keeps when a peer spoke itself.
func (c *Core) note(from p2p.PeerID) {
	if b := c.members.byPeer[from]; b != nil {
		b.word = c.now
	}
}

// peerUp greets a peer: what we have, and how our pods are.
func (c *Core) peerUp(peer p2p.PeerID) {
	c.members.connected[peer] = true
	c.heard(peer)
	c.send(peer, kindDigest, c.digestFor(false))
	c.sendStatus(peer)
}

func (c *Core) peerDown(peer p2p.PeerID) {
	delete(c.members.connected, peer)
	c.swimOutput(c.members.swim.Closed(c.now, swim.ID(peer)))
}

func (c *Core) tickMembers() {
	c.sayEvicted()
	out := c.members.swim.Tick(c.now)
	c.swimOutput(out)
	if out.Wake != swim.Never {
		c.wake(out.Wake)
	}
	if c.members.changed {
		c.members.changed = false
		c.out.Members = c.speakers()
	}
}

func (c *Core) swimOutput(out swim.Output) {
	for _, p := range out.Send {
		c.out.Send = append(c.out.Send, Envelope{To: p2p.PeerID(p.To), Frame: append([]byte{kindSwim}, p.Payload...), Early: true})
	}
	if out.Incarnation > c.store.incarnation {
		c.saveIncarnation(out.Incarnation)
	}
	for _, change := range out.Changes {
		c.memberChanged(change)
	}
}

func (c *Core) memberChanged(change swim.Change) {
	b := c.members.byPeer[p2p.PeerID(change.ID)]
	if b == nil {
		return
	}
	wasLive := b.live
	if change.Epoch != b.epoch {
		c.status.doubt(b.Name) // it has booted: what it said before means nothing now
	}
	b.live = change.To == swim.Alive || change.To == swim.Suspect
	if b.live && b.seen && b.state == swim.Unreachable {
		c.cameBack(b)
	}
	b.state, b.epoch, b.restarting = change.To, change.Epoch, change.Restarting
	b.since = c.now
	c.index.dirtyAll = true
	if b.live != wasLive {
		c.renameMembers()
		if b.live || change.To == swim.Unreachable {
			c.reachChanged(b)
		}
	}
	switch {
	case b.live && !wasLive:
		b.seen = true
		c.fact(false, state.MakeKey(state.Nodes, "", b.Name), "NodeReachable", "%s is reachable", b.Name)
		c.send(b.peer, kindStatusAsk, struct{}{})
		c.sendStatus(b.peer)
		c.send(b.peer, kindDigest, c.digestFor(false))
	case wasLive && !b.live:
		c.status.doubt(b.Name)
		c.fact(true, state.MakeKey(state.Nodes, "", b.Name), "NodeUnreachable", "%s is out of reach: %s", b.Name, change.Why)
	}
}

// live reports whether the bearer of a name is there in this view; this node
// always is.
func (c *Core) live(name string) bool {
	if name == c.cfg.Node {
		return true
	}
	b := c.members.byName[name]
	return b != nil && b.live && !b.Left
}

// liveNodes lists the names of those who are there, sorted, this node included.
func (c *Core) liveNodes() []string {
	names := []string{c.cfg.Node}
	for name := range c.members.byName {
		if name != c.cfg.Node && c.live(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// allLive reports whether every member that has not left is there.
func (c *Core) allLive() bool {
	for name, b := range c.members.byName {
		if !b.Left && !c.live(name) {
			return false
		}
	}
	return true
}

// settled reports whether this node has heard of every member since it booted,
// or has waited for long enough. Until then it plans nothing for others.
func (c *Core) settled() bool {
	if c.members.byPeer[c.cfg.Peer] == nil {
		return false // its own record is missing, so most of the cluster's is
	}
	if c.now >= c.booted+c.cfg.BootGrace {
		return true
	}
	for name, b := range c.members.byName {
		if name != c.cfg.Node && !b.Left && !b.seen {
			return false
		}
	}
	return true
}

// saveIncarnation keeps the incarnation for the next boot, which starts beyond
// it. SWIM frames do not wait for it: a boot adds unsavedMax, so a few unsaved ones do
// no harm.
func (c *Core) saveIncarnation(n uint64) {
	c.store.incarnation = n
	c.persist(diskSwim, binary.BigEndian.AppendUint64(nil, n))
}
