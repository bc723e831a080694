package swim

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

const detectionMax = 2800 * time.Millisecond

// detection returns how long it took until all others held the victims unreachable.
func detection(t *testing.T, w *world, victims ...*node) time.Duration {
	t.Helper()
	for _, v := range victims {
		w.stop(v)
	}
	start := w.now
	took := w.until(30*time.Second, func() bool {
		for _, v := range victims {
			if !w.all(v, Unreachable) {
				return false
			}
		}
		return true
	})
	if others := w.count(Unreachable, start); others != len(victims)*(len(w.nodes)-len(victims)) {
		t.Fatalf("%d verdicts for %d dead", others, len(victims))
	}
	return took
}

func summary(ds []time.Duration) string {
	slices.Sort(ds)
	return fmt.Sprintf("median %v, p99 %v, max %v over %d runs", ds[len(ds)/2], ds[len(ds)*99/100], ds[len(ds)-1], len(ds))
}

// seenWithinTheBudget has a member die in each of many worlds of each size. Before that
// lives through what precedes the death, and says who dies.
func seenWithinTheBudget(t *testing.T, sizes []int, seeds uint64, before func(w *world, seed int) (victim *node)) {
	t.Helper()
	for _, n := range sizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			var took []time.Duration
			for seed := range seeds {
				w := newWorld(t, n, seed, LAN())
				w.settle()
				took = append(took, detection(t, w, before(w, int(seed))))
				if d := took[len(took)-1]; d > detectionMax {
					t.Errorf("seed %d: %v", seed, d)
				}
			}
			t.Logf("N=%d: %s", n, summary(took))
		})
	}
}

func TestSilentDeathIsSeenByAllWithinTheBudget(t *testing.T) {
	seenWithinTheBudget(t, []int{2, 3, 5, 10, 50}, 200, func(w *world, seed int) *node {
		w.run(w.upTo(3 * time.Second))
		return w.nodes[seed%len(w.nodes)]
	})
}

// Everybody hears the member's other traffic until the instant of its death, so
// probing of it is slowed.
func TestDeathRightAfterTrafficIsSeenWithinTheBudget(t *testing.T) {
	seenWithinTheBudget(t, []int{2, 3, 5, 10, 50}, 50, func(w *world, seed int) *node {
		victim := w.nodes[seed%len(w.nodes)]
		w.chatter(victim, 2*time.Second+w.upTo(time.Second))
		return victim
	})
}

// Whoever comes back from isolation has seen its accusations of all others refuted
// and takes itself for slow; somebody else dies before it has recovered.
func TestDeathRightAfterAReturnIsSeenWithinTheBudget(t *testing.T) {
	seenWithinTheBudget(t, []int{4, 5, 10}, 200, func(w *world, seed int) *node {
		w.isolate(0)
		w.run(time.Second + w.upTo(3*time.Second))
		w.cut = nil
		w.settle()
		w.run(w.upTo(time.Second))
		return w.nodes[1+seed%(len(w.nodes)-1)]
	})
}

// chatter has everybody hear other traffic of a node every 50 ms for a while.
func (w *world) chatter(of *node, d time.Duration) {
	for end := w.now + d; w.now < end; w.run(50 * time.Millisecond) {
		for _, n := range w.running() {
			if n != of {
				w.step(n, func() { w.take(n, n.m.Heard(w.now, of.id)) })
			}
		}
	}
}

func TestClosedConnectionIsAHintToProbeAtOnce(t *testing.T) {
	w := newWorld(t, 3, 1, LAN())
	w.settle()
	w.chatter(w.nodes[0], time.Second)
	n := w.nodes[1]
	w.take(n, n.m.Closed(w.now, w.nodes[0].id))
	mem := n.m.members[w.nodes[0].id]
	if !mem.probe.on || mem.probe.at != w.now {
		t.Fatal("the member whose connection closed is not being probed")
	}
}

func TestManyDeathsAtOnceAreAllSeen(t *testing.T) {
	for _, c := range []struct{ n, die int }{{3, 2}, {5, 4}, {10, 5}, {50, 25}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			var took []time.Duration
			for seed := range uint64(20) {
				w := newWorld(t, c.n, seed, LAN())
				w.settle()
				w.run(w.upTo(3 * time.Second))
				took = append(took, detection(t, w, w.nodes[:c.die]...))
			}
			t.Logf("%d of %d: %s", c.die, c.n, summary(took))
			if took[len(took)-1] > detectionMax {
				t.Error("too slow")
			}
		})
	}
}

func TestEdgeProfileSeesADeathWithinThirtySeconds(t *testing.T) {
	for _, n := range []int{2, 5, 16} {
		var took []time.Duration
		for seed := range uint64(20) {
			w := newWorld(t, n, seed, Edge())
			w.delay = [2]time.Duration{50 * time.Millisecond, 400 * time.Millisecond}
			w.settle()
			w.run(w.upTo(20 * time.Second))
			took = append(took, detection(t, w, w.nodes[int(seed)%n]))
		}
		t.Logf("N=%d: %s", n, summary(took))
		if took[len(took)-1] > 30*time.Second {
			t.Error("too slow")
		}
	}
}

func falseVerdicts(t *testing.T, n int, loss float64, seed uint64, d time.Duration) (verdicts, suspicions int, w *world) {
	w = newWorld(t, n, seed, LAN())
	w.settle()
	w.loss = loss
	start := w.now
	w.run(d)
	return w.count(Unreachable, start), w.count(Suspect, start), w
}

func TestLossOfATenthMakesNobodyUnreachable(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			verdicts, suspicions, w := falseVerdicts(t, 10, 0.10, seed, 30*time.Minute)
			raised := uint64(0)
			for _, n := range w.nodes {
				raised += n.m.Stats().Refutations
			}
			t.Logf("10 %% loss: %d false verdicts, %d suspicions in views, %d refutations, %d packets", verdicts, suspicions, raised, w.packets)
			if verdicts != 0 {
				t.Error("a live member was held unreachable")
			}
			if suspicions == 0 {
				t.Error("no suspicion at all: the loss is not real")
			}
		})
	}
}

func TestLossOfAFifthIsReported(t *testing.T) {
	for _, n := range []int{2, 10} {
		verdicts, suspicions, _ := falseVerdicts(t, n, 0.20, 9, 30*time.Minute)
		t.Logf("N=%d, 20 %% loss: %d false verdicts, %d suspicions in views", n, verdicts, suspicions)
		if verdicts > 5 {
			t.Errorf("%d false verdicts", verdicts)
		}
	}
}
