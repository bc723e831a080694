package check

import (
	"fmt"
	"maps"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
)

// Hosts reports whether a node is one that a DaemonSet wants a pod on. In the world no
// pod tolerates a taint.
func Hosts(w *state.Workload, node *crdt.Record) bool {
	n, _, err := state.DecodeNode(state.MakeKey(state.Nodes, "", "n"), node)
	if err != nil || len(n.Taints) > 0 {
		return false
	}
	for key, value := range w.Template.Spec.NodeSelector {
		if n.Labels[key] != value {
			return false
		}
	}
	return true
}

// wantedSlots lists the slots that a workload is to have: of a DaemonSet one for each
// live node that fits.
func wantedSlots(w *state.Workload, replicas []Replica) (slots []state.SlotID) {
	if w.Stops {
		return nil
	}
	if !w.Daemon() {
		for i := range w.Replicas {
			slots = append(slots, state.SlotID{Workload: w.UID, Index: w.First + i})
		}
		return slots
	}
	for _, r := range replicas {
		if Hosts(w, replicas[0].Records[state.MakeKey(state.Nodes, "", r.Node)]) {
			slots = append(slots, state.SlotID{Workload: w.UID, Index: state.DaemonIndex(r.Node)})
		}
	}
	return slots
}

// Wanted is how many slots a workload is to have.
func Wanted(w *state.Workload, replicas []Replica) int { return len(wantedSlots(w, replicas)) }

// sets reports StatefulSets and DaemonSets whose status, as readers at a node see it, is
// not what is wanted.
func (r *Replica) sets(replicas []Replica) []string {
	var bad []string
	for _, key := range slices.Sorted(maps.Keys(r.Records)) {
		if resource := key.Resource(); resource != state.StatefulSets && resource != state.DaemonSets {
			continue
		}
		w, err := state.DecodeWorkload(key, r.Records[key])
		if err != nil || w == nil {
			continue
		}
		fields := []string{"replicas", "readyReplicas", "availableReplicas"}
		updated := "updatedReplicas"
		if w.Daemon() {
			fields, updated = []string{"desiredNumberScheduled", "currentNumberScheduled", "numberReady"}, "updatedNumberScheduled"
		}
		if !w.OnDelete && w.Partition <= w.First {
			fields = append(fields, updated)
		}
		status, _ := r.Shown[key]["status"].(map[string]any)
		for _, field := range fields {
			if n, _ := status[field].(int64); n != int64(Wanted(w, replicas)) {
				bad = append(bad, fmt.Sprintf("eventually: %s shows %s.%s=%d of %d", r.Node, key, field, n, Wanted(w, replicas)))
			}
		}
	}
	return bad
}
