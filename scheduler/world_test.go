package scheduler_test

import (
	"fmt"
	"math/bits"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/state"
	"holon/scheduler"
)

// world is a small case for Place as plain data, to build any number of equal
// views from.
type world struct {
	nodes     []scheduler.Node // nothing booked
	majority  bool
	now       time.Duration
	alone     time.Duration // since when there is no majority
	lostAfter time.Duration
	refusals  map[refusal]string
	w         *state.Workload
	slots     []state.Slot
	others    []other // what other workloads run
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
	v := &scheduler.View{Majority: x.majority, Now: x.now, AloneSince: x.alone, LostAfter: x.lostAfter, Refused: func(slot state.SlotID, node string) (string, bool) {
		reason, ok := x.refusals[refusal{slot, node}]
		return reason, ok
	}}
	for _, i := range order {
		n := x.nodes[i]
		n.Expels = expulsions(&n)
		v.Nodes = append(v.Nodes, &n)
	}
	for i := range x.slots {
		v.Occupy(x.w, v.Assigned(x.w, &x.slots[i]))
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
	return n != nil && x.health(node) == scheduler.Serving && !refused
}

func (x *world) runner(s *state.Slot) string {
	switch {
	case s.Home.Node == "", x.halted(), x.awaited(s):
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
	scheduler.Drained, scheduler.Unfit, scheduler.Lost, scheduler.LostLong, scheduler.Gone,
}

// evenly draws 0..n-1, all about as likely; rapid's own integers lean to the
// small ones, and a cluster of one idle node shows little.
func evenly(n int) *rapid.Generator[int] {
	return rapid.Custom(func(t *rapid.T) int {
		i := 0
		for range bits.Len(uint(n-1)) + 2 {
			i <<= 1
			if rapid.Bool().Draw(t, "bit") {
				i++
			}
		}
		return i % n
	})
}

func oneIn(t *rapid.T, n int, label string) bool { return evenly(n).Draw(t, label) == n-1 }

func oneOf[T any](t *rapid.T, label string, values ...T) T {
	return values[evenly(len(values)).Draw(t, label)]
}

func drawWorld(t *rapid.T) *world {
	x := &world{
		majority: oneIn(t, 2, "majority"), refusals: map[refusal]string{}, now: noon, alone: drawSince(t),
		lostAfter: oneOf(t, "lost after", 0, 20*time.Second, 60*time.Second),
	}
	for i := range oneOf(t, "nodes", 0, 1, 2, 3, 4, 5, 5, 5) {
		x.nodes = append(x.nodes, drawNode(t, fmt.Sprintf("n%d", i+1)))
	}
	x.w = drawWorkload(t, "w")
	neighbour := drawWorkload(t, "neighbour")
	for i := range x.nodes {
		for range evenly(2).Draw(t, "neighbours") {
			x.others = append(x.others, other{neighbour, x.nodes[i].Name})
		}
	}
	for i := range oneOf(t, "slots", 1, 2, 4, 6) {
		x.slots = append(x.slots, drawSlot(t, x, i))
	}
	return x
}

func drawNode(t *rapid.T, name string) scheduler.Node {
	n := scheduler.Node{
		Name: name, Health: oneOf(t, "health", healths...), Since: drawSince(t),
		Labels:        map[string]string{"zone": oneOf(t, "zone", "a", "b")},
		Unschedulable: oneIn(t, 6, "cordon"),
		Unsteady:      oneIn(t, 4, "unsteady"),
		HostPortsOnly: oneIn(t, 4, "host ports only"),
		Allocatable: state.Resources{
			CPU:    oneOf[int64](t, "cpu", 500, 1000, 2000, 4000),
			Memory: oneOf[int64](t, "memory", 0, 1024, 4096, 8192) << 20,
			Pods:   oneOf[int64](t, "pods", 0, 2, 5, 110, 110, 110),
		},
	}
	if oneIn(t, 2, "has a generation") {
		n.Labels["gen"] = oneOf(t, "generation", "9", "10", "x")
	}
	if oneIn(t, 5, "tainted") {
		effect := oneOf(t, "effect", corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute, corev1.TaintEffectPreferNoSchedule)
		n.Taints = []corev1.Taint{{Key: "gpu", Value: "yes", Effect: effect}}
	}
	return n
}

func drawWorkload(t *rapid.T, name string) *state.Workload {
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}
	requests := corev1.ResourceList{}
	if cpu := oneOf[int64](t, "cpu request", 0, 0, 250, 900, 2000); cpu > 0 {
		requests[corev1.ResourceCPU] = *resource.NewMilliQuantity(cpu, resource.DecimalSI)
	}
	if memory := oneOf[int64](t, "memory request", 0, 0, 100, 1000); memory > 0 {
		requests[corev1.ResourceMemory] = *resource.NewQuantity(memory<<20, resource.BinarySI)
	}
	spec.Containers[0].Resources.Requests = requests
	switch evenly(6).Draw(t, "port") {
	case 0:
		spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 8080}}
	case 1:
		spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 8080}}
	}
	if oneIn(t, 5, "selects") {
		spec.NodeSelector = map[string]string{"zone": "a"}
	}
	if oneIn(t, 3, "has node affinity") {
		spec.Affinity = &corev1.Affinity{NodeAffinity: drawNodeAffinity(t)}
	}
	if oneIn(t, 2, "spreads") {
		spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{drawSpread(t), drawSpread(t)}[:1+evenly(2).Draw(t, "constraints")]
	}
	if oneIn(t, 3, "has pod affinity") {
		if spec.Affinity == nil {
			spec.Affinity = &corev1.Affinity{}
		}
		drawPodAffinity(t, spec.Affinity)
	}
	if oneIn(t, 10, "names its node") {
		spec.NodeName = "n1"
	}
	if oneIn(t, 3, "tolerates") {
		spec.Tolerations = []corev1.Toleration{oneOf(t, "toleration",
			corev1.Toleration{Operator: corev1.TolerationOpExists},
			corev1.Toleration{Key: "gpu", Value: "yes"},
			corev1.Toleration{Key: "gpu", Value: "no"},
			corev1.Toleration{Key: "gpu", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
			corev1.Toleration{Key: "gpu", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(20))},
		)}
	}
	namespace := oneOf(t, "namespace", "default", "default", "other")
	labels := oneOf(t, "labels", nil, map[string]string{"app": "a"}, map[string]string{"app": "b"}, map[string]string{"app": "a", "tier": "db"})
	return &state.Workload{
		UID: state.DerivedUID(name), Key: state.MakeKey(state.Deployments, "default", name), Name: name, Namespace: namespace,
		Template: &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}, Policy: drawPolicy(t),
	}
}

func drawSlot(t *rapid.T, x *world, index int) state.Slot {
	s := state.Slot{ID: state.SlotID{Workload: x.w.UID, Index: index}, Namespace: "default", Owner: x.w.Key}
	somewhere := func(what string) string { return oneOf(t, what, "n1", "n2", "n3", "n4", "n5", "stranger") }
	if !oneIn(t, 3, "unplaced") {
		s.Home = state.Home{Node: somewhere("home"), Term: oneOf[uint64](t, "term", 1, 2, 3)}
		if !oneIn(t, 3, "stood in") {
			s.StandIn = state.StandIn{Node: somewhere("stand-in"), Basis: s.Home.Term - oneOf[uint64](t, "basis", 0, 0, 1)}
		}
	}
	for range evenly(2).Draw(t, "refusals") {
		x.refusals[refusal{s.ID, somewhere("refuser")}] = "OutOfcpu"
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
