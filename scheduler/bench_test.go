package scheduler_test

import (
	"fmt"
	"testing"

	"holon/crdt"
	"holon/crdt/state"
	"holon/scheduler"
)

// BenchmarkPlace plans 10,000 slots on 1,000 empty nodes, as 100 workloads of
// 100 slots and as one of 10,000.
func BenchmarkPlace(b *testing.B) {
	for _, workloads := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("workloads=%d", workloads), func(b *testing.B) {
			benchPlace(b, workloads, 10_000/workloads)
		})
	}
}

func benchPlace(b *testing.B, workloads, replicas int) {
	x := uniform(1000, replicas)
	b.ReportAllocs()
	for b.Loop() {
		v, placed := x.view(x.order()), 0
		for i := range workloads {
			w := *x.w
			w.UID = crdt.UID{1, byte(i >> 8), byte(i)}
			for j := range x.slots {
				x.slots[j].ID = state.SlotID{Workload: w.UID, Index: j}
			}
			placed += len(scheduler.Place(v, &w, x.slots).Decisions)
		}
		if placed != workloads*replicas {
			b.Fatalf("%d placed", placed)
		}
	}
	b.ReportMetric(float64(b.N*workloads*replicas)/b.Elapsed().Seconds(), "pods/s")
}

// BenchmarkSettled plans again what is in place already, the common case: one
// view with 10,000 slots booked, and nothing to decide.
func BenchmarkSettled(b *testing.B) {
	x := uniform(1000, 10_000)
	x.apply(x.place())
	b.ReportAllocs()
	for b.Loop() {
		if plan := x.place(); len(plan.Decisions) > 0 {
			b.Fatal(plan.Decisions)
		}
	}
	b.ReportMetric(float64(b.N*len(x.slots))/b.Elapsed().Seconds(), "slots/s")
}

// BenchmarkRank is asked for every workload with something to do.
func BenchmarkRank(b *testing.B) {
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("node-%d", i))
	}
	for b.Loop() {
		scheduler.Rank(crdt.UID{1}, names, "node-500")
	}
}
