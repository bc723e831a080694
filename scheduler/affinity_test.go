package scheduler_test

import (
	"slices"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"holon/crdt/state"
	"holon/scheduler"
)

func drawNodeTerm(t *rapid.T) (term corev1.NodeSelectorTerm) {
	for range evenly(3).Draw(t, "expressions") {
		term.MatchExpressions = append(term.MatchExpressions, oneOf(t, "expression",
			corev1.NodeSelectorRequirement{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"a", "c"}},
			corev1.NodeSelectorRequirement{Key: "zone", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"a"}},
			corev1.NodeSelectorRequirement{Key: "gen", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"9"}},
			corev1.NodeSelectorRequirement{Key: "gen", Operator: corev1.NodeSelectorOpExists},
			corev1.NodeSelectorRequirement{Key: "gen", Operator: corev1.NodeSelectorOpDoesNotExist},
			corev1.NodeSelectorRequirement{Key: "gen", Operator: corev1.NodeSelectorOpGt, Values: []string{"9"}},
			corev1.NodeSelectorRequirement{Key: "gen", Operator: corev1.NodeSelectorOpLt, Values: []string{"10"}},
		))
	}
	if oneIn(t, 4, "fields") {
		term.MatchFields = []corev1.NodeSelectorRequirement{{Key: "metadata.name", Values: []string{"n2"},
			Operator: oneOf(t, "field operator", corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn)}}
	}
	return term
}

func drawNodeAffinity(t *rapid.T) *corev1.NodeAffinity {
	a := &corev1.NodeAffinity{}
	if oneIn(t, 2, "required") {
		a.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{}
		for range evenly(3).Draw(t, "terms") {
			required := a.RequiredDuringSchedulingIgnoredDuringExecution
			required.NodeSelectorTerms = append(required.NodeSelectorTerms, drawNodeTerm(t))
		}
	}
	for range evenly(3).Draw(t, "preferred") {
		a.PreferredDuringSchedulingIgnoredDuringExecution = append(a.PreferredDuringSchedulingIgnoredDuringExecution,
			corev1.PreferredSchedulingTerm{Weight: oneOf[int32](t, "weight", 1, 7, 50, 100), Preference: drawNodeTerm(t)})
	}
	return a
}

// termHolds says in other words than the scheduler's what a term means.
func termHolds(term *corev1.NodeSelectorTerm, n *scheduler.Node) bool {
	for _, e := range term.MatchExpressions {
		value, there := n.Labels[e.Key]
		number, err := strconv.Atoi(value)
		holds := false
		switch e.Operator {
		case corev1.NodeSelectorOpIn:
			holds = there && slices.Contains(e.Values, value)
		case corev1.NodeSelectorOpNotIn:
			holds = !there || !slices.Contains(e.Values, value)
		case corev1.NodeSelectorOpExists:
			holds = there
		case corev1.NodeSelectorOpDoesNotExist:
			holds = !there
		case corev1.NodeSelectorOpGt:
			bound, _ := strconv.Atoi(e.Values[0])
			holds = err == nil && number > bound
		case corev1.NodeSelectorOpLt:
			bound, _ := strconv.Atoi(e.Values[0])
			holds = err == nil && number < bound
		}
		if !holds {
			return false
		}
	}
	for _, f := range term.MatchFields {
		if (f.Values[0] == n.Name) != (f.Operator == corev1.NodeSelectorOpIn) {
			return false
		}
	}
	return len(term.MatchExpressions)+len(term.MatchFields) > 0
}

func affinityHolds(spec *corev1.PodSpec, n *scheduler.Node) bool {
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil || spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	for _, term := range spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		if termHolds(&term, n) {
			return true
		}
	}
	return false
}

