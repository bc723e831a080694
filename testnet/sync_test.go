package testnet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holon/crdt/state"
	"holon/testnet/check"
)

// A pull of many chunks must not take a chunk that comes twice for the last one:
// it would claim what it has not seen, and never ask for it again.
func TestARepeatedChunkEndsNoPull(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		w := New(Config{Seed: seed, Nodes: 3, Duplicate: 0.5, DelayMax: 20 * time.Millisecond, SyncMax: time.Millisecond})
		w.Run(4 * time.Second)
		late := w.nodes[2]
		w.crash(late, false)
		for i := range 12 {
			w.nodes[0].put(state.MakeKey(state.ConfigMaps, "default", fmt.Sprintf("large%d", i)), map[string]any{
				"data": map[string]any{"k": strings.Repeat("x", 100<<10)},
			})
			w.Run(100 * time.Millisecond)
		}
		late.start()
		w.Run(20 * time.Second)
		for _, b := range append(w.Violations(), check.Equal(w.replicas())...) {
			t.Errorf("seed %d: %s", seed, b)
		}
	}
}
