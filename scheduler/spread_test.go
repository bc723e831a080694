package scheduler_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"holon/crdt/state/valid"
	"holon/scheduler"
)

func drawSelector(t *rapid.T) *metav1.LabelSelector {
	return oneOf(t, "selector", nil,
		&metav1.LabelSelector{}, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "b"}},
		&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{"a", "b"}}}},
		&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: metav1.LabelSelectorOpDoesNotExist}}},
		&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"a"}}}},
	)
}

// selected says in other words than the scheduler's what drawSelector's selectors mean.
func selected(s *metav1.LabelSelector, labels map[string]string) bool {
	if s == nil {
		return false
	}
	for key, value := range s.MatchLabels {
		if have, ok := labels[key]; !ok || have != value {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		have, ok := labels[e.Key]
		if e.Operator == metav1.LabelSelectorOpNotIn && have == e.Values[0] {
			return false
		}
		if e.Operator == metav1.LabelSelectorOpDoesNotExist && ok || e.Operator == metav1.LabelSelectorOpIn && (!ok || !strings.Contains(fmt.Sprint(e.Values), have)) {
			return false
		}
	}
	return true
}

func drawSpread(t *rapid.T) corev1.TopologySpreadConstraint {
	honour, ignore := corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore
	c := corev1.TopologySpreadConstraint{
		MaxSkew: oneOf[int32](t, "skew", 1, 1, 2), TopologyKey: oneOf(t, "topology", "zone", "gen"),
		WhenUnsatisfiable:  oneOf(t, "unsatisfiable", corev1.DoNotSchedule, corev1.ScheduleAnyway),
		LabelSelector:      drawSelector(t),
		NodeAffinityPolicy: oneOf(t, "affinity policy", nil, &honour, &ignore),
		NodeTaintsPolicy:   oneOf(t, "taints policy", nil, &honour, &ignore),
	}
	if c.WhenUnsatisfiable == corev1.DoNotSchedule && oneIn(t, 3, "min domains") {
		c.MinDomains = oneOf(t, "min", new(int32), ptr[int32](3))
	}
	return c
}

func ptr[T any](v T) *T { return &v }

// pods says what runs where, by labels and namespace.
func (x *world) pods(visit func(n *scheduler.Node, namespace string, spec *corev1.PodTemplateSpec)) {
	for i := range x.slots {
		if n := x.node(x.runner(&x.slots[i])); n != nil {
			visit(n, x.w.Namespace, x.w.Template)
		}
	}
	for _, o := range x.others {
		visit(x.node(o.node), o.w.Namespace, o.w.Template)
	}
}

func constraints(x *world, action corev1.UnsatisfiableConstraintAction) (list []corev1.TopologySpreadConstraint) {
	for _, c := range x.w.Template.Spec.TopologySpreadConstraints {
		if c.WhenUnsatisfiable == action {
			list = append(list, c)
		}
	}
	return list
}

// inDomain counts for one constraint the pods of each domain that there is.
func inDomain(x *world, all []corev1.TopologySpreadConstraint, c *corev1.TopologySpreadConstraint) map[string]int {
	spec := &x.w.Template.Spec
	counts := func(n *scheduler.Node) bool {
		for _, c := range all {
			if _, ok := n.Labels[c.TopologyKey]; !ok {
				return false
			}
		}
		matches := affinityHolds(spec, n) && (spec.NodeSelector["zone"] == "" || spec.NodeSelector["zone"] == n.Labels["zone"])
		clean := !n.Unschedulable || tolerated(spec, corev1.TaintNodeUnschedulable, "", corev1.TaintEffectNoSchedule)
		for _, taint := range n.Taints {
			clean = clean && (taint.Effect == corev1.TaintEffectPreferNoSchedule || putUpWith(x.w, taint, valid.Never))
		}
		return n.Health == scheduler.Serving && (matches || c.NodeAffinityPolicy != nil && *c.NodeAffinityPolicy == corev1.NodeInclusionPolicyIgnore) &&
			(clean || c.NodeTaintsPolicy == nil || *c.NodeTaintsPolicy == corev1.NodeInclusionPolicyIgnore)
	}
	domains := map[string]int{}
	for i := range x.nodes {
		if n := &x.nodes[i]; counts(n) {
			domains[n.Labels[c.TopologyKey]] += 0
		}
	}
	x.pods(func(n *scheduler.Node, namespace string, template *corev1.PodTemplateSpec) {
		if counts(n) && namespace == x.w.Namespace && selected(c.LabelSelector, template.Labels) {
			domains[n.Labels[c.TopologyKey]]++
		}
	})
	return domains
}

// spreads says what keeps one more slot from a node.
func spreads(x *world, n *scheduler.Node) string {
	all := constraints(x, corev1.DoNotSchedule)
	for _, c := range all {
		domain, ok := n.Labels[c.TopologyKey]
		if !ok {
			return n.Name + " is in no domain"
		}
		domains, least := inDomain(x, all, &c), math.MaxInt
		for _, count := range domains {
			least = min(least, count)
		}
		if c.MinDomains != nil && len(domains) < int(*c.MinDomains) {
			least = 0
		}
		after := domains[domain]
		if selected(c.LabelSelector, x.w.Template.Labels) {
			after++
		}
		if after-least > int(c.MaxSkew) {
			return n.Name + " is too crowded"
		}
	}
	return ""
}

// crowded is the mark of each node for the constraints that are wishes.
func crowded(x *world, fitting []string) map[string]int64 {
	all, raw, marks := constraints(x, corev1.ScheduleAnyway), map[string]int64{}, map[string]int64{}
	least, most := int64(math.MaxInt64), int64(0)
nodes:
	for _, name := range fitting {
		n, sum := x.node(name), int64(0)
		for _, c := range all {
			domain, ok := n.Labels[c.TopologyKey]
			if !ok {
				marks[name] = 0
				continue nodes
			}
			domains := inDomain(x, all, &c)
			if count, counted := domains[domain]; counted {
				sum += int64(count)*scheduler.LogMilli(uint64(len(domains)+2)) + 1000*int64(c.MaxSkew-1)
			}
		}
		raw[name], least, most = sum, min(least, sum), max(most, sum)
	}
	for name, sum := range raw {
		if marks[name] = 100; most > 0 {
			marks[name] = 100 * (most + least - sum) / most
		}
	}
	return marks
}

// spreadOver spreads the slots of a world's workload over the values of a label.
func spreadOver(x *world, key string, action corev1.UnsatisfiableConstraintAction) *corev1.TopologySpreadConstraint {
	x.w.Template.Labels = map[string]string{"app": "a"}
	spec := &x.w.Template.Spec
	spec.TopologySpreadConstraints = append(spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{MaxSkew: 1, TopologyKey: key,
		WhenUnsatisfiable: action, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}})
	return &spec.TopologySpreadConstraints[len(spec.TopologySpreadConstraints)-1]
}

