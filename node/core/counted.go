package core

import (
	"maps"
	"slices"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
	"holon/p2p/swim"
)

// counted are the members of whom more than half make a majority. Records say who
// belongs to the cluster, and any node may write them; so that a cut-off side can
// neither admit nor evict itself into a majority, what they say counts late:
//
//	a change counts  <=>  more than half of those who counted before held it at a time
//	majority         <=>  more than half of those who count are in reach,
//	                      and more than half of those who will
//
// A context that has the write says that a peer holds it. Whoever finds that enough
// do writes into the member's record that the change counts: so it does for
// all who hear of it, also once those who held it are gone.
//
// Of several peers of one name the one that was admitted last counts, in every view: the
// one that is there may be another one on each side of a split.
type counted struct {
	peers   map[p2p.PeerID]bool
	waiting []membership // what records say and does not count yet, sorted by peer
	due     bool         // records have changed
}

// membership is a change of who counts.
type membership struct {
	peer  p2p.PeerID
	joins bool
	// dot is the write that says so. Whoever left by himself holds it, although nobody
	// hears of him any more.
	dot crdt.Dot
	own bool
	// holders are who is known to hold the write. Not by what they lack nothing of: where a
	// disk was lost, the counters of its replica have gaps for ever (seed 15 of the
	// histories).
	holders map[p2p.PeerID]bool
	// since when enough do; 0: they do not.
	since Instant
}

// belonging are the peers that count once all that the records say counts.
func (c *Core) belonging() map[p2p.PeerID]bool {
	peers := map[p2p.PeerID]bool{}
	for _, b := range c.members.lastOfNames() {
		if !b.gone() {
			peers[b.peer] = true
		}
	}
	return peers
}

// gone: it will never count again.
func (b *member) gone() bool { return b.Left || b.Uncounted || b.Forgotten }

// lastOfNames finds whom of the peers of each name was admitted last, of those who have
// not left. One whose going has been counted does not come back when his successor
// leaves (seed 67 of the histories).
func (m *members) lastOfNames() map[string]*member {
	last := make(map[string]*member, len(m.byName))
	for _, b := range m.byPeer {
		rival := last[b.Name]
		if rival == nil || rival.gone() && !b.gone() || rival.gone() == b.gone() && b.Born.Compare(rival.Born) > 0 {
			last[b.Name] = b
		}
	}
	return last
}

// tickCounted follows the records, and writes which changes count. Nodes take turns by
// name, so that mostly one of them writes it.
func (c *Core) tickCounted() {
	s := &c.counted
	if s.due {
		s.due, c.index.dirtyAll = false, true
		before := s.waiting
		s.peers = c.counting()
		s.waiting = c.memberships()
		for i := range s.waiting {
			s.waiting[i].remember(before)
		}
	}
	for i := range s.waiting {
		if m := &s.waiting[i]; c.counts(m) {
			c.count(m)
		}
	}
	if s.due {
		c.wake(c.now)
	}
}

// counting are the peers that count by the records.
func (c *Core) counting() map[p2p.PeerID]bool {
	peers := map[p2p.PeerID]bool{}
	for _, b := range c.members.byPeer {
		if b.Counts() {
			peers[b.peer] = true
		}
	}
	return peers
}

// memberships lists where who belongs to the cluster differs from who counts.
func (c *Core) memberships() (changes []membership) {
	last := c.members.lastOfNames()
	for _, peer := range sortedKeys(c.members.byPeer) {
		b := c.members.byPeer[peer]
		next := last[b.Name]
		switch {
		case !b.gone() && next == b && !b.Counts():
			changes = append(changes, membership{peer: peer, joins: true, dot: b.Admitted})
		case b.Left && b.Counts():
			changes = append(changes, membership{peer: peer, dot: b.LeftBy, own: b.EvictedBy == ""})
		case next != b && b.Counts():
			changes = append(changes, membership{peer: peer, dot: next.Admitted})
		}
	}
	return changes
}

// remember takes over what was known of a change.
func (m *membership) remember(before []membership) {
	for i := range before {
		if old := &before[i]; old.peer == m.peer && old.dot == m.dot {
			m.holders, m.since = old.holders, old.since
			return
		}
	}
	m.holders = map[p2p.PeerID]bool{}
}

