package scheduler_test

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt/state"
	"holon/scheduler"
)

// mayMove says for each health of a home that serves no more whether its term
// may rise in a majority's view: always, never, or where the kind has stand-ins.
var mayMove = map[scheduler.Health]string{
	scheduler.Serving: "always", // it refuses the slot
	scheduler.Gone:    "always", scheduler.Draining: "always",
	scheduler.Lost: "never", scheduler.Unfit: "never",
	scheduler.LostLong: "stand-in", scheduler.Drained: "stand-in",
	scheduler.Expelling: "stand-in",
}

// reference plans slot by slot from scratch: it books nothing, adds everything
// up again for each question, and sorts instead of searching.
func reference(x *world) []scheduler.Decision {
	done := *x
	done.slots = slices.Clone(x.slots)
	var decisions []scheduler.Decision
	for i := range done.slots {
		s := &done.slots[i]
		if runner := done.runner(s); runner != "" && runner == s.Home.Node {
			continue
		}
		rule := mayMove[x.health(s.Home.Node)]
		home := s.Home.Node == "" || x.majority && (rule == "always" || rule == "stand-in" && x.w.StandIn)
		node := done.runner(s)
		switch {
		case node != "" && !home, node == "" && !home && (!x.w.StandIn || x.awaited(s)), x.halted():
			continue
		case node == "":
			if node = firstOf(&done, s); node == "" {
				continue
			}
		}
		d := scheduler.Decision{Slot: s.ID}
		if home {
			d.Home = &state.Home{Node: node, Term: s.Home.Term + 1}
		} else {
			d.StandIn = &state.StandIn{Node: node, Basis: s.Home.Term}
		}
		decisions = append(decisions, d)
		done.apply(scheduler.Plan{Decisions: decisions[len(decisions)-1:]})
	}
	return decisions
}

func firstOf(x *world, s *state.Slot) string {
	blind := *x
	blind.refusals = maps.Clone(x.refusals)
	maps.DeleteFunc(blind.refusals, func(r refusal, _ string) bool { return r.slot == s.ID })
	mark := marks(x, fitting(&blind, s))
	able := fitting(x, s)
	unsteady := func(name string) int {
		if x.node(name).Unsteady {
			return 1
		}
		return 0
	}
	slices.SortFunc(able, func(a, b string) int {
		return cmp.Or(
			cmp.Compare(unsteady(a), unsteady(b)),
			cmp.Compare(mark[b], mark[a]),
			cmp.Compare(count(x, a), count(x, b)),
			cmp.Compare(room(x, b), room(x, a)),
			cmp.Compare(scheduler.Weight(s.ID, b), scheduler.Weight(s.ID, a)),
			cmp.Compare(a, b),
		)
	})
	return append(able, "")[0]
}

func fitting(x *world, s *state.Slot) (names []string) {
	for _, n := range x.nodes {
		alone := scheduler.Plan{Decisions: []scheduler.Decision{{Slot: s.ID, Home: &state.Home{Node: n.Name}}}}
		if fits(x, alone) == "" {
			names = append(names, n.Name)
		}
	}
	return names
}

func count(x *world, node string) (n int) {
	for i := range x.slots {
		if x.runner(&x.slots[i]) == node {
			n++
		}
	}
	return n
}

// room is the free share once the pod is there, in steps of 5 %.
func room(x *world, node string) int64 {
	n := x.node(node)
	used, _ := usage(x, n)
	used = used.Add(state.Requests(&x.w.Template.Spec))
	share := func(used, all int64) int64 {
		if all == 0 || used > all {
			return 0
		}
		return (all - used) * 20 / all
	}
	return min(share(used.CPU, n.Allocatable.CPU), share(used.Memory, n.Allocatable.Memory))
}

func TestPlaceIsTheReference(t *testing.T) {
	manyTimes(t, func(t *rapid.T) {
		x := drawWorld(t)
		if have, want := x.place(), reference(x); !reflect.DeepEqual(have.Decisions, want) {
			t.Fatalf("decided %+v\nwant    %+v\n%+v", flat(have.Decisions), flat(want), have.Reasons)
		}
	})
}

func flat(decisions []scheduler.Decision) (list []any) {
	for _, d := range decisions {
		if d.Home != nil {
			list = append(list, d.Slot.Index, *d.Home)
		} else {
			list = append(list, d.Slot.Index, *d.StandIn)
		}
	}
	return list
}
