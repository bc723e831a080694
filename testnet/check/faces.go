package check

import (
	"fmt"
	"maps"
	"slices"

	"holon/crdt/state"
	"holon/runtime"
)

// Faces reports API objects, as readers at each node see them, that do not agree
// with what is stored and what runs, when everything that is wanted runs.
func Faces(replicas []Replica) []string {
	var bad []string
	pods := map[state.Key]host{} // what runs
	for _, r := range replicas {
		for _, p := range r.Pods {
			if ended(&p) {
				continue // a Job's, kept for its log
			}
			pods[state.MakeKey(state.Pods, p.Namespace, p.Name)] = host{r.Node, p.CreatedAt}
		}
	}
	for _, r := range replicas {
		bad = append(bad, r.deployments(replicas)...)
		bad = append(bad, r.sets(replicas)...)
		bad = append(bad, r.pods(pods)...)
	}
	return bad
}

// host is where a pod runs, and when that is said to have been made.
type host struct{ node, created string }

func ended(p *runtime.Status) bool {
	begun := false
	for i := range p.Containers {
		c := &p.Containers[i] // one that waits for its turn has no ID
		if begun = begun || c.State == runtime.Exited; c.State == runtime.Running || c.State == runtime.Created && c.ID != "" {
			return false
		}
	}
	return begun
}

func (r *Replica) deployments(replicas []Replica) []string {
	var bad []string
	for _, key := range slices.Sorted(maps.Keys(r.Records)) {
		if key.Resource() != state.Deployments {
			continue
		}
		w, err := state.DecodeWorkload(key, r.Records[key])
		if err != nil || w == nil {
			continue
		}
		status, _ := r.Shown[key]["status"].(map[string]any)
		fields := []string{"replicas", "readyReplicas", "updatedReplicas"}
		if w.Deleting { // it is not updated any more
			fields = fields[:2]
		}
		for _, field := range fields {
			if n, _ := status[field].(int64); n != int64(Wanted(w, replicas)) {
				bad = append(bad, fmt.Sprintf("eventually: %s shows %s.%s=%d of %d", r.Node, key, field, n, w.Replicas))
			}
		}
	}
	return bad
}

// pods holds Pod objects against what runs. Where and since when does not depend on
// who tells it, nor on how many daemons its node has had since.
func (r *Replica) pods(truth map[state.Key]host) []string {
	var bad []string
	for _, key := range slices.Sorted(maps.Keys(truth)) {
		spec, _ := r.Shown[key]["spec"].(map[string]any)
		status, _ := r.Shown[key]["status"].(map[string]any)
		if spec["nodeName"] != truth[key].node || status["phase"] != string(state.Running) {
			bad = append(bad, fmt.Sprintf("eventually: %s shows %s on %v, %v; it runs on %s", r.Node, key, spec["nodeName"], status["phase"], truth[key].node))
		}
		if status["startTime"] != truth[key].created {
			bad = append(bad, fmt.Sprintf("eventually: %s shows %s as started at %v; it was made with %v", r.Node, key, status["startTime"], truth[key].created))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.Shown)) {
		status, _ := r.Shown[key]["status"].(map[string]any)
		over := status["phase"] == string(state.Succeeded) || status["phase"] == string(state.Failed)
		if key.Resource() == state.Pods && truth[key].node == "" && !over {
			bad = append(bad, fmt.Sprintf("eventually: %s shows %s, which runs nowhere", r.Node, key))
		}
	}
	return bad
}
