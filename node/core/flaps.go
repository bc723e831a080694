package core

import (
	"time"

	"holon/crdt/state"
)

// flaps is how often a member has lately come back without having said that it goes.
// Who comes and goes gets a new slot only where nobody else fits; what runs there, and
// what is handed back to it, is not touched. Each node goes by what it has seen itself
// since it booted.
type flaps struct {
	count int     // of returns, as of the last one
	last  Instant // when it came back last
	until Instant // until when it is the last choice
}

const (
	flapsFree      = 1                // so many returns cost nothing
	flapPenalty    = time.Minute      // for the next one, doubled with each
	flapPenaltyMax = 10 * time.Minute //
	flapsMax       = 6                // more cost no more
	flapQuiet      = 15 * time.Minute // without a return halves the count
)

// back counts a return and gives the penalty for it.
func (f *flaps) back(now Instant) (penalty time.Duration) {
	f.count = min(f.count>>((now-f.last)/flapQuiet)+1, flapsMax)
	if f.count > flapsFree {
		penalty = min(flapPenalty<<(f.count-flapsFree-1), flapPenaltyMax)
	}
	f.last, f.until = now, now+penalty
	return penalty
}

// cameBack is told of a member that was out of reach. Where this node has lacked the
// majority meanwhile, it cannot tell that from having been away itself, and would
// prefer itself to all others.
func (c *Core) cameBack(b *member) {
	if with := c.sched.troubles.together; with == 0 || with > b.since {
		return
	}
	if penalty := b.flaps.back(c.now); penalty > 0 {
		c.members.steadyAt = sooner(c.members.steadyAt, b.flaps.until)
		c.fact(true, state.MakeKey(state.Nodes, "", b.Name), "NodeUnsteady", "%s comes and goes: it is the last choice for new pods for %v", b.Name, penalty)
	}
}

// unsteady reports whether the bearer of a name is the last choice now.
func (c *Core) unsteady(name string) bool {
	b := c.members.byName[name]
	return b != nil && c.now < b.flaps.until
}

// tickFlaps has everything planned again when a penalty is over.
func (c *Core) tickFlaps() {
	m := &c.members
	if m.steadyAt != 0 && c.now >= m.steadyAt {
		m.steadyAt, c.index.dirtyAll = 0, true
		for _, b := range m.byPeer {
			if c.now < b.flaps.until {
				m.steadyAt = sooner(m.steadyAt, b.flaps.until)
			}
		}
	}
	if m.steadyAt != 0 {
		c.wake(m.steadyAt)
	}
}
