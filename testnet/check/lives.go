package check

import (
	"fmt"
	"maps"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
)

// Lives reports objects that are marked and that nothing holds, and those whose owners
// have all died. dead are the UIDs of which somebody has had a tombstone; one that a crash
// took back before anybody else had it leaves its object alive.
func Lives(replicas []Replica, dead map[string]bool) []string {
	if len(replicas) == 0 {
		return nil
	}
	var bad []string
	records := replicas[0].Records
	blocked := map[string]bool{} // by what finalizers of users hold, by the UID of the owner
	alive := map[string]bool{}
	each(records, func(_ state.Key, live *crdt.Object, life state.Life) {
		for _, uid := range state.Names(live) {
			alive[uid] = true
		}
		for _, o := range life.Owners {
			blocked[o.UID] = true
		}
	})
	each(records, func(key state.Key, live *crdt.Object, life state.Life) {
		own := slices.ContainsFunc(life.Finalizers, func(f string) bool {
			waits := f == state.ForegroundFinalizer && slices.ContainsFunc(state.Names(live), func(uid string) bool { return blocked[uid] })
			return f == state.OrphanFinalizer || f == state.ForegroundFinalizer && !waits
		})
		switch {
		case life.Deleting && !life.Held():
			bad = append(bad, fmt.Sprintf("eventually: nothing holds %s, and it is still there", key))
		case life.Deleting && own:
			bad = append(bad, fmt.Sprintf("eventually: %s is held by %v, which is nobody else's to take", key, life.Finalizers))
		case !life.Deleting && len(life.Owners) > 0 && !slices.ContainsFunc(life.Owners, func(o state.Owner) bool { return !dead[o.UID] || alive[o.UID] }):
			bad = append(bad, fmt.Sprintf("eventually: the owners of %s are gone, and it is still there", key))
		}
	})
	return bad
}

// each goes through the objects that readers see.
func each(records map[state.Key]*crdt.Record, f func(state.Key, *crdt.Object, state.Life)) {
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if live := records[key].Live(); live != nil && !key.Internal() {
			f(key, live, state.LifeOf(live))
		}
	}
}
