package core

import (
	"fmt"
	"slices"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/scheduler"
)

// Fates are what would become of slots if nodes were lost.
type Fates struct {
	Majority bool // more than half of the members would be seen
	Slots    []Fate
}

// Fate is what would become of a slot if nodes were lost.
type Fate struct {
	Key   state.Key // of the workload
	Slot  int
	From  string // who runs it now
	To    string // who would; empty: nobody
	Home  bool   // it would belong there, sooner or later
	Why   string
	State string // in one word: FateMoves and so on
}

// The states of a Fate.
const (
	FateMoves   = "moves"
	FateWaits   = "waits"   // for room, or for a node that fits
	FateStays   = "stays"   // with its lost home: the kind, or the user, wants no other
	FateStopped = "stopped" // as no majority is left
)

// longGone is longer than any workload waits for a home.
const longGone = 10 * 365 * 24 * time.Hour

// whatIf plans in a view without some nodes, long after they are lost, from what this
// node has: who would run what they run now, the most urgent first, and what would
// wait. It changes nothing.
func (c *Core) whatIf(lose []string) (*Fates, error) {
	if c.sched.booking.view == nil || !c.sched.settled {
		return nil, fmt.Errorf("%w: this node has just started, and does not know yet who runs what", ErrStays)
	}
	view := c.emptyView()
	for _, name := range lose {
		n := view.Node(name)
		if n == nil {
			return nil, fmt.Errorf("%w: no member is called %s", ErrNotFound, name)
		}
		n.Health, n.Since = scheduler.Lost, view.Now-longGone
	}
	for _, n := range view.Nodes {
		n.Unsteady = false
	}
	view.AloneSince -= longGone
	view.TogetherSince, view.Held = view.Now-longGone, false
	view.Majority = c.majorityWithout(lose)
	b := booking{view: view, of: map[crdt.UID]booked{}}
	b.bookAll(c)
	fates := &Fates{Majority: view.Majority}
	for _, uid := range byUrgency(c, c.index.workloads) {
		w := c.index.workloads[uid]
		slots := c.wantedIn(view, w)
		plan := scheduler.Place(view, w, slots)
		for i := range slots {
			if f, changes := c.fate(view, w, &slots[i], &plan, i); changes {
				fates.Slots = append(fates.Slots, f)
			}
		}
	}
	return fates, nil
}

// fate compares who runs a slot now with who would.
func (c *Core) fate(view *scheduler.View, w *state.Workload, s *state.Slot, plan *scheduler.Plan, i int) (f Fate, changes bool) {
	f = Fate{Key: w.Key, Slot: s.ID.Index, From: c.assigned(s), To: view.Assigned(w, s), Why: plan.Reasons[i].Text}
	if f.From == "" {
		return f, false // nobody runs it now
	}
	for _, d := range plan.Decisions {
		if d.Slot == s.ID && d.Home != nil {
			f.To, f.Home = d.Home.Node, true
		} else if d.Slot == s.ID {
			f.To = d.StandIn.Node
		}
	}
	switch {
	case f.To != "":
		f.State = FateMoves
	case view.Stopped(w):
		f.State = FateStopped
	case !view.Away(w, s) || !w.StandIn:
		f.State = FateStays
	default:
		f.State = FateWaits
	}
	return f, f.To != f.From
}

// majorityWithout reports whether more than half of the members would be seen.
func (c *Core) majorityWithout(lose []string) bool {
	return c.most(func(b *member) bool { return c.inSight(b) && !slices.Contains(lose, b.Name) })
}