// noteHolder looks in a peer's context for the changes that wait.
func (c *Core) noteHolder(peer p2p.PeerID, context *crdt.Context) {
	for _, m := range c.counted.waiting {
		if context.Has(m.dot) {
			m.holders[peer] = true
		}
	}
}

// counts reports whether more than half of those who count hold a change.
func (c *Core) counts(m *membership) bool {
	holders := 0
	for peer := range c.counted.peers {
		if peer == c.cfg.Peer || m.own && peer == m.peer || m.holders[peer] {
			holders++
		}
	}
	return 2*holders > len(c.counted.peers)
}

// count writes that a change counts, when it is this node's turn.
func (c *Core) count(m *membership) {
	if m.since == 0 {
		m.since = c.now
	}
	turn := m.since + time.Duration(slices.Index(c.liveNodes(), c.cfg.Node))*c.cfg.RankDelay
	if c.now < turn {
		c.wake(turn)
		return
	}
	register, words := state.MemberCounted, "counts"
	if !m.joins {
		register, words = state.MemberUncounted, "does not count any more"
	}
	name := c.members.byPeer[m.peer].Name
	key := state.MakeKey(state.Members, "", string(m.peer))
	if err := c.set(key, state.MemberUID(string(m.peer)), map[string][]byte{register: []byte("true")}); err != nil {
		c.fact(true, key, "NotWritten", "that %s %s: %v", name, words, err)
		m.since = c.now + c.cfg.RankDelay
		return
	}
	c.fact(false, "", "MembersCounted", "%s (peer %s) %s for a majority", name, m.peer, words)
}

// majority reports whether more than half of the counted members are there beyond
// doubt, and would be if all counted that this node knows of. The second half is for
// the moment in which some count by the change already and others not yet.
func (c *Core) majority() bool {
	if c.cfg.Ablate == MajorityRule {
		return true
	}
	for _, m := range c.cfg.Known {
		if c.members.byPeer[m.ID] == nil {
			return false // a newcomer that does not know yet how many they are
		}
	}
	return c.most(c.isThere)
}

// most reports whether something holds of more than half of those who count, and of those
// who will.
func (c *Core) most(holds func(*member) bool) bool {
	of := func(peers map[p2p.PeerID]bool) bool { return 2*c.members.count(peers, holds) > len(peers) }
	return of(c.counted.peers) && (len(c.counted.waiting) == 0 || of(c.belonging()))
}

// count is of how many of the peers something holds.
func (m *members) count(peers map[p2p.PeerID]bool, holds func(*member) bool) (count int) {
	for peer := range peers {
		if b := m.byPeer[peer]; b != nil && holds(b) {
			count++
		}
	}
	return count
}

// inSight reports whether a member is in reach or suspect; this node always is.
func (c *Core) inSight(b *member) bool { return b.peer == c.cfg.Peer || b.live && !b.Left }

// isThere reports whether a member is in reach beyond doubt. Suspects are not: a node that is
// cut off suspects for seconds while it waits for the answers, and moved homes meanwhile
// (seed 13 of the histories). Nor are members that were last heard before this node
// slept (seed 52), or, while it takes itself for slow, some probes ago (seed 5877).
func (c *Core) isThere(b *member) bool {
	since := c.members.awake
	if c.members.swim.Slow() {
		since = max(since, c.now-freshProbes*c.cfg.Swim.ProbeInterval)
	}
	return b.peer == c.cfg.Peer || c.inSight(b) && b.state != swim.Suspect && b.word >= since
}

// freshProbes is how many intervals of probes old a word may be that a slow node counts.
const freshProbes = 10

// countedThere is how many of those who count are there.
func (c *Core) countedThere() int { return c.members.count(c.counted.peers, c.isThere) }

// awaited says in words what does not count yet.
func (c *Core) awaited() (words []string) {
	for _, m := range c.counted.waiting {
		what := "the departure of "
		if m.joins {
			what = "the join of "
		}
		words = append(words, what+c.members.byPeer[m.peer].Name)
	}
	return words
}

// Belonging are the peers that count, or will, by the records.
func (c *Core) Belonging() map[p2p.PeerID]bool { return c.belonging() }

// Counted are the peers of whom more than half make a majority here.
func (c *Core) Counted() map[p2p.PeerID]bool { return maps.Clone(c.counted.peers) }
