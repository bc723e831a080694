package scheduler_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt/state"
	"holon/scheduler"
)

// running lists the slots of a world that somebody runs.
func (x *world) running() (list []int) {
	for i := range x.slots {
		if x.runner(&x.slots[i]) != "" {
			list = append(list, i)
		}
	}
	return list
}

func plainNodes(v *scheduler.View) (list []scheduler.Node) {
	for _, n := range v.Nodes {
		plain := *n
		plain.Ports = slices.Clone(n.Ports)
		slices.SortFunc(plain.Ports, func(a, b state.HostPort) int { return int(a.Port) - int(b.Port) })
		plain.Slots = maps.Clone(n.Slots)
		list = append(list, plain)
	}
	return list
}

// A slot goes where it would go if it ran nowhere and its node were not asked, and
// asking leaves no trace.
func TestElsewhereIsWherePlaceWouldPutIt(t *testing.T) {
	found, none := 0, 0
	manyTimes(t, func(t *rapid.T) {
		x := drawWorld(t)
		running := x.running()
		if len(running) == 0 {
			return
		}
		i := oneOf(t, "slot", running...)
		s, from := &x.slots[i], x.runner(&x.slots[i])
		v := x.view(x.order())
		before := plainNodes(v)
		node, why := scheduler.Elsewhere(v, x.w, s, from)
		if after := plainNodes(v); !reflect.DeepEqual(before, after) {
			t.Fatalf("asked, the view is\n%+v\nand was\n%+v", after, before)
		}
		then := *x
		then.slots, then.refusals = slices.Clone(x.slots), maps.Clone(x.refusals)
		then.slots[i].Home, then.slots[i].StandIn = state.Home{}, state.StandIn{}
		then.refusals[refusal{s.ID, from}] = "it leaves there"
		plan := scheduler.Place(then.view(then.order()), then.w, then.slots[i:i+1])
		want := ""
		if len(plan.Decisions) > 0 {
			want = target(plan.Decisions[0])
			found++
		} else {
			none++
		}
		if node != want || (node == "") != (why != "") {
			t.Fatalf("slot %d of %s goes to %q (%s), want %q", i, from, node, why, want)
		}
	})
	if found == 0 || none == 0 {
		t.Errorf("%d slots found a node, %d none", found, none)
	}
}

// Moves to better places come to an end, and no wish is lost by any of them.
func TestThereIsAnEndOfBetterPlaces(t *testing.T) {
	moves := 0
	manyTimes(t, func(t *rapid.T) {
		x := drawWorld(t)
		x.w.Template.Spec.Affinity, x.w.Template.Spec.TopologySpreadConstraints = nil, nil
		v := x.view(x.order())
		at := map[int]string{}
		for _, i := range x.running() {
			at[i] = x.runner(&x.slots[i])
		}
		for round := 0; ; round++ {
			moved := false
			for i := range x.slots {
				from, runs := at[i]
				if !runs {
					continue
				}
				before := v.Node(from).Slots[x.w.UID]
				to, _ := scheduler.Better(v, x.w, &x.slots[i], from)
				if to == "" {
					continue
				}
				if v.Node(to).Unsteady && !v.Node(from).Unsteady {
					t.Fatalf("slot %d moves from %s to %s, which comes and goes", i, from, to)
				}
				if there := v.Node(to).Slots[x.w.UID]; to == from || there >= before {
					t.Fatalf("slot %d moves from %s with %d to %s with %d", i, from, before, to, there)
				}
				v.Release(x.w, from)
				v.Occupy(x.w, to)
				at[i], moved = to, true
				moves++
			}
			if !moved {
				break
			}
			if round > len(x.slots)*len(x.nodes) {
				t.Fatalf("after %d rounds slots still move", round)
			}
		}
	})
	if moves == 0 {
		t.Error("nothing ever moved")
	}
}
