package scheduler_test

import (
	"math"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"holon/crdt/state"
	"holon/scheduler"
)

func drawPodTerm(t *rapid.T) corev1.PodAffinityTerm {
	return corev1.PodAffinityTerm{LabelSelector: drawSelector(t), TopologyKey: oneOf(t, "topology", "zone", "zone", "gen"),
		Namespaces: oneOf(t, "namespaces", nil, nil, []string{"other"}, []string{"default", "other"})}
}

func drawPodAffinity(t *rapid.T, a *corev1.Affinity) {
	required := func() []corev1.PodAffinityTerm {
		return []corev1.PodAffinityTerm{drawPodTerm(t), drawPodTerm(t)}[:oneOf(t, "terms", 0, 0, 1, 1, 2)]
	}
	preferred := func() (terms []corev1.WeightedPodAffinityTerm) {
		for range evenly(3).Draw(t, "preferred") {
			terms = append(terms, corev1.WeightedPodAffinityTerm{Weight: oneOf[int32](t, "weight", 1, 10, 100), PodAffinityTerm: drawPodTerm(t)})
		}
		return terms
	}
	a.PodAffinity = &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: required(), PreferredDuringSchedulingIgnoredDuringExecution: preferred()}
	a.PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: required(), PreferredDuringSchedulingIgnoredDuringExecution: preferred()}
}

func withAndWithout(template *corev1.PodTemplateSpec) (with corev1.PodAffinity, without corev1.PodAntiAffinity) {
	if a := template.Spec.Affinity; a != nil {
		if a.PodAffinity != nil {
			with = *a.PodAffinity
		}
		if a.PodAntiAffinity != nil {
			without = *a.PodAntiAffinity
		}
	}
	return with, without
}

// means reports whether a term of a pod in a namespace is about another pod.
func means(term *corev1.PodAffinityTerm, namespace, of string, template *corev1.PodTemplateSpec) bool {
	return (len(term.Namespaces) == 0 && namespace == of || slices.Contains(term.Namespaces, of)) && selected(term.LabelSelector, template.Labels)
}

func together(a, b *scheduler.Node, key string) bool {
	left, ok := a.Labels[key]
	right, also := b.Labels[key]
	return ok && also && left == right
}

// suits says what of the pods that are there keeps one more slot from a node.
func suits(x *world, n *scheduler.Node) (wrong string) {
	with, without := withAndWithout(x.w.Template)
	terms := with.RequiredDuringSchedulingIgnoredDuringExecution
	all := func(namespace string, template *corev1.PodTemplateSpec) bool {
		return !slices.ContainsFunc(terms, func(t corev1.PodAffinityTerm) bool { return !means(&t, x.w.Namespace, namespace, template) })
	}
	somewhere, here := false, make([]bool, len(terms))
	x.pods(func(at *scheduler.Node, namespace string, template *corev1.PodTemplateSpec) {
		for i, t := range terms {
			if _, in := at.Labels[t.TopologyKey]; in && all(namespace, template) {
				somewhere, here[i] = true, here[i] || together(at, n, t.TopologyKey)
			}
		}
		for _, t := range without.RequiredDuringSchedulingIgnoredDuringExecution {
			if together(at, n, t.TopologyKey) && means(&t, x.w.Namespace, namespace, template) {
				wrong = n.Name + " has somebody to be apart from"
			}
		}
		_, theirs := withAndWithout(template)
		for _, t := range theirs.RequiredDuringSchedulingIgnoredDuringExecution {
			if together(at, n, t.TopologyKey) && means(&t, namespace, x.w.Namespace, x.w.Template) {
				wrong = n.Name + " has somebody who wants to be apart"
			}
		}
	})
	for i, t := range terms {
		if !together(n, n, t.TopologyKey) || !here[i] && (somewhere || !all(x.w.Namespace, x.w.Template)) {
			return n.Name + " has nobody to be with"
		}
	}
	return wrong
}

