package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Sizes of values: small ones where the row is about time, one of a usual
// ConfigMap where it is about bytes.
const (
	smallValue = 256
	largeValue = 1000
)

// drain is how long writes may take to become visible once the last was sent.
const drain = time.Minute

// withHolon runs body on a testnet of n real nodes with keys ConfigMaps in it.
func (b *bench) withHolon(ctx context.Context, n, keys, size int, body func(t *testnet, a *httpAPI) error) (err error) {
	t, _, err := b.start(ctx, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.end()) }()
	a, err := newAPI(t, size)
	if err != nil {
		return err
	}
	defer a.close()
	if err := a.createAll(ctx, 0, keys); err != nil {
		return fmt.Errorf("create %d ConfigMaps: %w", keys, err)
	}
	return body(t, a)
}

func (b *bench) withEtcd(ctx context.Context, keys, size int, body func(e *etcd) error) error {
	return withDir(func(dir string) error {
		e, err := startEtcd(ctx, dir, size, false)
		if err != nil {
			return err
		}
		defer e.close()
		var ids numbers
		if keys > 0 {
			if err := closedLoop(ctx, e, nil, &ids, keys, keys); err != nil {
				return err
			}
		}
		return body(e)
	})
}

const someKeys = 1024

// visibility is P1. Clients write ConfigMaps at a steady rate through every
// member in turn; a write counts from when it was due until a watch on every
// member has shown it. Under etcd, the same bytes are put and watched.
func visibility(ctx context.Context, b *bench) error {
	return b.withHolon(ctx, 3, someKeys, smallValue, func(_ *testnet, a *httpAPI) error {
		return b.withEtcd(ctx, someKeys, smallValue, func(e *etcd) error {
			ids := numbers{last: someKeys}
			for range b.rounds {
				for _, rate := range []float64{50, 500} {
					length := time.Duration(b.scaled(10, 4)) * time.Second
					ours, err := steady(ctx, a, &ids, rate, length)
					if err != nil {
						return err
					}
					theirs, err := steady(ctx, e, &ids, rate, length)
					if err != nil {
						return err
					}
					b.addQuantiles("P1", fmt.Sprintf("write to visible on all, %.0f/s", rate), "etcd", ours, theirs, atMost("<= 1.0x", 1), atMost("<= 1.0x", 1))
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

// throughput is P3: 64 clients write as fast as they are answered; the clock
// stops when every member has shown the last write of every key.
func throughput(ctx context.Context, b *bench) error {
	return b.withHolon(ctx, 3, someKeys, smallValue, func(_ *testnet, a *httpAPI) error {
		return b.withEtcd(ctx, someKeys, smallValue, func(e *etcd) error {
			return withDSCRDT(ctx, dscrdtOptions{members: 3, sync: true, size: smallValue}, func(d *dscrdt) error {
				ids := numbers{last: someKeys}
				for range b.rounds {
					ours, err := converged(ctx, a, &ids, b.scaled(30000, 6000))
					if err != nil {
						return err
					}
					etcds, err := converged(ctx, e, &ids, b.scaled(30000, 6000))
					if err != nil {
						return err
					}
					dags, err := converged(ctx, d, &ids, b.scaled(500, 200))
					if err != nil {
						return err
					}
					b.figure("P3", "converged writes", "/s", "etcd", atLeast(">= 1.0x", 1)).add(ours, etcds)
					b.figure("P3", "converged writes", "/s", "go-ds-crdt", atLeast(">= 50x", 50)).add(ours, dags)
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
