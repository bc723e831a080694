package scheduler

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/crdt/state/valid"
)

// Why a node cannot take a pod, in the words of Kubernetes' scheduler.
const (
	otherNode   = "node(s) didn't match the requested node name"
	cordoned    = "node(s) were unschedulable"
	mismatch    = "node(s) didn't match Pod's node affinity/selector"
	portsTaken  = "node(s) didn't have free ports for the requested pod ports"
	shortCPU    = "Insufficient cpu"
	shortMemory = "Insufficient memory"
	tooManyPods = "Too many pods"
)

// demand is what every slot of a workload asks of a node.
type demand struct {
	workload *state.Workload
	requests state.Resources
	ports    []state.HostPort
	allPorts []state.HostPort // where pods share their node's address
	affinity nodeAffinity
	pods     podAffinity
}

func demandOf(w *state.Workload) demand {
	spec := &w.Template.Spec
	return demand{
		workload: w, requests: state.Requests(spec), affinity: affinityOf(spec), pods: podAffinityOf(w.Namespace, spec),
		ports: state.HostPorts(spec, false), allPorts: state.HostPorts(spec, true),
	}
}

func (d *demand) portsOn(n *Node) []state.HostPort {
	if n.HostPortsOnly {
		return d.allPorts
	}
	return d.ports
}

// unsuitable says why a node takes no slot of the workload however empty it is;
// "": it may.
func (d *demand) unsuitable(n *Node) string {
	spec := &d.workload.Template.Spec
	switch {
	case n.Health != Serving:
		return "node(s) were " + n.Health.String()
	case spec.NodeName != "" && spec.NodeName != n.Name:
		return otherNode
	case d.cordoned(n):
		return cordoned
	case !d.selects(n):
		return mismatch
	}
	return d.untolerated(n)
}

func (d *demand) cordoned(n *Node) bool {
	return n.Unschedulable && !tolerates(&d.workload.Template.Spec, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
}

// selects reports whether the labels of a node are those that are asked for.
func (d *demand) selects(n *Node) bool {
	for key, want := range d.workload.Template.Spec.NodeSelector {
		if have, ok := n.Labels[key]; !ok || have != want {
			return false
		}
	}
	return d.affinity.allows(n)
}

// untolerated says which taint of a node keeps the workload away; "": none.
func (d *demand) untolerated(n *Node) string {
	for _, taint := range n.Taints {
		if taint.Effect != corev1.TaintEffectPreferNoSchedule && !d.abides(taint) {
			return "node(s) had untolerated taint {" + taint.Key + ": " + taint.Value + "}"
		}
	}
	return ""
}

// abides reports whether the workload puts up with a taint for good: what would be
// evicted after a while is not placed there first.
func (d *demand) abides(taint corev1.Taint) bool {
	spec := &d.workload.Template.Spec
	if taint.Effect != corev1.TaintEffectNoExecute {
		return tolerates(spec, taint)
	}
	wait, tolerated := valid.Patience(spec.Tolerations, taint)
	return tolerated && wait == valid.Never
}

// shortage says what a node lacks for one more slot; "": nothing.
func (d *demand) shortage(n *Node) string {
	want, free := d.requests, n.Allocatable.Sub(n.Used)
	switch {
	case want.CPU > 0 && want.CPU > free.CPU:
		return shortCPU
	case want.Memory > 0 && want.Memory > free.Memory:
		return shortMemory
	case want.Pods > free.Pods:
		return tooManyPods
	}
	for _, p := range d.portsOn(n) {
		if slices.ContainsFunc(n.Ports, p.Collides) {
			return portsTaken
		}
	}
	return ""
}

func tolerates(spec *corev1.PodSpec, taint corev1.Taint) bool {
	return slices.ContainsFunc(spec.Tolerations, func(t corev1.Toleration) bool { return valid.Tolerates(&t, taint) })
}
