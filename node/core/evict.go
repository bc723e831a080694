package core

import (
	"errors"
	"fmt"

	"holon/crdt/state"
	"holon/scheduler"
)

// Why an eviction is refused, besides BudgetError. Nothing was written.
var (
	// ErrStays: not now; it may be possible later.
	ErrStays = errors.New("the pod stays where it is")
	// ErrTwice: another node may not run it while it runs.
	ErrTwice = errors.New("it must not run twice")
)

// BudgetError says that a disruption budget forbids an eviction now.
type BudgetError struct {
	Budget     state.Key
	Needs, Has int
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("%s needs %d healthy pods and has %d", e.Budget, e.Needs, e.Has)
}

// evict gives the slot behind a pod another home, if its budget lets it: whoever runs
// it goes on until the new home is ready, as wherever a home moves. A bare pod is
// deleted, as Kubernetes does. Homes move in the view of a majority only.
func (c *Core) evict(op Evict) error {
	w := c.index.workloads[op.Slot.Workload]
	s, ok := c.index.slots[op.Slot.Workload][op.Slot.Index]
	if w == nil || !ok {
		return ErrNotFound
	}
	if !c.wants(w, s.ID.Index) && w.Evicted == "" {
		return nil // it stops anyway
	}
	if op.Node == "" && !w.Bare() {
		return nil // it waits for a node and disturbs nobody
	}
	gone := w.Bare() && !w.StandIn
	if pin := c.pinOf(w, s.ID); !gone && pin.Node != "" && pin.Node == op.Node {
		return c.evictPinned(w, &s, op)
	}
	if !gone && !w.Daemon() {
		if elsewhere, err := c.movable(w, &s, op.Node); elsewhere || err != nil {
			return err
		}
	}
	if err := c.spend(w, &s, op.Node); err != nil {
		return err
	}
	switch {
	case (gone || w.Daemon()) && op.DryRun:
		return nil
	case gone:
		return c.end(w.Key, "")
	case w.Daemon():
		return c.renew(w, &s) // it is deleted, and its node gets another one
	}
	node, why := scheduler.Elsewhere(c.sched.booking.view, w, &s, op.Node)
	switch {
	case node == "":
		return fmt.Errorf("%w: %s", ErrStays, why)
	case op.DryRun:
		return nil
	}
	return c.moveHome(w, &s, node, "Evicted", "it is evicted from "+op.Node)
}

// evictPinned ends the pod of a slot whose data is on its node. It waits without a home,
// until that node takes pods again, as in Kubernetes.
func (c *Core) evictPinned(w *state.Workload, s *state.Slot, op Evict) error {
	if c.sched.booking.view == nil || !c.sched.settled || c.index.dirtyAll || c.index.touched[w.UID] {
		return fmt.Errorf("%w: it is being placed just now", ErrStays)
	}
	if !c.sched.booking.view.HomesMove() {
		return fmt.Errorf("%w: this node does not see the majority, or many members vanished at once, and then no pod leaves its home", ErrStays)
	}
	if err := c.spend(w, s, op.Node); err != nil || op.DryRun {
		return err
	}
	if err := c.renew(w, s); err != nil {
		return err
	}
	again := c.index.slots[w.UID][s.ID.Index]
	return c.moveHome(w, &again, "", "Evicted", "it is evicted from "+op.Node+", which has its volume, and waits until that takes pods again")
}

// movable reports whether the slot of a pod is elsewhere already, or why it cannot get
// another home now.
func (c *Core) movable(w *state.Workload, s *state.Slot, node string) (elsewhere bool, err error) {
	view := c.sched.booking.view
	if view == nil || !c.sched.settled {
		return false, fmt.Errorf("%w: this node has just started", ErrStays)
	}
	if c.index.dirtyAll || c.index.touched[w.UID] {
		return false, fmt.Errorf("%w: it is being placed just now", ErrStays)
	}
	switch at := view.Assigned(w, s); {
	case at == node:
	case at == "" && s.Home.Node == node && c.live(node):
		return false, fmt.Errorf("%w: %s", ErrStays, c.whyPlaced(w, s.ID.Index))
	default:
		return true, nil
	}
	switch {
	case !w.StandIn && !w.Set():
		return false, fmt.Errorf("%w: %s says %s: %s", ErrTwice, w.Key, state.StandInAnnotation, state.StandInNever)
	case view.Held:
		return false, fmt.Errorf("%w: many members vanished at once, so nothing moves for good for a while", ErrStays)
	case !view.Majority:
		return false, fmt.Errorf("%w: this node does not see the majority, and only there a pod moves for good", ErrStays)
	}
	return false, nil
}

// moveHome gives a slot a home of the next term, and says why.
func (c *Core) moveHome(w *state.Workload, s *state.Slot, node, reason, why string) error {
	home := state.Home{Node: node, Term: s.Home.Term + 1}
	if err := c.setRanked(state.SlotKey(w.Namespace, s.ID), s.UID, state.SlotHome, home.Term, state.EncodeRegister(home)); err != nil {
		return err
	}
	if node == "" {
		c.fact(false, w.Key, reason, "slot %d: %s", s.ID.Index, why)
		return nil
	}
	c.fact(false, w.Key, reason, "slot %d belongs on %s now: %s", s.ID.Index, node, why)
	return nil
}

// spend asks the budget of a workload whether a pod on a node may be disrupted, as
// Kubernetes does: what is not ready may go if enough others are.
func (c *Core) spend(w *state.Workload, s *state.Slot, node string) error {
	budgets := c.budgetsOf(w)
	if len(budgets) == 0 {
		return nil
	}
	if len(budgets) > 1 {
		return errors.New("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.") //nolint:staticcheck // Kubernetes' words
	}
	b := budgets[0]
	desired := b.Desired(b.sum)
	if !c.readyOn(s, node) && (b.AlwaysAllow || b.sum.Healthy >= desired && desired > 0 || !c.liveRun(s, node)) {
		return nil
	}
	if b.Allowed(b.sum) > 0 {
		return nil
	}
	return &BudgetError{Budget: b.Key, Needs: desired, Has: b.sum.Healthy - b.sum.Moving}
}

// liveRun reports whether a run of a slot has started on a node and is not over.
func (c *Core) liveRun(s *state.Slot, node string) bool {
	for _, r := range c.status.runs[s.ID.Workload][node] {
		if r.Slot == s.ID && r.Phase == state.Running {
			return true
		}
	}
	return false
}
