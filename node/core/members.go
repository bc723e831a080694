package core

import (
	"fmt"
	"maps"

	"holon/crdt/state"
	"holon/p2p"
	"holon/p2p/cert"
	"holon/p2p/swim"
)

// members knows who belongs to the cluster and who of them is there.
//
// A peer is a member once a record says so whose certificate chain leads to the
// cluster key. A node that lost its disk joins again under its old name: who
// bears a name is for renameMembers to say.
type members struct {
	swim   *swim.Machine
	byPeer map[p2p.PeerID]*member
	byName map[string]*member
	// connected are the peers that the mesh has called up and not down.
	connected map[p2p.PeerID]bool
	// complaints counts frames and records that did not decode, per peer.
	complaints map[p2p.PeerID]int
	changed    bool    // the set of peers that may speak has changed
	awake      Instant // since when words count after a sleep, see noticeSleep
	steadyAt   Instant // when the next penalty for coming and going is over; 0: there is none
	evicted    bool    // this node, by another one
	evictedBy  string  // and nobody was told yet
}

type member struct {
	state.Member
	peer       p2p.PeerID
	live       bool // alive or suspect in this view
	state      swim.State
	since      Instant // of the state
	epoch      uint64  // of the boot that this view sees
	restarting bool    // said that it will be back soon
	seen       bool    // heard of since this node booted
	word       Instant // when it was heard itself last
	flaps      flaps
}

// complaintsMax is how many bad frames of a peer are reported, each once.
const complaintsMax = 3

func (c *Core) initMembers() {
	// A peer that claimed the highest incarnation there is keeps nobody from booting.
	incarnation := min(c.store.incarnation, swim.IncarnationMax-1-unsavedMax) + unsavedMax
	self := swim.Self{ID: swim.ID(c.cfg.Peer), Incarnation: incarnation, Epoch: c.cfg.Epoch}
	c.members = members{
		byPeer:     map[p2p.PeerID]*member{},
		byName:     map[string]*member{},
		connected:  map[p2p.PeerID]bool{},
		complaints: map[p2p.PeerID]int{},
		swim:       swim.New(self, c.cfg.Swim, c.cfg.Seed),
	}
}

// known reports whether a peer may speak: it is a member, or the one that let us
// in, whose record we may not have yet (the mesh lets nobody else through).
func (m *members) known(peer p2p.PeerID) bool {
	bearer := m.byPeer[peer]
	return bearer == nil || !bearer.Left
}

func (m *members) complain(c *Core, from p2p.PeerID, err error) {
	m.complaints[from]++
	if n := m.complaints[from]; n <= complaintsMax {
		c.fact(true, "", "BadFrame", "frame of peer %s dropped: %v", from, err)
	}
}

// reindexMember follows a changed member record.
func (c *Core) reindexMember(key state.Key) {
	m, ok, err := state.DecodeMember(key, c.store.record(key))
	if err == nil && ok {
		err = c.verifyMember(m)
	}
	if err != nil {
		c.fact(true, key, "MemberRejected", "member record %s is not believed: %v", key, err)
		return
	}
	if !ok {
		return
	}
	peer := p2p.PeerID(m.Peer)
	b := c.members.byPeer[peer]
	if b == nil {
		b = &member{peer: peer, state: swim.Unreachable, since: c.now}
		c.members.byPeer[peer] = b
		if peer != c.cfg.Peer && !m.Left {
			c.swimOutput(c.members.swim.Join(c.now, swim.ID(peer)))
			c.fact(false, "", "MemberJoined", "%s is a member (peer %s)", m.Name, m.Peer)
		}
	}
	if m.Left && !b.Left && peer != c.cfg.Peer {
		c.swimOutput(c.members.swim.Forget(c.now, swim.ID(peer)))
		b.live = false
		c.dismissed(m)
	}
	if m.Left && peer == c.cfg.Peer && m.EvictedBy != "" && !c.members.evicted {
		c.evicted(m)
	}
	b.Member = m
	c.renameMembers()
	c.members.changed, c.index.dirtyAll, c.counted.due = true, true, true
}

func (c *Core) verifyMember(m state.Member) error {
	chain, err := cert.DecodeChain(m.Chain)
	if err != nil {
		return err
	}
	if err := chain.VerifyPeer(c.cfg.Cluster, c.cfg.ClusterKey, p2p.PeerID(m.Peer)); err != nil {
		return err
	}
	if chain[0].Name != m.Name {
		return fmt.Errorf("certificate is for the name %q, the record says %q", chain[0].Name, m.Name)
	}
	return nil
}

// renameMembers finds who bears each name: of several peers that were admitted
// under one, whoever is there, or else the one admitted last. Lamport time alone
// would not do: a member that lags behind may admit the newest of them (seed 125
// of the histories).
func (c *Core) renameMembers() {
	before := maps.Clone(c.members.byName)
	clear(c.members.byName)
	for _, peer := range sortedKeys(c.members.byPeer) {
		b := c.members.byPeer[peer]
		if rival := c.members.byName[b.Name]; rival == nil || c.supersedes(b, rival) {
			c.members.byName[b.Name] = b
		}
	}
	for name, b := range c.members.byName {
		if was := before[name]; was != nil && was != b { // what the other one said is not this one's word
			c.status.forget(name)
			c.index.dirtyAll = true
		}
	}
}

func (c *Core) supersedes(b, rival *member) bool {
	there := func(m *member) bool { return m.live || m.peer == c.cfg.Peer }
	switch {
	case b.Left != rival.Left:
		return rival.Left
	case there(b) != there(rival):
		return there(b)
	}
	return b.Born.Compare(rival.Born) > 0
}

// speakers lists who may speak, and what those are told who were evicted: every member
// that has not left, and whoever let this node in. Without the latter a newcomer that has heard of one other newcomer
// only would shut out everybody else (found by seed 12 of the histories).
func (c *Core) speakers() []p2p.Member {
	list := []p2p.Member{}
	for _, m := range c.cfg.Known {
		if c.members.byPeer[m.ID] == nil {
			list = append(list, m)
		}
	}
	for _, peer := range sortedKeys(c.members.byPeer) {
		switch b := c.members.byPeer[peer]; {
		case !b.Left:
			list = append(list, p2p.Member{ID: peer, Addrs: b.Addrs})
		case b.EvictedBy != "":
			list = append(list, p2p.Member{ID: peer, Farewell: c.farewell(peer)})
		}
	}
	return list
}

// Speakers lists who may speak when the node starts; Ready.Members follows.
func (c *Core) Speakers() []p2p.Member { return c.speakers() }
