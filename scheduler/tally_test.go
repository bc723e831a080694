package scheduler_test

import (
	"fmt"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"holon/crdt/state"
	"holon/scheduler"
)

// A view that was kept through bookings, releases and plans plans as a new one.
func TestAKeptViewPlansAsANewOne(t *testing.T) {
	manyTimes(t, func(t *rapid.T) {
		x := zoned(2, 1, 2)
		x.w = drawWorkload(t, "w")
		x.w.Template.Spec.TopologySpreadConstraints = append(x.w.Template.Spec.TopologySpreadConstraints, drawSpread(t))
		if oneIn(t, 2, "is affine") {
			x.w.Template.Spec.Affinity = &corev1.Affinity{}
			drawPodAffinity(t, x.w.Template.Spec.Affinity)
		}
		for i := range x.slots {
			x.slots[i].ID.Workload = x.w.UID
		}
		kept := x.view(x.order())
		crowd := []*state.Workload{drawWorkload(t, "one"), drawWorkload(t, "two"), drawWorkload(t, "three")}
		for range 2 + evenly(10).Draw(t, "changes") {
			switch i := evenly(3).Draw(t, "change"); {
			case i == 0 && len(x.nodes) > 0:
				o := other{crowd[evenly(3).Draw(t, "whose")], oneOf(t, "where", x.nodes...).Name}
				kept.Occupy(o.w, o.node)
				x.others = append(x.others, o)
			case i == 1 && len(x.others) > 0:
				last := len(x.others) - 1
				which := evenly(len(x.others)).Draw(t, "which")
				x.others[which], x.others[last] = x.others[last], x.others[which]
				kept.Release(x.others[last].w, x.others[last].node)
				x.others = x.others[:last]
			default:
				have := scheduler.Place(kept, x.w, x.slots)
				for _, node := range have.Booked {
					kept.Release(x.w, node)
				}
				if want := x.place(); !reflect.DeepEqual(have, want) {
					t.Fatalf("the kept view says\n%+v\na new one\n%+v", have, want)
				}
			}
		}
	})
}

// The bound on what is counted costs time, and nothing else.
func TestManySelectorsAreForgottenAndCountedAgain(t *testing.T) {
	x := zoned(1, 1, 1)
	v := x.view(x.order())
	busy := *x.w
	busy.UID[1], busy.Template = 1, &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "a"}}}
	for range 3 {
		v.Occupy(&busy, x.nodes[0].Name)
	}
	for i := range scheduler.MaxTallies + 5 {
		w := *x.w
		w.UID[2], w.UID[3], w.Template = byte(i>>8), byte(i), x.w.Template.DeepCopy()
		w.Template.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "zone",
			WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{"a", fmt.Sprint(i % (scheduler.MaxTallies + 2))}}}}}}
		slot := state.Slot{ID: state.SlotID{Workload: w.UID}}
		plan := scheduler.Place(v, &w, []state.Slot{slot})
		if node := plan.Decisions[0].Home.Node; node != x.nodes[1].Name {
			t.Fatalf("selector %d: %s is chosen, where three are", i, node)
		}
		v.Release(&w, plan.Booked[0])
	}
}

// Each selector counts what it selects and nothing else, wherever that is filed.
func TestASelectorCountsWhatItSelects(t *testing.T) {
	selectors := rapid.Custom(drawSelector)
	for seed := range 60 {
		s := selectors.Example(seed)
		for _, labels := range []map[string]string{nil, {"app": "a"}, {"app": "b"}, {"app": "c"}, {"tier": "db"}, {"app": "a", "tier": "db"}} {
			x := zoned(1, 1, 1)
			spreadOver(x, "zone", corev1.DoNotSchedule).LabelSelector = s
			x.w.Template.Labels = map[string]string{"app": "c"} // selected by some
			busy := *x.w
			busy.UID[1], busy.Template = 1, &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}}
			for range 2 {
				x.others = append(x.others, other{&busy, x.nodes[0].Name})
			}
			x.nodes[1].Unschedulable = true
			if in := len(x.place().Decisions) > 0; in == selected(s, labels) {
				t.Errorf("two pods %v are there, and a third by %v gets in: %v", labels, s, in)
			}
		}
	}
}
