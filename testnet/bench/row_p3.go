package main

import (
	"context"
	"time"
)

// throughput is P3: 64 clients write as fast as they are answered; the clock
// stops when every member has shown the last write of every key.
func throughput(ctx context.Context, b *bench) error {
	total := b.scaled(30000, 6000)
	return b.withHolon(ctx, 3, someKeys, smallValue, func(t *testnet, a *httpAPI) error {
		pids, err := t.pids(ctx)
		if err != nil {
			return err
		}
		return b.withEtcd(ctx, someKeys, smallValue, func(e *etcd) error {
			return withDSCRDT(ctx, dscrdtOptions{members: 3, sync: true, size: smallValue}, func(d *dscrdt) error {
				ids := numbers{last: someKeys}
				for range b.rounds {
					var ours, etcds float64
					ownCPU, err := cpuOf(pids, float64(total), func() (err error) {
						ours, err = converged(ctx, a, &ids, total)
						return err
					})
					if err != nil {
						return err
					}
					etcdCPU, err := cpuOf(e.pids(), float64(total), func() (err error) {
						etcds, err = converged(ctx, e, &ids, total)
						return err
					})
					if err != nil {
						return err
					}
					dags, err := converged(ctx, d, &ids, b.scaled(500, 200))
					if err != nil {
						return err
					}
					b.figure("P3", "converged writes", "/s", "etcd", atLeast(">= 1.0x", 1)).add(ours, etcds)
					b.figure("P3", "converged writes", "/s", "go-ds-crdt", atLeast(">= 50x", 50)).add(ours, dags)
					b.figure("P3", "processor time per write, all members", "ms", "etcd", goal{}).add(ownCPU, etcdCPU)
				}
				return nil
			})
		})
	})
}

// converged returns the writes per second of a closed loop until all is visible.
func converged(ctx context.Context, c cluster, ids *numbers, total int) (rate float64, err error) {
	err = watched(ctx, c, func(ctx context.Context, t *tracker) error {
		began := time.Now()
		if err := closedLoop(ctx, c, t, ids, someKeys, total); err != nil {
			return err
		}
		err := t.wait(ctx, 2*drain)
		rate = float64(total) / time.Since(began).Seconds()
		return err
	})
	return rate, err
}
