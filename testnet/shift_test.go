package testnet

import (
	"errors"
	"testing"
	"time"

	"holon/crdt/state"
	"holon/node/core"
)

// budget keeps all pods of a Deployment but so many.
func (s *stage) budget(app string, most int64) {
	s.t.Helper()
	s.put(s.node(1), state.MakeKey(state.Budgets, "default", app), map[string]any{"spec": map[string]any{
		"maxUnavailable": most, "selector": map[string]any{"matchLabels": map[string]any{"app": app}},
	}})
	s.Run(time.Second)
}

// What kubectl drain does: every pod of a node is asked to go until it does. A slot
// never stops to serve, one moves at a time, and the budget is what keeps the others.
func TestEvictionsEmptyANodeWithoutAGap(t *testing.T) {
	s, web := drainStage(t, 6)
	s.budget("web", 1)
	left := s.node(2)
	s.node(1).cordon(left.name, true)
	s.Run(time.Second)
	emptied, refused := s.emptied(left, web, 6), 0
	evict := func() {
		for i := range 6 {
			s.node(3).ask(core.Evict{Slot: s.slot(s.node(3), web, i).ID, Node: left.name}, func(ack core.Ack) {
				if budget := (*core.BudgetError)(nil); errors.As(ack.Err, &budget) {
					refused++
				} else if ack.Err != nil && !errors.Is(ack.Err, core.ErrStays) { // it is asked again
					t.Errorf("slot %d: %v", i, ack.Err)
				}
			})
		}
	}
	s.within(20*time.Second, "an empty node", func() bool {
		evict()
		moving := 0
		for i := range 6 {
			if home := s.slot(s.node(3), web, i).Home.Node; !runsOn(s.running(web), i, home) {
				moving++
			}
		}
		if moving > 1 {
			t.Fatalf("%d slots move at once, and the budget is of one\n%s", moving, s.table())
		}
		return emptied()
	})
	if refused == 0 {
		t.Error("the budget refused nothing")
	}
	s.always(2*time.Second, "six pods", s.whole(web, 6))
}

func runsOn(pods []live, slot int, node string) bool {
	for _, p := range pods {
		if p.slot.Index == slot && p.node.name == node {
			return true
		}
	}
	return false
}

// A rebalance fills a node that came back empty, without a gap, and then there is
// nothing left to do.
func TestRebalanceFillsAnEmptyNodeWithoutAGap(t *testing.T) {
	s, web := drainStage(t, 9)
	back := s.node(2)
	s.node(1).drainOf(back.name)
	s.within(20*time.Second, "an empty node", s.emptied(back, web, 9))
	s.node(1).cordon(back.name, false)
	s.Run(time.Second)
	moved := 0
	s.node(3).ask(core.Rebalance{Max: 100}, func(ack core.Ack) { moved = len(ack.Moves) })
	s.within(20*time.Second, "three pods on each", func() bool {
		serving, here := map[int]bool{}, map[string]int{}
		for _, p := range s.running(web) {
			serving[p.slot.Index] = true
			here[p.node.name]++
		}
		if len(serving) < 9 {
			t.Fatalf("a slot does not serve while it moves:\n%s", s.table())
		}
		return s.whole(web, 9)() && here["n1"] == 3 && here["n2"] == 3 && here["n3"] == 3
	})
	if moved != 3 {
		t.Errorf("%d homes moved, want the 3 that make it even", moved)
	}
	s.ask(s.node(1), core.Rebalance{Max: 100})
	s.always(3*time.Second, "nothing moves", s.whole(web, 9))
}
