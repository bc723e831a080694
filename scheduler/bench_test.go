package scheduler_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

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

// BenchmarkConstrained plans 50 workloads of 100 slots on nodes in three zones:
// without constraints, spread over zones and hosts, no two on one host, and in the
// zone of the first and by the labels of nodes.
func BenchmarkConstrained(b *testing.B) {
	labels := map[string]string{"app": "a"}
	for name, constrain := range map[string]func(x *world){
		"plain": func(*world) {},
		"spread": func(x *world) {
			spreadOver(x, "zone", corev1.DoNotSchedule)
			spreadOver(x, "host", corev1.ScheduleAnyway)
		},
		"anti-affinity": func(x *world) { apart(x, "host") },
		"affinity": func(x *world) {
			x.w.Template.Labels = labels
			x.w.Template.Spec.Affinity = &corev1.Affinity{
				NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
					{Weight: 1, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{
						{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"a", "b"}}}}}}},
				PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{podTermOn("zone", labels)}}}
		},
	} {
		for _, nodes := range []int{1000, 5000} {
			b.Run(fmt.Sprintf("%s/nodes=%d", name, nodes), func(b *testing.B) {
				x := zoned(100, nodes/3, nodes/3, nodes-2*(nodes/3))
				constrain(x)
				benchConstrained(b, x, 50)
			})
		}
	}
}

// benchConstrained gives each workload a namespace of its own, and the pods of all
// of them one view.
func benchConstrained(b *testing.B, x *world, workloads int) {
	for b.Loop() {
		v := x.view(x.order())
		for i := range workloads {
			w := *x.w
			w.UID, w.Namespace = crdt.UID{1, byte(i)}, fmt.Sprint(i)
			for j := range x.slots {
				x.slots[j].ID = state.SlotID{Workload: w.UID, Index: j}
			}
			if placed := len(scheduler.Place(v, &w, x.slots).Decisions); placed != len(x.slots) {
				b.Fatalf("%d placed", placed)
			}
		}
	}
	b.ReportMetric(float64(b.N*workloads*len(x.slots))/b.Elapsed().Seconds(), "pods/s")
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
