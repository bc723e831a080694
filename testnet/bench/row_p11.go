package main

import (
	"context"
	"fmt"
	"time"

	"holon/scheduler/schedulertest"
)

// placement is P11: the scheduler alone, in this process, on one core: 50 workloads
// of 100 pods onto empty nodes in three zones, a fresh view each time. What
// kube-scheduler's own benchmarks publish stands beside it as it is published; it
// runs elsewhere, and its pods go through an API server.
func placement(ctx context.Context, b *bench) error {
	published := map[schedulertest.Constraint]string{
		schedulertest.Plain: "680-810", schedulertest.Spread: "460", schedulertest.AntiAffinity: "60", schedulertest.Affinity: "35",
	}
	length := time.Duration(b.scaled(3000, 300)) * time.Millisecond
	for range b.rounds {
		for _, nodes := range []int{1000, 5000} {
			for _, c := range schedulertest.Constraints {
				rate, err := placingRate(ctx, schedulertest.NewLoad(c, nodes, 50, 100), length)
				if err != nil {
					return fmt.Errorf("%s, %d nodes: %w", c, nodes, err)
				}
				least := atLeast(">= 1,000/s", 1000)
				if c == schedulertest.Plain {
					least = atLeast(">= 10,000/s", 10_000)
				}
				what := fmt.Sprintf("%s, %d nodes (kube-scheduler, published: %s /s)", c, nodes, published[c])
				b.figure("P11", what, "/s", "", least).add(rate, 0)
			}
		}
	}
	return nil
}

// placingRate places a load again and again for a while.
func placingRate(ctx context.Context, l *schedulertest.Load, length time.Duration) (perSecond float64, err error) {
	began, placed := time.Now(), 0
	for placed == 0 || time.Since(began) < length {
		n := l.Place()
		if n != l.Pods() {
			return 0, fmt.Errorf("%d of %d pods are placed", n, l.Pods())
		}
		placed += n
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	return float64(placed) / time.Since(began).Seconds(), nil
}
