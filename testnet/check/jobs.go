package check

import (
	"fmt"
	"maps"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
)

// Jobs reports Jobs that have not come to an end although there was time, and ended
// ones of which something runs, as each node has them and shows them.
func Jobs(replicas []Replica) []string {
	var bad []string
	found := running(replicas)
	for _, r := range replicas {
		for _, key := range slices.Sorted(maps.Keys(r.Records)) {
			if key.Resource() != state.Jobs {
				continue
			}
			w, err := state.DecodeWorkload(key, r.Records[key])
			if err != nil || w == nil {
				continue
			}
			status, _ := r.Shown[key]["status"].(map[string]any)
			if n, _ := status["succeeded"].(int64); n != int64(w.Job.Succeeded) {
				bad = append(bad, fmt.Sprintf("eventually: %s shows %s.succeeded=%d of %d", r.Node, key, n, w.Job.Succeeded))
			}
			if w.Job.State == state.JobOpen {
				bad = append(bad, fmt.Sprintf("eventually: %s is open on %s: %+v", key, r.Node, w.Job))
			}
			for i := range w.Replicas {
				slot := state.SlotID{Workload: w.UID, Index: i}.String()
				if runs := found[slot]; len(runs) > 0 && w.Job.State != state.JobOpen {
					bad = append(bad, fmt.Sprintf("eventually: slot %d of %s runs, which has ended: %v", i, key, runs))
				}
			}
		}
	}
	return bad
}

// Redone reports an order that starts a slot of a Job that its node knows to have
// succeeded.
func Redone(node string, key state.Key, index int, rec *crdt.Record) []string {
	w, err := state.DecodeWorkload(key, rec)
	if err != nil || w == nil || w.Job == nil {
		return nil
	}
	for i := range w.Job.Attempts {
		if a := &w.Job.Attempts[i]; a.OK && a.Index == index {
			return []string{fmt.Sprintf("anytime: %s starts slot %d of %s, which succeeded on %s", node, index, key, a.Node)}
		}
	}
	return nil
}
