// Package schedulertest has what the scheduler's speed is measured with, here and
// beside others: empty clusters, and workloads with one kind of constraint.
package schedulertest

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holon/crdt"
	"holon/crdt/state"
	"holon/scheduler"
)

// Constraint is a kind of template, by the name under which it is reported.
type Constraint string

// The constraints.
const (
	Plain        Constraint = "plain"
	Spread       Constraint = "spread"        // evenly over zones; over hosts as a wish
	AntiAffinity Constraint = "anti-affinity" // no two on one host
	Affinity     Constraint = "affinity"      // in the zone of the first, by the labels of nodes as a wish
)

// Constraints are all of them.
var Constraints = []Constraint{Plain, Spread, AntiAffinity, Affinity}

var labels = map[string]string{"app": "a"}

func (c Constraint) template() *corev1.PodTemplateSpec {
	t := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
	t.Labels = labels
	t.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	term := func(key string) []corev1.PodAffinityTerm {
		return []corev1.PodAffinityTerm{{TopologyKey: key, LabelSelector: selector}}
	}
	switch c {
	case Spread:
		t.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{
			{MaxSkew: 1, TopologyKey: "zone", WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: selector},
			{MaxSkew: 1, TopologyKey: "host", WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: selector},
		}
	case AntiAffinity:
		t.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: term("host")}}
	case Affinity:
		t.Spec.Affinity = &corev1.Affinity{
			NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
				{Weight: 1, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{
					{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"a", "b"}}}}}}},
			PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: term("zone")}}
	}
	return t
}

// Load is equal workloads that are to be placed on equal, empty nodes in three zones.
type Load struct {
	nodes     []scheduler.Node
	workloads []state.Workload
	slots     [][]state.Slot // by workload
}

// NewLoad has workloads of one constraint, each with so many slots and a namespace
// of its own.
func NewLoad(c Constraint, nodes, workloads, replicas int) *Load {
	l, template := &Load{}, c.template()
	for i := range nodes {
		zone := string(rune('a' + i*3/nodes))
		name := fmt.Sprintf("%s%05d", zone, i)
		l.nodes = append(l.nodes, scheduler.Node{
			Name: name, Labels: map[string]string{"zone": zone, "host": name}, Allocatable: state.Resources{CPU: 4000, Memory: 8 << 30, Pods: 110},
		})
	}
	for i := range workloads {
		w := state.Workload{UID: crdt.UID{1, byte(i >> 8), byte(i)}, Name: "w", Namespace: fmt.Sprint(i), Template: template}
		slots := make([]state.Slot, replicas)
		for j := range slots {
			slots[j].ID = state.SlotID{Workload: w.UID, Index: j}
		}
		l.workloads, l.slots = append(l.workloads, w), append(l.slots, slots)
	}
	return l
}

// Place makes a view and plans all workloads in it, one after the other. It returns
// how many slots got a home: Pods, or something does not fit.
func (l *Load) Place() (placed int) {
	v := &scheduler.View{Majority: true}
	for _, n := range l.nodes {
		v.Nodes = append(v.Nodes, &n)
	}
	for i := range l.workloads {
		placed += len(scheduler.Place(v, &l.workloads[i], l.slots[i]).Decisions)
	}
	return placed
}

// Pods is how many slots there are.
func (l *Load) Pods() int { return len(l.workloads) * len(l.slots[0]) }
