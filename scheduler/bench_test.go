package scheduler_test

import (
	"fmt"
	"testing"

	"holon/crdt"
	"holon/scheduler"
	"holon/scheduler/schedulertest"
)

// BenchmarkPlace plans 10,000 slots on 1,000 empty nodes, as 1, 100 and 10,000
// workloads.
func BenchmarkPlace(b *testing.B) {
	for _, workloads := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("workloads=%d", workloads), func(b *testing.B) {
			benchLoad(b, schedulertest.NewLoad(schedulertest.Plain, 1000, workloads, 10_000/workloads))
		})
	}
}

// BenchmarkConstrained plans 50 workloads of 100 slots with each kind of constraint.
func BenchmarkConstrained(b *testing.B) {
	for _, c := range schedulertest.Constraints {
		for _, nodes := range []int{1000, 5000} {
			b.Run(fmt.Sprintf("%s/nodes=%d", c, nodes), func(b *testing.B) {
				benchLoad(b, schedulertest.NewLoad(c, nodes, 50, 100))
			})
		}
	}
}

func benchLoad(b *testing.B, l *schedulertest.Load) {
	b.ReportAllocs()
	for b.Loop() {
		if placed := l.Place(); placed != l.Pods() {
			b.Fatalf("%d placed", placed)
		}
	}
	b.ReportMetric(float64(b.N*l.Pods())/b.Elapsed().Seconds(), "pods/s")
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
