package scheduler_test

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/state"
	"holon/scheduler"
)

// world is a small case for Place as plain data, to build any number of equal
// views from.
type world struct {
	nodes    []scheduler.Node // nothing booked
	majority bool
	refusals map[refusal]string
	w        *state.Workload
	slots    []state.Slot
	others   []other // what other workloads run
}

type refusal struct {
	slot state.SlotID
	node string
}

type other struct {
	w    *state.Workload
	node string
}

// view builds a view with its nodes in the given order.
func (x *world) view(order []int) *scheduler.View {
	v := &scheduler.View{Majority: x.majority, Refused: func(slot state.SlotID, node string) (string, bool) {
		reason, ok := x.refusals[refusal{slot, node}]
		return reason, ok
	}}
	for _, i := range order {
		n := x.nodes[i]
		v.Nodes = append(v.Nodes, &n)
	}
	for i := range x.slots {
		v.Occupy(x.w, v.Assigned(&x.slots[i]))
	}
	for _, o := range x.others {
		v.Occupy(o.w, o.node)
	}
	return v
}

func (x *world) place() scheduler.Plan { return scheduler.Place(x.view(x.order()), x.w, x.slots) }

func (x *world) order() []int {
	order := make([]int, len(x.nodes))
	for i := range order {
		order[i] = i
	}
	return order
}

func (x *world) node(name string) *scheduler.Node {
	i := slices.IndexFunc(x.nodes, func(n scheduler.Node) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return &x.nodes[i]
}

// serves says again, in other words than the scheduler's, who may run a slot.
func (x *world) serves(slot state.SlotID, node string) bool {
	n := x.node(node)
	_, refused := x.refusals[refusal{slot, node}]
	return n != nil && n.Health == scheduler.Serving && !refused
}

func (x *world) runner(s *state.Slot) string {
	switch {
	case s.Home.Node == "":
		return ""
	case x.serves(s.ID, s.Home.Node):
		return s.Home.Node
	case s.StandIn.Node != "" && s.StandIn.Basis == s.Home.Term && x.serves(s.ID, s.StandIn.Node):
		return s.StandIn.Node
	}
	return ""
}

var healths = []scheduler.Health{
	scheduler.Serving, scheduler.Serving, scheduler.Serving, scheduler.Draining,
	scheduler.Unfit, scheduler.Lost, scheduler.LostLong, scheduler.Gone,
}

func drawWorld(t *rapid.T) *world {
	x := &world{majority: rapid.Bool().Draw(t, "majority"), refusals: map[refusal]string{}}
	for i := range rapid.IntRange(0, 5).Draw(t, "nodes") {
		x.nodes = append(x.nodes, drawNode(t, fmt.Sprintf("n%d", i+1)))
	}
	x.w = drawWorkload(t, "w")
	neighbour := drawWorkload(t, "neighbour")
	for i := range x.nodes {
		for range rapid.IntRange(0, 2).Draw(t, "neighbours") {
			x.others = append(x.others, other{neighbour, x.nodes[i].Name})
		}
	}
	for i := range rapid.IntRange(0, 6).Draw(t, "slots") {
		x.slots = append(x.slots, drawSlot(t, x, i))
	}
	return x
}

func drawNode(t *rapid.T, name string) scheduler.Node {
	n := scheduler.Node{
		Name: name, Health: rapid.SampledFrom(healths).Draw(t, "health"),
		Labels:        map[string]string{"zone": rapid.SampledFrom([]string{"a", "b"}).Draw(t, "zone")},
		Unschedulable: rapid.IntRange(0, 5).Draw(t, "cordon") == 0,
		HostPortsOnly: rapid.IntRange(0, 3).Draw(t, "host ports only") == 0,
		Allocatable: state.Resources{
			CPU:    rapid.SampledFrom([]int64{0, 500, 1000, 2000, 4000}).Draw(t, "cpu"),
			Memory: rapid.SampledFrom([]int64{0, 256, 1024, 4096}).Draw(t, "memory") << 20,
			Pods:   rapid.SampledFrom([]int64{0, 1, 2, 5, 110}).Draw(t, "pods"),
		},
	}
	if rapid.IntRange(0, 4).Draw(t, "tainted") == 0 {
		effect := rapid.SampledFrom([]corev1.TaintEffect{
			corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute, corev1.TaintEffectPreferNoSchedule,
		}).Draw(t, "effect")
		n.Taints = []corev1.Taint{{Key: "gpu", Value: "yes", Effect: effect}}
	}
	return n
}

func drawWorkload(t *rapid.T, name string) *state.Workload {
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}
	requests := corev1.ResourceList{}
	if cpu := rapid.SampledFrom([]int64{0, 0, 250, 900, 2000}).Draw(t, "cpu request"); cpu > 0 {
		requests[corev1.ResourceCPU] = *resource.NewMilliQuantity(cpu, resource.DecimalSI)
	}
	if memory := rapid.SampledFrom([]int64{0, 0, 100, 1000}).Draw(t, "memory request"); memory > 0 {
		requests[corev1.ResourceMemory] = *resource.NewQuantity(memory<<20, resource.BinarySI)
	}
	spec.Containers[0].Resources.Requests = requests
	switch rapid.IntRange(0, 5).Draw(t, "port") {
	case 0:
		spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 8080}}
	case 1:
		spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 8080}}
	}
	if rapid.IntRange(0, 4).Draw(t, "selects") == 0 {
		spec.NodeSelector = map[string]string{"zone": "a"}
	}
	if rapid.IntRange(0, 9).Draw(t, "names its node") == 0 {
		spec.NodeName = "n1"
	}
	if rapid.IntRange(0, 2).Draw(t, "tolerates") == 0 {
		spec.Tolerations = []corev1.Toleration{rapid.SampledFrom([]corev1.Toleration{
			{Operator: corev1.TolerationOpExists},
			{Key: "gpu", Value: "yes"},
			{Key: "gpu", Value: "no"},
			{Key: "gpu", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
		}).Draw(t, "toleration")}
	}
	return &state.Workload{
		UID: state.DerivedUID(name), Key: state.MakeKey(state.Deployments, "default", name), Name: name, Namespace: "default",
		Template: &corev1.PodTemplateSpec{Spec: spec}, StandIn: rapid.Bool().Draw(t, "stand-in"),
	}
}

