package scheduler_test

import (
	"math"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/state"
	"holon/scheduler"
)

// demanding is a workload that asks for so much, and for ports.
func demanding(id byte, cpu int64, ports ...int32) *state.Workload {
	c := corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(cpu, resource.DecimalSI)}}}
	for _, p := range ports {
		c.Ports = append(c.Ports, corev1.ContainerPort{HostPort: p, ContainerPort: p})
	}
	return &state.Workload{UID: crdt.UID{id}, Template: &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{c}}}}
}

// What is released, in any order, leaves no trace; what adds up to more than can
// be counted is not released by halves.
func TestReleaseUndoesOccupy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := []*state.Workload{demanding(1, 100, 80), demanding(2, 200, 80, 81), demanding(3, 0), demanding(4, math.MaxInt64/2), demanding(5, math.MaxInt64)}
		booked := rapid.SliceOfN(rapid.SampledFrom(all), 1, 8).Draw(t, "booked")
		kept := rapid.IntRange(0, len(booked)).Draw(t, "kept")
		n := scheduler.Node{Name: "n", Slots: map[crdt.UID]int{}}
		v, fresh := scheduler.View{Nodes: []*scheduler.Node{&n}}, n
		fresh.Slots = map[crdt.UID]int{}
		w := scheduler.View{Nodes: []*scheduler.Node{&fresh}}
		for i, x := range booked {
			v.Occupy(x, "n")
			if i < kept {
				w.Occupy(x, "n")
			}
		}
		for _, x := range rapid.Permutation(booked[kept:]).Draw(t, "released") {
			if n.Used.CPU == math.MaxInt64 {
				if v.Release(x, "n") {
					t.Fatal("of a sum that is not known something was taken")
				}
				return
			}
			if !v.Release(x, "n") {
				t.Fatal("not released")
			}
		}
		for _, x := range []*scheduler.Node{&n, &fresh} {
			slices.SortFunc(x.Ports, func(a, b state.HostPort) int { return a.Port - b.Port })
			x.Ports = append([]state.HostPort{}, x.Ports...)
		}
		if !reflect.DeepEqual(n, fresh) {
			t.Fatalf("%+v is left, %+v is booked", n, fresh)
		}
	})
}
