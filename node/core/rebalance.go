package core

import (
	"cmp"
	"fmt"
	"slices"

	"holon/crdt/state"
	"holon/scheduler"
)

// Move is a home that Rebalance moves, or would.
type Move struct {
	Key      state.Key // of the workload
	Slot     int
	From, To string
	Why      string
}

// Bounds of one Rebalance: what a user may ask for, and how often it looks for a
// better place before it is content with the moves that it has.
const (
	RebalanceMovesMax = 1000
	rebalanceLooks    = 1 << 14
)

// rebalance plans the moves on a copy of the view and writes them in the same Step, so
// that they rest on the majority and on the terms that they were planned with. A home
// that moves is handed over: whoever runs the slot goes on until the new home is ready.
func (c *Core) rebalance(op Rebalance) ([]Move, error) {
	view := c.sched.booking.view
	switch {
	case view == nil || !c.sched.settled:
		return nil, fmt.Errorf("%w: this node has just started", ErrStays)
	case !c.majority():
		return nil, fmt.Errorf("%w: this node does not see the majority, and only there homes move", ErrStays)
	}
	if c.homesHeld() {
		return nil, fmt.Errorf("%w: many members vanished at once, so no home moves for a while", ErrStays)
	}
	b := balancer{c: c, view: c.copyBooking().view, spent: map[*budget]int{}, max: min(op.Max, RebalanceMovesMax)}
	b.plan()
	if op.DryRun {
		return b.moves, nil
	}
	for i, m := range b.moves {
		if err := c.moveHome(b.moved[i].workload, &b.moved[i].slot, m.To, "Rebalanced", m.Why); err != nil {
			return b.moves[:i], err
		}
	}
	return b.moves, nil
}

// balancer looks for moves in a view of its own.
type balancer struct {
	c     *Core
	view  *scheduler.View
	spent map[*budget]int // of what budgets allow now
	max   int
	looks int
	moves []Move
	moved []movable
}

type movable struct {
	workload *state.Workload
	slot     state.Slot
	room     int64 // of its home
	gone     bool
}

// plan goes through the slots, those on the fullest nodes first, again and again until
// nothing gets better. Each slot moves once.
func (b *balancer) plan() {
	slots := b.movable()
	for again := true; again; {
		again = false
		for i := range slots {
			if len(b.moves) >= b.max || b.looks >= rebalanceLooks {
				return
			}
			again = b.try(&slots[i]) || again
		}
	}
}

// movable lists the slots that run at home, whole and alone, and may move.
func (b *balancer) movable() (list []movable) {
	for _, uid := range sortedUIDs(b.c.index.workloads) {
		w := b.c.index.workloads[uid]
		if !w.StandIn || w.Set() { // no set stops without need
			continue
		}
		for _, s := range b.c.wanted(w) {
			if home := b.view.Node(s.Home.Node); home != nil && b.view.Assigned(w, &s) == home.Name && s.Run.Prev == "" && b.c.slotReadyOn(&s, home.Name) {
				list = append(list, movable{workload: w, slot: s, room: scheduler.Room(home)})
			}
		}
	}
	slices.SortStableFunc(list, func(a, o movable) int {
		return cmp.Or(cmp.Compare(a.room, o.room), cmp.Compare(a.workload.Key, o.workload.Key), cmp.Compare(a.slot.ID.Index, o.slot.ID.Index))
	})
	return list
}

func (b *balancer) try(m *movable) bool {
	budgets := b.c.budgetsOf(m.workload)
	if m.gone || slices.ContainsFunc(budgets, func(o *budget) bool { return b.spent[o] >= o.Allowed(o.sum) }) {
		return false
	}
	b.looks++
	from := m.slot.Home.Node
	to, why := scheduler.Better(b.view, m.workload, &m.slot, from)
	if to == "" {
		return false
	}
	b.view.Release(m.workload, from) // it could, or there would be no better one
	b.view.Occupy(m.workload, to)
	for _, o := range budgets {
		b.spent[o]++
	}
	m.gone = true
	b.moves = append(b.moves, Move{Key: m.workload.Key, Slot: m.slot.ID.Index, From: from, To: to, Why: why})
	b.moved = append(b.moved, *m)
	return true
}
