package scheduler_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/state"
	"holon/scheduler"
)

func drawUID(t *rapid.T) crdt.UID {
	return crdt.UID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uid"))
}

func drawNames(t *rapid.T) []string {
	return rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,7}`), 0, 12, rapid.ID[string]).Draw(t, "nodes")
}

func TestOrderAndRankAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uid, nodes := drawUID(t), drawNames(t)
		ordered := scheduler.Order(uid, nodes)
		for want, n := range ordered {
			if rank := scheduler.Rank(uid, nodes, n); rank != want {
				t.Fatalf("%s is number %d of %v and has rank %d", n, want, ordered, rank)
			}
		}
		if rank := scheduler.Rank(uid, nodes, "nobody!"); rank != -1 {
			t.Fatalf("a stranger has rank %d", rank)
		}
		if len(ordered) != len(nodes) {
			t.Fatalf("%d nodes, %d ordered", len(nodes), len(ordered))
		}
	})
}

func TestOrderIsOfASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uid, nodes := drawUID(t), drawNames(t)
		before := slices.Clone(nodes)
		shuffled := rapid.Permutation(nodes).Draw(t, "shuffled")
		if a, b := scheduler.Order(uid, nodes), scheduler.Order(uid, shuffled); !slices.Equal(a, b) {
			t.Fatalf("%v against %v", a, b)
		}
		if !slices.Equal(before, nodes) {
			t.Fatal("Order changed its argument")
		}
	})
}

func TestALeaverMovesNobodyElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uid, nodes := drawUID(t), drawNames(t)
		if len(nodes) == 0 {
			return
		}
		leaver := rapid.SampledFrom(nodes).Draw(t, "leaver")
		without := func(list []string) []string {
			return slices.DeleteFunc(slices.Clone(list), func(n string) bool { return n == leaver })
		}
		if want, have := without(scheduler.Order(uid, nodes)), scheduler.Order(uid, without(nodes)); !slices.Equal(want, have) {
			t.Fatalf("without %s: %v, want %v", leaver, have, want)
		}
	})
}

// With 10,000 workloads each of 10 nodes schedules 1,000 of them, give or take
// the chance of a fair die (deviation 30), also with names that differ in one
// character and UIDs that count up.
func TestEveryNodeSchedulesItsShare(t *testing.T) {
	const nodes, workloads = 10, 10_000
	var names []string
	for i := range nodes {
		names = append(names, fmt.Sprintf("n%d", i+1))
	}
	for what, uidOf := range map[string]func(i int) crdt.UID{
		"hashed":   func(i int) crdt.UID { return state.DerivedUID("w", fmt.Sprint(i)) },
		"counting": func(i int) crdt.UID { return crdt.UID{14: byte(i >> 8), 15: byte(i)} },
	} {
		first, second := map[string]int{}, map[string]int{}
		for i := range workloads {
			ordered := scheduler.Order(uidOf(i), names)
			first[ordered[0]]++
			second[ordered[1]]++
		}
		for _, n := range names {
			for place, have := range map[string]int{"scheduler": first[n], "standby": second[n]} {
				if want := workloads / nodes; have < want-150 || have > want+150 {
					t.Errorf("%s UIDs: %s is %s of %d workloads, want %d +- 150", what, n, place, have, want)
				}
			}
		}
	}
}

// The order is part of the protocol: nodes of different versions must agree.
func TestOrderIsPinned(t *testing.T) {
	names := []string{"n1", "n2", "n3", "n4", "n5"}
	have := fmt.Sprint(scheduler.Order(crdt.UID{}, names), scheduler.Order(crdt.UID{0: 1, 15: 255}, names))
	if want := pinnedOrder; have != want {
		t.Errorf("order is %s, want %s", have, want)
	}
}

const pinnedOrder = "[n5 n1 n4 n3 n2] [n3 n1 n4 n2 n5]"
