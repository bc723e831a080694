package core

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

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

// complaintsMax is how many bad frames of a peer are reported, each once.
const complaintsMax = 3

// unsavedMax is how much the incarnation may have risen in the last boot without
// being saved.
const unsavedMax = 1000

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
	all := append(m.reachablePeers(), m.connectedPeers()...)
	slices.Sort(all)
	return slices.Compact(all)
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

// ---- liveness

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

// View is what this node believes of the cluster now.
type View struct {
	At       Instant
	Members  []MemberView
	Majority bool // more than half of the counted members are there
	Records  int
	// Counted is how many members count for a majority, CountedThere how many of them are
	// there beyond doubt. Awaited are the joins and departures that do not count yet.
	Counted, CountedThere int
	Awaited               []string
	Evicted               bool // this node, by another one
	Braked                bool // many members vanished at once, so no home moves for a while
	Draining              bool
	Runs                  int // that this node still executes
	// Aside is what was put aside, the oldest first; Held, if not nil, a sync that
	// waits for a person.
	Aside []QuarantineView
	Held  *HeldView
}

// MemberView is one member as this node sees it. Status is shared: read only.
type MemberView struct {
	Name   string
	Peer   p2p.PeerID
	State  string
	Since  Instant
	Addrs  []string
	Status *state.NodeStatus
	// Unsteady is until when it is the last choice for new slots, as it comes and goes.
	Unsteady Instant
}

// InReach reports whether the member can be asked, as far as is known here.
func (m *MemberView) InReach() bool {
	return m.State == swim.Alive.String() || m.State == swim.Suspect.String()
}

// view describes the members by name.
func (c *Core) view() *View {
	v := &View{Majority: c.majority(), Counted: len(c.counted.peers), CountedThere: c.countedThere(), Awaited: c.awaited(), Braked: c.homesHeld(), Evicted: c.members.evicted}
	c.summarize(v)
	for _, name := range slices.Sorted(maps.Keys(c.members.byName)) {
		b := c.members.byName[name]
		m := MemberView{Name: name, Peer: b.peer, State: b.state.String(), Since: b.since, Addrs: b.Addrs, Unsteady: b.flaps.until, Status: c.statusOf(name)}
		if name == c.cfg.Node {
			m.State, m.Since = swim.Alive.String(), c.booted
		}
		if b.Left {
			m.State = swim.Left.String()
		}
		v.Members = append(v.Members, m)
	}
	return v
}

// summarize describes all but the members and their majority.
func (c *Core) summarize(v *View) {
	v.At, v.Records, v.Draining, v.Runs, v.Aside = c.now, len(c.store.entries), c.drained(), len(c.runner.runs), c.quarantineView()
	if v.Held = nil; c.sync.held != nil {
		h := c.sync.held
		v.Held = &HeldView{Peer: h.peer, Objects: h.count, Of: h.of}
	}
}

// View is what this node believes now, as Ready.View says when it changes.
func (c *Core) View() *View { return c.view() }

// Speakers lists who may speak when the node starts; Ready.Members follows.
func (c *Core) Speakers() []p2p.Member { return c.speakers() }

// saveIncarnation keeps the incarnation for the next boot, which starts beyond
// it. SWIM frames do not wait for it: a boot adds unsavedMax, so a few unsaved ones do
// no harm.
func (c *Core) saveIncarnation(n uint64) {
	c.store.incarnation = n
	c.persist(diskSwim, binary.BigEndian.AppendUint64(nil, n))
}
