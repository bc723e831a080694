package scheduler

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
)

// Unfitness says why a node cannot take a pod, as a short phrase with
// Kubernetes' wording; empty: it can.
func (n *Node) Unfitness(w *state.Workload) string {
	spec := &w.Template.Spec
	switch {
	case n.Health != Serving:
		return n.Health.String()
	case spec.NodeName != "" && spec.NodeName != n.Name:
		return "pod asks for another node"
	case n.Unschedulable && !tolerates(spec, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}):
		return "node is cordoned"
	}
	for key, want := range spec.NodeSelector {
		if n.Labels[key] != want {
			return "node does not match nodeSelector"
		}
	}
	for _, taint := range n.Taints {
		if taint.Effect != corev1.TaintEffectPreferNoSchedule && !tolerates(spec, taint) {
			return "untolerated taint " + taint.Key
		}
	}
	if short := shortage(state.Requests(spec), n.Allocatable.Sub(n.Used)); short != "" {
		return short
	}
	for _, p := range state.HostPorts(spec, n.HostPortsOnly) {
		if slices.ContainsFunc(n.Ports, p.Collides) {
			return fmt.Sprintf("host port %d is taken", p.Port)
		}
	}
	return ""
}

func shortage(want, free state.Resources) string {
	switch {
	case want.CPU > 0 && want.CPU > free.CPU:
		return "insufficient cpu"
	case want.Memory > 0 && want.Memory > free.Memory:
		return "insufficient memory"
	case want.Pods > free.Pods:
		return "too many pods"
	}
	return ""
}

func tolerates(spec *corev1.PodSpec, taint corev1.Taint) bool {
	return slices.ContainsFunc(spec.Tolerations, func(t corev1.Toleration) bool {
		if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
			return false
		}
		switch t.Operator {
		case corev1.TolerationOpExists:
			return true
		case "", corev1.TolerationOpEqual:
			return t.Key != "" && t.Value == taint.Value
		}
		return false
	})
}
