package core

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt"
	"holon/crdt/state"
)

func TestPrioritiesOfPods(t *testing.T) {
	p := priorities{classes: map[string]state.PriorityClass{}}
	of := func(class string) int32 { return p.of(&corev1.PodSpec{PriorityClassName: class}) }
	check := func(what string, want ...int32) {
		t.Helper()
		if have := []int32{of(""), of("high"), of("low"), of("unknown"), of("system-node-critical")}; !slices.Equal(have, want) {
			t.Errorf("%s: %v, want %v", what, have, want)
		}
	}
	check("no class", 0, 0, 0, 0, 2000001000)
	p.put("high", state.PriorityClass{Value: 100, Default: true}, true)
	check("a default", 100, 100, 0, 0, 2000001000)
	p.put("low", state.PriorityClass{Value: -7, Default: true}, true)
	check("two defaults", -7, 100, -7, -7, 2000001000)
	p.put("low", state.PriorityClass{}, false)
	check("it is gone", 100, 100, 0, 0, 2000001000)
}

// Runs are let in by priority, and the older first where that is equal.
func TestTheUrgentAreAdmittedFirst(t *testing.T) {
	c := &Core{index: newIndex("n1"), runner: newRunner()}
	c.index.priorities.put("high", state.PriorityClass{Value: 100}, true)
	for i, class := range []string{"", "high", "unknown", "high", ""} {
		born := crdt.Stamp{Time: uint64(10 - i)}
		c.runner.put(&run{id: state.RunID(fmt.Sprint(i)), wanted: true, template: &corev1.PodTemplateSpec{Spec: corev1.PodSpec{PriorityClassName: class}}},
			state.Slot{ID: state.SlotID{Workload: crdt.UID{byte(i)}}, Born: born})
	}
	order := ""
	for _, r := range c.waiting() {
		order += string(r.id)
	}
	if order != "31420" {
		t.Errorf("let in in the order %s, want 31420", order)
	}
}