// marks are what the scores of Kubernetes' plugins come to for the fitting nodes.
func marks(x *world, fitting []string) map[string]int64 {
	sum := map[string]int64{}
	for _, kind := range []struct {
		weight   int64
		raw      func(*world, *scheduler.Node) int64
		reversed bool
	}{
		{2, liked, false}, {3, avoided, true},
	} {
		raw, most := map[string]int64{}, int64(0)
		for _, name := range fitting {
			raw[name] = kind.raw(x, x.node(name))
			most = max(most, raw[name])
		}
		for _, name := range fitting {
			mark := raw[name] * 100 / max(most, 1)
			if kind.reversed {
				mark = 100 - mark
			}
			sum[name] += kind.weight * mark
		}
	}
	for name, mark := range crowded(x, fitting) {
		sum[name] += 2 * mark
	}
	for name, mark := range welcome(x, fitting) {
		sum[name] += 2 * mark
	}
	return sum
}

func liked(x *world, n *scheduler.Node) (sum int64) {
	if a := x.w.Template.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		for _, p := range a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			if termHolds(&p.Preference, n) {
				sum += int64(p.Weight)
			}
		}
	}
	return sum
}

func avoided(x *world, n *scheduler.Node) (count int64) {
	for _, taint := range n.Taints {
		if taint.Effect == corev1.TaintEffectPreferNoSchedule && !tolerated(&x.w.Template.Spec, taint.Key, taint.Value, taint.Effect) {
			count++
		}
	}
	return count
}

// zoned is uniform, with so many nodes in each of the zones a, b, ...
func zoned(slots int, nodes ...int) *world {
	x := uniform(0, slots)
	for z, count := range nodes {
		for _, n := range uniform(count, 0).nodes {
			n.Name = string(rune('a'+z)) + n.Name
			n.Labels = map[string]string{"zone": string(rune('a' + z)), "host": n.Name}
			x.nodes = append(x.nodes, n)
		}
	}
	return x
}

// perZone counts the slots of a plan that has placed all, by the zone of their home.
func perZone(t *testing.T, x *world) map[string]int {
	t.Helper()
	zones := map[string]int{}
	plan := x.place()
	for _, d := range plan.Decisions {
		zones[x.node(target(d)).Labels["zone"]]++
	}
	if len(plan.Decisions) != len(x.slots) {
		t.Errorf("%d of %d slots are placed: %v", len(plan.Decisions), len(x.slots), plan.Reasons[len(plan.Reasons)-1].Text)
	}
	return zones
}

// What cannot be understood, or says nothing, allows no node rather than every one.
func TestATermThatIsNotUnderstoodMatchesNothing(t *testing.T) {
	for name, term := range map[string]corev1.NodeSelectorTerm{
		"empty":    {},
		"operator": {MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: "Near", Values: []string{"a"}}}},
		"field":    {MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.uid", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"a"}}}},
	} {
		x := zoned(1, 2)
		x.w.Template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{term}}}}
		want := "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."
		if plan := x.place(); len(plan.Decisions) > 0 || plan.Reasons[0].Text != want {
			t.Errorf("%s: %s", name, plan.Reasons[0].Text)
		}
	}
}

// What is wished yields to what is there: a preferred zone fills before another
// one is used, and a node that asks to be spared comes last.
func TestWishesComeBeforeSpreading(t *testing.T) {
	x := zoned(12, 2, 2)
	for i := range x.nodes {
		x.nodes[i].Allocatable.Pods = 5
	}
	x.w.Template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{Weight: 1, Preference: corev1.NodeSelectorTerm{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"b"}}}}}}}}
	if zones := perZone(t, x); zones["b"] != 10 {
		t.Errorf("10 of 12 slots fit in the zone that is preferred: %v", zones)
	}
	x = zoned(4, 1, 1)
	x.nodes[0].Taints = []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectPreferNoSchedule}}
	if zones := perZone(t, x); zones["a"] != 0 {
		t.Errorf("a node asked to be spared: %v", zones)
	}
	x.slots = append(x.slots, state.Slot{ID: state.SlotID{Workload: x.w.UID, Index: 4}})
	x.nodes[1].Allocatable.Pods = 4
	if zones := perZone(t, x); zones["a"] != 1 {
		t.Errorf("a node that asks to be spared is better than none: %v", zones)
	}
}
