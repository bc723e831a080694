package scheduler_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"holon/crdt/state"
	"holon/crdt/state/valid"
	"holon/scheduler"
)

// rules are what a plan must fulfil in every case. Each judges a plan by itself,
// so that planting a bug in one rule's place is caught by that rule.
var rules = map[string]func(*world, scheduler.Plan) string{
	"one reason per slot, in order":            reasonPerSlot,
	"pending is who nobody runs afterwards":    pendingMeansNobody,
	"a pending slot says why, as Kubernetes":   pendingSaysWhy,
	"a slot whose home serves is not decided":  sticky,
	"a decision is one home or one stand-in":   oneOfTwo,
	"a new runner serves and fits":             fits,
	"a term rises by one":                      termByOne,
	"a minority raises no term":                minorityMovesNothing,
	"a silence that may end soon moves nobody": silenceMovesNobody,
	"a stand-in only where the kind has one":   standInByKind,
	"a stand-in is based on the home's term":   basisIsTerm,
	"promotion keeps the node":                 promotionKeeps,
}

func TestPlaceKeepsItsRules(t *testing.T) {
	decided := map[string]int{}
	manyTimes(t, func(t *rapid.T) {
		x := drawWorld(t)
		plan := x.place()
		for name, rule := range rules {
			if wrong := rule(x, plan); wrong != "" {
				t.Fatalf("%s: %s\nplan: %+v", name, wrong, plan.Reasons)
			}
		}
		for _, d := range plan.Decisions {
			decided[kindOf(x, d)]++
		}
	})
	for _, kind := range []string{"first home", "moved home", "promotion", "stand-in"} {
		if decided[kind] == 0 {
			t.Errorf("no case had a %s: the cases prove nothing about it (%v)", kind, decided)
		}
	}
	t.Log(decided)
}

// manyTimes is rapid.Check with as many cases as it takes to see the rare ones.
func manyTimes(t *testing.T, check func(*rapid.T)) {
	for range 8 {
		rapid.Check(t, check)
	}
}

func kindOf(x *world, d scheduler.Decision) string {
	s := &x.slots[d.Slot.Index]
	switch {
	case d.StandIn != nil:
		return "stand-in"
	case s.Home.Node == "":
		return "first home"
	case x.runner(s) != "":
		return "promotion"
	}
	return "moved home"
}

func TestSameViewSamePlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := drawWorld(t)
		plan := x.place()
		shuffled := scheduler.Place(x.view(rapid.Permutation(x.order()).Draw(t, "order")), x.w, x.slots)
		if !reflect.DeepEqual(plan, shuffled) {
			t.Fatalf("two plans of one view:\n%+v\n%+v", plan, shuffled)
		}
	})
}

// A plan that was carried out leaves nothing to do: nothing is decided twice.
func TestACarriedOutPlanIsFinal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := drawWorld(t)
		before := slices.Clone(x.slots)
		plan := x.place()
		if !reflect.DeepEqual(before, x.slots) {
			t.Fatal("Place changed its slots")
		}
		x.apply(plan)
		if again := x.place(); len(again.Decisions) > 0 {
			t.Fatalf("decided again: %+v", again)
		}
	})
}

func TestSpreadIsEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := uniform(rapid.IntRange(1, 20).Draw(t, "nodes"), rapid.IntRange(0, 100).Draw(t, "slots"))
		count := map[string]int{}
		for _, d := range x.place().Decisions {
			count[d.Home.Node]++
		}
		least := len(x.slots)
		for _, n := range x.nodes {
			least = min(least, count[n.Name])
		}
		if most := slices.Max(append(slices.Collect(maps.Values(count)), 0)); most-least > 1 {
			t.Fatalf("between %d and %d slots per node", least, most)
		}
	})
}

