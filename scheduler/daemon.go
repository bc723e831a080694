package scheduler

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
)

// daemonTolerates are the taints that each DaemonSet puts up with, as in Kubernetes:
// what keeps others away from a node is no reason to look after it less.
var daemonTolerates = []string{
	corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeUnschedulable,
	corev1.TaintNodeDiskPressure, corev1.TaintNodeMemoryPressure, corev1.TaintNodePIDPressure,
}

// Hosts says why a node gets no slot of a DaemonSet; "": it gets one. placed says that
// it has one: that one goes on where a taint keeps out only what is new, and where
// nothing is known of the node yet.
func (v *View) Hosts(w *state.Workload, n *Node, placed bool) (why string) {
	d := v.demand(w)
	if n.Unknown && placed {
		return ""
	}
	if n.Unknown || !d.selects(n) {
		return mismatch
	}
	for _, t := range n.Taints {
		kept := t.Effect == corev1.TaintEffectPreferNoSchedule || t.Effect == corev1.TaintEffectNoSchedule && placed
		if !kept && !slices.Contains(daemonTolerates, t.Key) && !tolerates(&w.Template.Spec, t) {
			return d.untolerated(n)
		}
	}
	return ""
}

// DaemonSlots lists the slots of a DaemonSet, one per node that gets one, by the name of
// the node. have are those that were written.
func (v *View) DaemonSlots(w *state.Workload, have map[int]state.Slot) []state.Slot {
	slots := make([]state.Slot, 0, len(v.Nodes))
	for _, n := range v.Nodes {
		s, ok := have[n.Daemon]
		if !ok {
			s = state.Slot{ID: state.SlotID{Workload: w.UID, Index: n.Daemon}, Namespace: w.Namespace, Owner: w.Key}
		}
		if v.daemonNode(&s) == n && v.Hosts(w, n, s.Home.Node != "") == "" {
			slots = append(slots, s)
		}
	}
	return slots
}

// DaemonWants reports whether a slot of a DaemonSet is among DaemonSlots.
func (v *View) DaemonWants(w *state.Workload, s *state.Slot) bool {
	n := v.daemonNode(s)
	return n != nil && v.Hosts(w, n, s.Home.Node != "") == ""
}

// daemonNode is the node that a slot of a DaemonSet is of, or nil.
func (v *View) daemonNode(s *state.Slot) *Node {
	if s.Home.Node != "" {
		return v.Node(s.Home.Node)
	}
	at := slices.IndexFunc(v.Nodes, func(n *Node) bool { return n.Daemon == s.ID.Index })
	if at < 0 {
		return nil
	}
	return v.Nodes[at]
}

// daemon gives a slot of a DaemonSet to its node, whether there is room or not: the
// node has the last word, and nobody else is to run it.
func (p *planner) daemon(s *state.Slot) {
	v, home := p.v, s.Home.Node
	switch {
	case home == "":
		name := v.daemonNode(s).Name
		p.decide(Decision{Slot: s.ID, Home: &state.Home{Node: name, Term: 1}})
		v.Occupy(p.w, name)
		p.plan.Booked = append(p.plan.Booked, name)
		p.explain(s, false, name+" gets a pod, as each node that fits")
	case v.Assigned(p.w, s) == home:
		p.explain(s, false, home+" has a pod, as each node that fits")
	default:
		p.explain(s, true, home+" is "+v.whyNot(p.w, s)+", and no other node runs its pod")
	}
}
