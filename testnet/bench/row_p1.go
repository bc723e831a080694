package main

import (
	"context"
	"fmt"
	"time"
)

// visibility is P1. Clients write ConfigMaps at a steady rate through every
// member in turn; a write counts from when it was due until a watch on every
// member has shown it. Under etcd, the same bytes are put and watched.
func visibility(ctx context.Context, b *bench) error {
	return b.withHolon(ctx, 3, someKeys, smallValue, func(t *testnet, a *httpAPI) error {
		pids, err := t.pids(ctx)
		if err != nil {
			return err
		}
		return b.withEtcd(ctx, someKeys, smallValue, func(e *etcd) error {
			ids := numbers{last: someKeys}
			for range b.rounds {
				for _, rate := range []float64{50, 500} {
					length := time.Duration(b.scaled(10, 4)) * time.Second
					var ours, theirs series
					ownCPU, err := cpuOf(pids, rate*length.Seconds(), func() (err error) {
						ours, err = steady(ctx, a, &ids, rate, length)
						return err
					})
					if err != nil {
						return err
					}
					etcdCPU, err := cpuOf(e.pids(), rate*length.Seconds(), func() (err error) {
						theirs, err = steady(ctx, e, &ids, rate, length)
						return err
					})
					if err != nil {
						return err
					}
					b.addQuantiles("P1", fmt.Sprintf("write to visible on all, %.0f/s", rate), "etcd", ours, theirs, atMost("<= 1.0x", 1), atMost("<= 1.0x", 1))
					b.figure("P1", fmt.Sprintf("processor time per write, all members, %.0f/s", rate), "ms", "etcd", goal{}).add(ownCPU, etcdCPU)
				}
			}
			return nil
		})
	})
}

// steady writes at a rate and returns the times to visibility.
func steady(ctx context.Context, c cluster, ids *numbers, rate float64, length time.Duration) (series, error) {
	var took series
	err := watched(ctx, c, func(ctx context.Context, t *tracker) error {
		if err := openLoop(ctx, c, t, ids, someKeys, rate, length); err != nil {
			return err
		}
		err := t.wait(ctx, drain)
		took = t.latencies()
		return err
	})
	return took, err
}

func (b *bench) addQuantiles(row, what, peer string, ours, theirs series, p50, p99 goal) {
	b.figure(row, what+", p50", "ms", peer, p50).add(ours.quantile(0.5), theirs.quantile(0.5))
	b.figure(row, what+", p99", "ms", peer, p99).add(ours.quantile(0.99), theirs.quantile(0.99))
}