// One pass over many workloads fills no node twice.
func TestPassOverManyWorkloadsFillsNoNodeTwice(t *testing.T) {
	x := uniform(3, 0)
	v := x.view(x.order())
	placed := 0
	for i := range 500 {
		w := *x.w
		w.UID[1], w.UID[2] = byte(i>>8), byte(i)
		placed += len(scheduler.Place(v, &w, []state.Slot{{ID: state.SlotID{Workload: w.UID}}}).Decisions)
	}
	for _, n := range v.Nodes {
		if n.Used.Pods != 110 {
			t.Errorf("%s has %d pods, want 110", n.Name, n.Used.Pods)
		}
	}
	if placed != 330 {
		t.Errorf("%d slots placed, want 330", placed)
	}
}

func reasonPerSlot(x *world, plan scheduler.Plan) string {
	if len(plan.Reasons) != len(x.slots) {
		return "not one each"
	}
	for i, r := range plan.Reasons {
		if r.Slot != x.slots[i].ID || r.Text == "" {
			return "reason of " + r.Slot.String() + ": " + r.Text
		}
	}
	return ""
}

func pendingMeansNobody(x *world, plan scheduler.Plan) string {
	decided := map[state.SlotID]bool{}
	for _, d := range plan.Decisions {
		decided[d.Slot] = true
	}
	for i, r := range plan.Reasons {
		nobody := x.runner(&x.slots[i]) == "" && !decided[r.Slot]
		if r.Pending != nobody {
			return r.Text
		}
	}
	return ""
}

func pendingSaysWhy(_ *world, plan scheduler.Plan) string {
	for _, r := range plan.Reasons {
		if r.Pending && !strings.Contains(r.Text, "nodes are available: ") && !strings.Contains(r.Text, "no nodes available to schedule pods") &&
			!strings.Contains(r.Text, "gets no stand-in") && !strings.Contains(r.Text, "nobody stands in before") &&
			!strings.Contains(r.Text, "for ever") && !strings.Contains(r.Text, "no majority has been seen") || strings.Contains(r.Text, "()") {
			return r.Text
		}
	}
	return ""
}

func sticky(x *world, plan scheduler.Plan) string {
	for _, d := range plan.Decisions {
		if s := &x.slots[d.Slot.Index]; s.Home.Node != "" && x.runner(s) == s.Home.Node {
			return d.Slot.String()
		}
	}
	return ""
}

func oneOfTwo(_ *world, plan scheduler.Plan) string {
	seen := map[state.SlotID]bool{}
	for _, d := range plan.Decisions {
		if (d.Home == nil) == (d.StandIn == nil) || seen[d.Slot] {
			return d.Slot.String()
		}
		seen[d.Slot] = true
	}
	return ""
}

func target(d scheduler.Decision) string {
	if d.Home != nil {
		return d.Home.Node
	}
	return d.StandIn.Node
}

// fits adds up from nothing what every node runs before and after the plan.
func fits(x *world, plan scheduler.Plan) string {
	spec := &x.w.Template.Spec
	chosen := map[string]int{}
	then := *x
	then.slots = slices.Clone(x.slots)
	for _, d := range plan.Decisions {
		if x.runner(&x.slots[d.Slot.Index]) != "" {
			continue // promoted: it runs there already
		}
		n := x.node(target(d))
		if n == nil || !x.serves(d.Slot, n.Name) || n.Unschedulable && !tolerated(spec, corev1.TaintNodeUnschedulable, "", corev1.TaintEffectNoSchedule) {
			return d.Slot.String() + " on a node that serves nobody new"
		}
		if spec.NodeName != "" && spec.NodeName != n.Name || spec.NodeSelector["zone"] != "" && spec.NodeSelector["zone"] != n.Labels["zone"] {
			return d.Slot.String() + " on a node that does not match"
		}
		if !affinityHolds(spec, n) {
			return d.Slot.String() + " on a node that its affinity does not allow"
		}
		for _, taint := range n.Taints {
			if taint.Effect != corev1.TaintEffectPreferNoSchedule && !putUpWith(x.w, taint, valid.Never) {
				return d.Slot.String() + " on a tainted node"
			}
		}
		if wrong := spreads(&then, n); wrong != "" {
			return d.Slot.String() + ": " + wrong
		}
		if wrong := suits(&then, n); wrong != "" {
			return d.Slot.String() + ": " + wrong
		}
		then.apply(scheduler.Plan{Decisions: []scheduler.Decision{d}})
		chosen[n.Name]++
	}
	for name := range chosen {
		n := x.node(name)
		used, ports := usage(x, n)
		for range chosen[name] {
			used = used.Add(state.Requests(spec))
			ports = append(ports, state.HostPorts(spec, n.HostPortsOnly)...)
		}
		asks := state.Requests(spec)
		if asks.CPU > 0 && used.CPU > n.Allocatable.CPU || asks.Memory > 0 && used.Memory > n.Allocatable.Memory || used.Pods > n.Allocatable.Pods {
			return name + " is over its allocatable"
		}
		if len(state.HostPorts(spec, n.HostPortsOnly)) > 0 && len(ports) > 1 {
			return name + " has a port twice" // every port in these cases is 8080
		}
	}
	return ""
}

