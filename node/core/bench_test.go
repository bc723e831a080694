package core

import (
	"fmt"
	"testing"
	"time"

	"holon/crdt/state"
)

// busy is a crowd in which pods are placed and reported as ready.
func busy(b *testing.B, nodes, pods int) *crowd {
	x := newCrowd(b, nodes, state.Resources{CPU: 1 << 30, Memory: 1 << 50, Pods: state.RunsMax})
	for i := range pods {
		x.create(i%nodes, map[string]any{})
	}
	x.rest()
	x.now += time.Duration(nodes) * x.cfg.RankDelay
	x.rest()
	for _, name := range x.nodes[1:] {
		runs := x.runsAt(name, "")
		if len(runs) == 0 {
			b.Fatalf("no pod is on %s", name)
		}
		x.say(name, x.statusOf(name).Allocatable, runs)
	}
	x.rest()
	return x
}

// BenchmarkOnePodMore is the price of one pod among those that are there: from the
// request to the last Step that it causes on the node that schedules it.
func BenchmarkOnePodMore(b *testing.B) {
	for _, pods := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("%dpods100nodes", pods), func(b *testing.B) {
			x, steps := busy(b, 100, pods), 0
			b.ReportAllocs()
			for b.Loop() {
				x.create(0, map[string]any{})
				steps += x.rest()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(steps), "µs/step")
		})
	}
}

// BenchmarkOneStatusMore is the price of a status in which one run has changed.
func BenchmarkOneStatusMore(b *testing.B) {
	x := busy(b, 100, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		before := x.statusOf("n0001")
		runs := append([]state.RunStatus(nil), before.Runs...)
		runs[0].Ready = !runs[0].Ready
		x.say("n0001", before.Allocatable, runs)
		x.rest()
	}
}
