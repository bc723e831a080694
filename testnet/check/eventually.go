package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"holon/crdt"
	"holon/crdt/state"
	"holon/runtime"
)

// Replica is what one live node holds and runs when the world has been calm for
// a while.
type Replica struct {
	Node    string
	Records map[state.Key]*crdt.Record
	Shown   map[state.Key]map[string]any // derived objects
	Pods    []runtime.Status
}

// Equal reports records that differ between live nodes. Vectors may: some nodes
// still know of writes to objects that others have purged.
func Equal(replicas []Replica) []string {
	var bad []string
	if len(replicas) == 0 {
		return nil
	}
	first := replicas[0]
	for _, other := range replicas[1:] {
		keys := map[state.Key]bool{}
		for key := range first.Records {
			keys[key] = true
		}
		for key := range other.Records {
			keys[key] = true
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if !crdt.Alike(first.Records[key], other.Records[key]) {
				bad = append(bad, fmt.Sprintf("eventually: %s differs between %s and %s", key, first.Node, other.Node))
			}
		}
	}
	return bad
}

// running counts, per slot, the pods whose containers all run or have prepared the others,
// and where.
func running(replicas []Replica) map[string][]string {
	found := map[string][]string{}
	for _, r := range replicas {
		for _, p := range r.Pods {
			whole := len(p.Containers) > 0
			for _, c := range p.Containers {
				prepared := strings.HasPrefix(c.Name, InitPrefix) && c.State == runtime.Exited && c.ExitCode == 0
				whole = whole && (c.State == runtime.Running || prepared)
			}
			if whole {
				found[p.Slot] = append(found[p.Slot], fmt.Sprintf("%s(%s)", r.Node, p.ID))
			}
		}
	}
	return found
}

// ExactlyOnce reports wanted slots that do not run exactly once, at the wanted
// revision, and runs that nobody wants. fits tells whether the cluster has room
// for everything; if not, a slot may also not run.
func ExactlyOnce(replicas []Replica, fits bool) []string {
	if len(replicas) == 0 {
		return nil
	}
	var bad []string
	records := replicas[0].Records
	found := running(replicas)
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if !state.IsWorkload(key.Resource()) {
			continue
		}
		w, err := state.DecodeWorkload(key, records[key])
		if err != nil || w == nil {
			continue
		}
		if w.Job != nil {
			for i := range w.Replicas { // see Jobs
				delete(found, state.SlotID{Workload: w.UID, Index: i}.String())
			}
			continue
		}
		for _, slot := range wantedSlots(w, replicas) {
			runs := found[slot.String()]
			delete(found, slot.String())
			if len(runs) == 1 || len(runs) == 0 && !fits {
				continue
			}
			bad = append(bad, fmt.Sprintf("eventually: slot %d of %s runs %d times: %v", slot.Index, key, len(runs), runs))
		}
	}
	for _, slot := range slices.Sorted(maps.Keys(found)) {
		bad = append(bad, fmt.Sprintf("eventually: slot %s is not wanted and runs: %v", slot, found[slot]))
	}
	return bad
}

// NothingLeaked reports what is left when every workload has been deleted.
// burnt says that a disk was lost: then a slot or a revision may be left whose
// workload was on that disk only. Nobody deletes what he has never heard of.
func NothingLeaked(replicas []Replica, burnt bool) []string {
	var bad []string
	for _, r := range replicas {
		for _, p := range r.Pods {
			bad = append(bad, fmt.Sprintf("finally: %s still has pod %s of slot %s", r.Node, p.ID, p.Slot))
		}
		known := r.workloads()
		for _, key := range slices.Sorted(maps.Keys(r.Records)) {
			resource, _, name := key.Split()
			switch resource {
			case state.Slots, state.Revisions, state.Deployments, state.Pods, state.StatefulSets, state.DaemonSets, state.Jobs, state.CronJobs:
				orphan := burnt && len(name) > uidLen && !known[name[:uidLen]]
				if r.Records[key].Live() != nil && !orphan {
					bad = append(bad, fmt.Sprintf("finally: %s still holds %s", r.Node, key))
				}
			}
		}
	}
	return bad
}

// uidLen is the length of the UID with which slots and revisions are named.
const uidLen = 36

// workloads lists the UIDs of every workload that was ever heard of.
func (r *Replica) workloads() map[string]bool {
	known := map[string]bool{}
	for key, rec := range r.Records {
		if state.IsWorkload(key.Resource()) {
			for uid := range rec.Objects {
				known[uid.String()] = true
			}
		}
	}
	return known
}