func drawSlot(t *rapid.T, x *world, index int) state.Slot {
	s := state.Slot{ID: state.SlotID{Workload: x.w.UID, Index: index}, Namespace: "default", Owner: x.w.Key}
	somewhere := rapid.SampledFrom([]string{"n1", "n2", "n3", "n4", "n5", "stranger"})
	if rapid.IntRange(0, 3).Draw(t, "placed") > 0 {
		s.Home = state.Home{Node: somewhere.Draw(t, "home"), Term: rapid.Uint64Range(1, 3).Draw(t, "term")}
		if rapid.Bool().Draw(t, "stood in") {
			s.StandIn = state.StandIn{Node: somewhere.Draw(t, "stand-in"), Basis: rapid.Uint64Range(0, s.Home.Term).Draw(t, "basis")}
		}
	}
	for range rapid.IntRange(0, 1).Draw(t, "refusals") {
		x.refusals[refusal{s.ID, somewhere.Draw(t, "refuser")}] = "OutOfcpu"
	}
	return s
}

// apply carries a plan out, as the store would.
func (x *world) apply(plan scheduler.Plan) {
	for _, d := range plan.Decisions {
		s := &x.slots[d.Slot.Index]
		if d.Home != nil {
			s.Home = *d.Home
		} else {
			s.StandIn = *d.StandIn
		}
	}
}

// uniform is a case with equal, empty, serving nodes.
func uniform(nodes, slots int) *world {
	w := &state.Workload{UID: crdt.UID{1}, Name: "w", Template: &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}}
	w.Template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")}
	x := &world{majority: true, w: w}
	for i := range nodes {
		x.nodes = append(x.nodes, scheduler.Node{
			Name: fmt.Sprintf("n%03d", i), Allocatable: state.Resources{CPU: 4000, Memory: 8 << 30, Pods: 110},
		})
	}
	for i := range slots {
		x.slots = append(x.slots, state.Slot{ID: state.SlotID{Workload: w.UID, Index: i}})
	}
	return x
}

// Ports and Slots of two views must not be shared, or one view's bookings leak.
func TestViewsOfOneWorldAreApart(t *testing.T) {
	x := uniform(3, 9)
	first, second := x.place(), x.place()
	if fmt.Sprint(first.Reasons) != fmt.Sprint(second.Reasons) {
		t.Errorf("second view saw the first one's bookings:\n%v\n%v", first.Reasons, second.Reasons)
	}
}
