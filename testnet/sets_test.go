package testnet

import "testing"

// setsPlayed is how many histories TestSets plays of each kind: each of what they are
// about happens in some of them.
const setsPlayed = 12

// TestSets plays histories with StatefulSets and DaemonSets.
func TestSets(t *testing.T) {
	total := playKinds(t, setsPlayed, "sets", "sets-split", "sets-and-policies")
	if c := &total; c.Relabels == 0 || c.OrderedStarts == 0 || c.SetTwice == 0 {
		t.Errorf("something never happened: %+v", total)
	}
}
