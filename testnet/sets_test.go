package testnet

import (
	"fmt"
	"sync"
	"testing"
)

// setsPlayed is how many histories TestSets plays of each kind: each of what they are
// about happens in some of them.
const setsPlayed = 12

// TestSets plays histories with StatefulSets and DaemonSets.
func TestSets(t *testing.T) {
	if raceEnabled {
		t.Skip("too slow under the race detector, and one goroutine each")
	}
	var mu sync.Mutex
	var total Counts
	t.Run("seeds", func(t *testing.T) {
		for _, kind := range []string{"sets", "sets-split", "sets-and-policies"} {
			for s := range uint64(setsPlayed) {
				t.Run(fmt.Sprint(kind, s+1), func(t *testing.T) {
					t.Parallel()
					w, bad := Play(historyOf(s+1, kind))
					mu.Lock()
					defer mu.Unlock()
					total.Add(w.Counts)
					if len(bad) > 0 {
						t.Errorf("%d violations, the first: %s", len(bad), bad[0])
					}
				})
			}
		}
	})
	if c := &total; c.Relabels == 0 || c.OrderedStarts == 0 || c.SetTwice == 0 {
		t.Errorf("something never happened: %+v", total)
	}
}
