package check

import (
	"fmt"
	"maps"
	"slices"

	"holon/crdt/state"
	"holon/runtime"
)

// Claims reports pods that run where the data of their claims is not, and, if there is
// room for everything, claims of wanted slots that have no data anywhere.
func Claims(replicas []Replica, fits bool) []string {
	if len(replicas) == 0 {
		return nil
	}
	var bad []string
	records := replicas[0].Records
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if !state.IsWorkload(key.Resource()) {
			continue
		}
		w, err := state.DecodeWorkload(key, records[key])
		if err != nil || w == nil || !w.Keeps() {
			continue
		}
		for _, slot := range wantedSlots(w, replicas) {
			for _, use := range w.Claims(w.Template, slot.Index) {
				claim, err := state.DecodeClaim(use.Claim, records[use.Claim])
				switch {
				case err != nil || claim == nil:
					bad = append(bad, fmt.Sprintf("eventually: %s, which slot %s uses, is not there: %v", use.Claim, slot, err))
				case claim.Node == "" && fits && !former(replicas, slot, use.Volume, claim):
					bad = append(bad, fmt.Sprintf("eventually: %s, which slot %s uses, has no data anywhere", use.Claim, slot))
				default:
					bad = append(bad, misplaced(replicas, slot, use.Volume, claim)...)
				}
			}
		}
	}
	return bad
}

// former reports whether the pod of a slot has the data of another claim by that name, which
// was deleted under it: it goes on with that.
func former(replicas []Replica, slot state.SlotID, volume string, claim *state.Claim) bool {
	for _, r := range replicas {
		for i := range r.Pods {
			kept := r.Pods[i].Claims[volume]
			if r.Pods[i].Slot == slot.String() && kept != "" && !claim.Had(kept) {
				return true
			}
		}
	}
	return false
}

func misplaced(replicas []Replica, slot state.SlotID, volume string, claim *state.Claim) (bad []string) {
	for _, r := range replicas {
		for i := range r.Pods {
			p := &r.Pods[i]
			kept := p.Claims[volume]
			if p.Slot != slot.String() || !runtime.InUse(kept, []runtime.Status{*p}) || !claim.Had(kept) {
				continue
			}
			if r.Node != claim.Node || kept != claim.Volume {
				bad = append(bad, fmt.Sprintf("eventually: slot %s has volume %s on %s, and %s is bound to %s on %s", slot, kept, r.Node, claim.Key, claim.Volume, claim.Node))
			}
		}
	}
	return bad
}