// welcome is the mark of each node for the pods that are there.
func welcome(x *world, fitting []string) map[string]int64 {
	raw, marks := map[string]int64{}, map[string]int64{}
	least, most := int64(math.MaxInt64), int64(math.MinInt64)
	for _, name := range fitting {
		n, sum := x.node(name), int64(0)
		x.pods(func(at *scheduler.Node, namespace string, template *corev1.PodTemplateSpec) {
			for _, side := range []struct {
				of, other string
				template  *corev1.PodTemplateSpec
				about     *corev1.PodTemplateSpec
				hard      int64
			}{{x.w.Namespace, namespace, x.w.Template, template, 0}, {namespace, x.w.Namespace, template, x.w.Template, 1}} {
				with, without := withAndWithout(side.template)
				add := func(t *corev1.PodAffinityTerm, weight int64) {
					if together(at, n, t.TopologyKey) && means(t, side.of, side.other, side.about) {
						sum += weight
					}
				}
				for _, t := range with.RequiredDuringSchedulingIgnoredDuringExecution {
					add(&t, side.hard)
				}
				for _, t := range with.PreferredDuringSchedulingIgnoredDuringExecution {
					add(&t.PodAffinityTerm, int64(t.Weight))
				}
				for _, t := range without.PreferredDuringSchedulingIgnoredDuringExecution {
					add(&t.PodAffinityTerm, -int64(t.Weight))
				}
			}
		})
		raw[name], least, most = sum, min(least, sum), max(most, sum)
	}
	for name, sum := range raw {
		if most > least {
			marks[name] = 100 * (sum - least) / (most - least)
		}
	}
	return marks
}

func podTermOn(key string, labels map[string]string) corev1.PodAffinityTerm {
	return corev1.PodAffinityTerm{TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: labels}}
}

var web = map[string]string{"app": "web"}

// apart is a case whose slots want no other of them in one domain.
func apart(x *world, key string) *world {
	x.w.Template.Labels = web
	x.w.Template.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{podTermOn(key, web)}}}
	return x
}

func TestSlotsThatWantToBeApart(t *testing.T) {
	plan := apart(zoned(4, 3, 2), "zone").place()
	want := "0/5 nodes are available: 5 node(s) didn't match pod anti-affinity rules."
	if len(plan.Decisions) != 2 || plan.Reasons[2].Text != want || plan.Heeds {
		t.Errorf("%d slots in two zones; the third: %s", len(plan.Decisions), plan.Reasons[2].Text)
	}
	if plan := apart(zoned(5, 3, 2), "host").place(); len(plan.Decisions) != 5 {
		t.Errorf("%d of 5 slots on 5 hosts: %s", len(plan.Decisions), plan.Reasons[4].Text)
	}
}

// Who is there and wants to be apart keeps out one who does not mind.
func TestAntiAffinityOfThosePlacedHoldsForOthers(t *testing.T) {
	x := zoned(1, 2, 1)
	shy := apart(zoned(0, 1), "zone").w
	shy.UID[1] = 9
	x.others = []other{{shy, x.nodes[0].Name}}
	x.w.Template.Labels = web
	x.nodes[2].Unschedulable = true
	want := "0/3 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules, 1 node(s) were unschedulable."
	if plan := x.place(); len(plan.Decisions) != 0 || plan.Reasons[0].Text != want {
		t.Errorf("%+v", plan.Reasons)
	}
	v := x.view(x.order())
	v.Release(shy, x.nodes[0].Name)
	if plan := scheduler.Place(v, x.w, x.slots); len(plan.Decisions) != 1 {
		t.Errorf("the shy one is gone: %s", plan.Reasons[0].Text)
	}
}

