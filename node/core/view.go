package core

import (
	"maps"
	"slices"
	"time"

	"holon/crdt/state"
	"holon/p2p"
	"holon/p2p/swim"
)

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
	// ClockOff is how far this node's wall clock is ahead of cluster time, if that is
	// worth telling.
	ClockOff time.Duration
	// timeAhead is how far cluster time is ahead of Instant, if it is known.
	timeAhead time.Duration
	timeKnown bool
	Runs      int // that this node still executes
	// Aside is what was put aside, the oldest first; Held, if not nil, a sync that
	// waits for a person.
	Aside []QuarantineView
	Held  *HeldView
	// Strays are copies in reach that are kept for Snapshots of which nothing is known here.
	Strays []StrayCopy
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
	v := &View{
		Majority: c.majority(), Braked: c.homesHeld(), Evicted: c.members.evicted,
		Counted: len(c.counted.peers), CountedThere: c.countedThere(), Awaited: c.awaited(),
	}
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
	v.ClockOff = c.clockOff()
	v.timeAhead, v.timeKnown = c.status.clocks.kept, c.status.clocks.known
	v.Strays = c.strayCopies(v.Members)
	if v.Held = nil; c.sync.held != nil {
		h := c.sync.held
		v.Held = &HeldView{Peer: h.peer, Objects: h.count, Of: h.of}
	}
}

// View is what this node believes now, as Ready.View says when it changes.
func (c *Core) View() *View { return c.view() }
