package scheduler

import "holon/crdt/state"

// Weight is the last tie-break between nodes for a slot.
func Weight(slot state.SlotID, node string) uint64 {
	return seedOf(slot.Workload, slot.Index+1).weight(node)
}

// LogMilli is 1000 ln(n).
func LogMilli(n uint64) int64 { return logMilli(n) }

// MaxTallies is how many selectors are counted at most.
const MaxTallies = maxTallies

// Kept is how much a view keeps of the pods that are booked.
func (v *View) Kept() int {
	return len(v.tallies.crowds) + len(v.tallies.filed) + len(v.tallies.carried)
}