// The first of a group may go anywhere, the others go to it; whom nobody of another
// group awaits waits.
func TestSlotsThatWantToBeTogether(t *testing.T) {
	x := zoned(6, 3, 3)
	x.w.Template.Labels = web
	x.w.Template.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{podTermOn("zone", web)}}}
	if zones := perZone(t, x); zones["a"] != 0 && zones["b"] != 0 {
		t.Errorf("%v", zones)
	}
	x.w.Template.Labels = nil
	want := "0/6 nodes are available: 6 node(s) didn't match pod affinity rules."
	if plan := x.place(); len(plan.Decisions) != 0 || plan.Reasons[0].Text != want || !plan.Heeds {
		t.Errorf("%+v", plan.Reasons)
	}
	friend := &state.Workload{Template: &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: web}}}
	x.others = []other{{friend, x.nodes[4].Name}}
	if zones := perZone(t, x); zones["b"] != 6 {
		t.Errorf("a friend is in zone b: %v", zones)
	}
}

// drawSocialWorld is a case in which only the other pods matter.
func drawSocialWorld(t *rapid.T) *world {
	x := zoned(4, 2, 2)
	for i := range x.nodes {
		x.nodes[i].Labels["gen"] = oneOf(t, "generation", "9", "10")
	}
	social := func(name string) *state.Workload {
		w := drawWorkload(t, name)
		w.Template.Spec = corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}, Affinity: &corev1.Affinity{}}
		if !oneIn(t, 3, "indifferent") {
			drawPodAffinity(t, w.Template.Spec.Affinity)
		}
		return w
	}
	x.w = social("w")
	for i := range x.slots {
		x.slots[i].ID.Workload = x.w.UID
	}
	crowd := []*state.Workload{social("one"), social("two")}
	for range evenly(5).Draw(t, "others") {
		x.others = append(x.others, other{oneOf(t, "whose", crowd...), oneOf(t, "where", x.nodes...).Name})
	}
	return x
}

func TestPlaceIsTheReferenceAmongPods(t *testing.T) {
	manyTimes(t, func(t *rapid.T) {
		x := drawSocialWorld(t)
		if have, want := x.place(), reference(x); !slices.Equal(flat(have.Decisions), flat(want)) {
			t.Fatalf("decided %+v\nwant    %+v\n%+v", flat(have.Decisions), flat(want), have.Reasons)
		}
	})
}

// A pod that wishes one thing twice counts twice for those of its own that come after.
func TestAWishSaidTwiceCountsTwice(t *testing.T) {
	apart := corev1.WeightedPodAffinityTerm{Weight: 1, PodAffinityTerm: podTermOn("zone", nil)}
	for others := range 8 {
		x := zoned(8, 2, 2)
		x.w.Template.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{apart, apart}}}
		indifferent := &state.Workload{Namespace: x.w.Namespace, Template: &corev1.PodTemplateSpec{}}
		for range others {
			x.others = append(x.others, other{indifferent, x.nodes[0].Name})
		}
		if have, want := x.place(), reference(x); !slices.Equal(flat(have.Decisions), flat(want)) {
			t.Errorf("beside %d others: decided %+v, want %+v", others, flat(have.Decisions), flat(want))
		}
	}
}

// A term that two workloads carry stays while one of them is there.
func TestATermStaysWhileSomebodyCarriesIt(t *testing.T) {
	x := apart(zoned(1, 1), "zone")
	one, two, v := *x.w, *x.w, x.view(x.order())
	one.UID[1], two.UID[1] = 1, 2
	v.Occupy(&one, x.nodes[0].Name)
	v.Occupy(&two, x.nodes[0].Name)
	v.Release(&two, x.nodes[0].Name)
	indifferent := *x.w
	indifferent.Template = &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: web}}
	if plan := scheduler.Place(v, &indifferent, x.slots); len(plan.Decisions) != 0 {
		t.Error("one of two who want to be apart is still there")
	}
	if v.Release(&one, x.nodes[0].Name); v.Kept() != 0 {
		t.Errorf("nobody is there, and %d things are kept", v.Kept())
	}
}