// Zones of any sizes differ by at most the skew, whatever becomes of them.
func TestZonesAreEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots, a, b, c := evenly(20).Draw(t, "slots"), 1+evenly(3).Draw(t, "a"), 1+evenly(6).Draw(t, "b"), 1+evenly(9).Draw(t, "c")
		action := oneOf(t, "action", corev1.DoNotSchedule, corev1.ScheduleAnyway)
		x := zoned(slots, a, b, c)
		spreadOver(x, "zone", action)
		zones := map[string]int{"a": 0, "b": 0, "c": 0}
		for _, d := range x.place().Decisions {
			zones[x.node(target(d)).Labels["zone"]]++
		}
		if least := min(zones["a"], zones["b"], zones["c"]); zones["a"]+zones["b"]+zones["c"] != slots || max(zones["a"], zones["b"], zones["c"])-least > 1 {
			t.Fatalf("%d slots, %v (%s)", slots, zones, action)
		}
	})
}

func TestSpreadKeepsAPodOutRatherThanUneven(t *testing.T) {
	x := zoned(5, 1, 1)
	x.nodes[0].Allocatable.Pods = 1
	x.nodes = append(x.nodes, uniform(1, 0).nodes...)
	spreadOver(x, "zone", corev1.DoNotSchedule)
	plan := x.place()
	want := "0/3 nodes are available: 1 Too many pods, 1 node(s) didn't match pod topology spread constraints, 1 node(s) didn't match pod topology spread constraints (missing required label)."
	if len(plan.Decisions) != 3 || plan.Reasons[3].Text != want {
		t.Errorf("%d are placed, and of the next: %s", len(plan.Decisions), plan.Reasons[3].Text)
	}
	x.nodes[0].Health = scheduler.Lost
	if plan := x.place(); len(plan.Decisions) != 5 {
		t.Errorf("a zone that is out of reach keeps pods out of the other: %s", plan.Reasons[4].Text)
	}
	x.w.Template.Spec.TopologySpreadConstraints[0].MinDomains = ptr[int32](2)
	if plan := x.place(); len(plan.Decisions) != 1 {
		t.Errorf("two domains are asked for, one is there, and %d are placed", len(plan.Decisions))
	}
}

func TestLogIsThatOfTheBooks(t *testing.T) {
	for _, n := range []uint64{1, 2, 3, 4, 5, 7, 10, 100, 1002, 5002, 1 << 20, 1<<33 + 12345} {
		if have, want := float64(scheduler.LogMilli(n)), 1000*math.Log(float64(n)); want-have < 0 || want-have > 2 {
			t.Errorf("1000 ln(%d) is %v, want %v", n, have, want)
		}
	}
}
