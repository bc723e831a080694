package main

import (
	"context"
	"fmt"
	"sync/atomic"

	dgraph "github.com/dgraph-io/badger/v4"
)

// diskGrowth is P6: 1,000 keys are overwritten again and again, 100 at once, on
// one node, and the disk is looked at while the database is open. Raw Badger
// gets the plain values in transactions of 100.
func diskGrowth(ctx context.Context, b *bench) error {
	few, many := b.scaled(100_000, 30_000), b.scaled(1_000_000, 120_000)
	for range b.rounds {
		small, large, err := ownGrowth(ctx, few, many)
		if err != nil {
			return err
		}
		raw, rawLarge, err := rawGrowth(few, many)
		if err != nil {
			return err
		}
		b.figure("P6", fmt.Sprintf("disk after %d overwrites of 1,000 keys", few), "MB", "raw Badger", atMost("<= 1.3x", 1.3)).add(small, raw)
		b.figure("P6", fmt.Sprintf("disk after %d overwrites of 1,000 keys", many), "MB", "raw Badger", goal{}).add(large, rawLarge)
		b.figure("P6", fmt.Sprintf("disk, %d / %d overwrites", many, few), "x", "", atMost("<= 1.2", 1.2)).add(large/small, 0)
	}
	return nil
}

const fewKeys = 1000

// looks is how often the disk is looked at during the last lookSpan overwrites: the
// log in use grows from nothing to a whole memtable and starts again, so one look
// says where in that it was, and not what it comes to.
const (
	looks    = 20
	lookSpan = 10_000
)

func ownGrowth(ctx context.Context, few, many int) (small, large float64, err error) {
	err = withParts(ctx, 1, largeValue, func(p *parts) error {
		var ids atomic.Int64
		overwrite := func(n int) error {
			return parallel(ctx, batchSize, func(ctx context.Context, client int) error {
				for i := client; i < n; i += batchSize {
					w := write{key: i % fewKeys, id: int(ids.Add(1))}
					if err := p.put(ctx, 0, w); err != nil {
						return err
					}
				}
				return nil
			})
		}
		small, large, err = growth(p.nodes[0].dir, few, many, overwrite)
		return err
	})
	return small, large, err
}

func rawGrowth(few, many int) (small, large float64, err error) {
	err = withRawBadger(func(dir string, db *dgraph.DB) error {
		id := 0
		overwrite := func(n int) error {
			for range n / batchSize {
				err := rawCommit(db, batchSize, func(int) ([]byte, []byte) {
					id++
					w := write{id % fewKeys, id}
					return []byte(keyName(w.key)), []byte(valueOf(w, largeValue))
				})
				if err != nil {
					return err
				}
			}
			return nil
		}
		small, large, err = growth(dir, few, many, overwrite)
		return err
	})
	return small, large, err
}

// growth is what dir takes in MB after few and after many overwrites.
func growth(dir string, few, many int, overwrite func(n int) error) (small, large float64, err error) {
	if small, err = grown(dir, few, overwrite); err != nil {
		return 0, 0, err
	}
	large, err = grown(dir, many-few, overwrite)
	return small, large, err
}

// grown overwrites n times and returns the mean of the looks at the end.
func grown(dir string, n int, overwrite func(n int) error) (float64, error) {
	if err := overwrite(n - lookSpan); err != nil {
		return 0, err
	}
	sum := 0.0
	for range looks {
		if err := overwrite(lookSpan / looks); err != nil {
			return 0, err
		}
		bytes, err := diskBytes(dir)
		if err != nil {
			return 0, err
		}
		sum += bytes / 1e6
	}
	return sum / looks, nil
}
