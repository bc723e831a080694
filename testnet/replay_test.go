package testnet

import (
	goruntime "runtime"
	"testing"
)

// TestSameSeedSameRun plays seeds twice, on one and on all processors, and
// compares every step.
func TestSameSeedSameRun(t *testing.T) {
	last := uint64(6)
	if raceEnabled {
		last = 2
	}
	for s := uint64(1); s <= last; s++ {
		cfg, shape := historyOf(s, "")
		shape.Ops = min(shape.Ops, 100)
		var first []string
		w, _ := play(cfg, shape, func(line string) { first = append(first, line) })
		before := goruntime.GOMAXPROCS(1)
		at, said := 0, false
		again, _ := play(cfg, shape, func(line string) {
			if !said && (at >= len(first) || first[at] != line) {
				said = true
				t.Errorf("seed %d differs at step %d:\n%s\n%s", s, at, first[min(at, len(first)-1)], line)
			}
			at++
		})
		goruntime.GOMAXPROCS(before)
		if w.Trace() != again.Trace() {
			t.Errorf("seed %d: traces %x and %x", s, w.Trace(), again.Trace())
		}
	}
}
