package testnet

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	seed      = flag.Uint64("seed", 0, "play only this history, and print what it did")
	histories = flag.Int("histories", 500, "how many histories to play")
	ops       = flag.Int("ops", 200, "client operations per history")
)

// configOf draws a world from its seed.
func configOf(seed uint64) Config {
	return Config{
		Seed: seed, Nodes: 3 + int(seed%5),
		Loss: float64(seed%4) * 0.02, Duplicate: float64(seed%3) * 0.02,
		DelayMax: time.Duration(1+seed%20) * time.Millisecond, SyncMax: time.Duration(1+seed%10) * time.Millisecond,
		LostAfter: time.Duration(3+seed%9) * time.Second,
	}
}

func shape() Shape { return Shape{Ops: *ops, Every: 100 * time.Millisecond, Calm: 30 * time.Second} }

// TestHistories plays seeded histories on both cores of the machine and prints
// what they did. A failure names its seed.
func TestHistories(t *testing.T) {
	if *seed != 0 {
		w, bad := Play(configOf(*seed), shape())
		t.Logf("seed %d: %+v trace %x", *seed, w.Counts, w.Trace())
		t.Logf("%s\n%s", strings.Join(w.Log(), "\n"), w.Dump())
		for _, b := range bad {
			t.Error(b)
		}
		return
	}
	var (
		mu    sync.Mutex
		total Counts
		group sync.WaitGroup
		seeds = make(chan uint64)
	)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for s := range seeds {
				w, bad := Play(configOf(s), shape())
				mu.Lock()
				total.Add(w.Counts)
				if len(bad) > 0 {
					t.Errorf("seed %d: %d violations, the first: %s", s, len(bad), bad[0])
				}
				mu.Unlock()
			}
		})
	}
	for s := range *histories {
		seeds <- uint64(s + 1)
	}
	close(seeds)
	group.Wait()
	fmt.Printf("histories: %d, seeds 1..%d: %+v\n", *histories, *histories, total)
}