func usage(x *world, n *scheduler.Node) (used state.Resources, ports []state.HostPort) {
	book := func(w *state.Workload) {
		used = used.Add(state.Requests(&w.Template.Spec))
		ports = append(ports, state.HostPorts(&w.Template.Spec, n.HostPortsOnly)...)
	}
	for i := range x.slots {
		if x.runner(&x.slots[i]) == n.Name {
			book(x.w)
		}
	}
	for _, o := range x.others {
		if o.node == n.Name {
			book(o.w)
		}
	}
	return used, ports
}

func tolerated(spec *corev1.PodSpec, key, value string, effect corev1.TaintEffect) bool {
	for _, t := range spec.Tolerations {
		everything := t.Key == "" && t.Operator == corev1.TolerationOpExists
		sameKey := t.Key == key && (t.Operator == corev1.TolerationOpExists || t.Value == value)
		if (everything || sameKey) && (t.Effect == "" || t.Effect == effect) {
			return true
		}
	}
	return false
}

func termByOne(x *world, plan scheduler.Plan) string {
	for _, d := range plan.Decisions {
		if d.Home != nil && d.Home.Term != x.slots[d.Slot.Index].Home.Term+1 {
			return d.Slot.String()
		}
	}
	return ""
}

func minorityMovesNothing(x *world, plan scheduler.Plan) string {
	for _, d := range plan.Decisions {
		if d.Home != nil && x.slots[d.Slot.Index].Home.Node != "" && !x.majority {
			return d.Slot.String()
		}
	}
	return ""
}

func silenceMovesNobody(x *world, plan scheduler.Plan) string {
	for _, d := range plan.Decisions {
		n := x.node(x.slots[d.Slot.Index].Home.Node)
		if d.Home == nil || n == nil {
			continue
		}
		switch health := x.health(n.Name); health {
		case scheduler.Lost, scheduler.Unfit:
			return d.Slot.String()
		case scheduler.LostLong, scheduler.Drained, scheduler.Expelling:
			if !x.w.StandIn {
				return d.Slot.String()
			}
		}
	}
	return ""
}

func standInByKind(x *world, plan scheduler.Plan) string {
	for _, d := range plan.Decisions {
		if d.StandIn != nil && (!x.w.StandIn || x.slots[d.Slot.Index].Home.Node == "") {
			return d.Slot.String()
		}
	}
	return ""
}

func basisIsTerm(x *world, plan scheduler.Plan) string {
	for _, d := range plan.Decisions {
		if d.StandIn != nil && d.StandIn.Basis != x.slots[d.Slot.Index].Home.Term {
			return d.Slot.String()
		}
	}
	return ""
}

func promotionKeeps(x *world, plan scheduler.Plan) string {
	for _, d := range plan.Decisions {
		if runner := x.runner(&x.slots[d.Slot.Index]); runner != "" && target(d) != runner {
			return d.Slot.String() + " leaves " + runner
		}
	}
	return ""
}
