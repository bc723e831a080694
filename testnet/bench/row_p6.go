package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"

	dgraph "github.com/dgraph-io/badger/v4"
)

// diskGrowth is P6: 1,000 keys are overwritten again and again, 100 at once, on
// one node, and the disk is looked at before the database is closed. Raw Badger
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

func ownGrowth(ctx context.Context, few, many int) (small, large float64, err error) {
	err = withParts(ctx, 1, largeValue, func(p *parts) error {
		var ids atomic.Int64
		overwrite := func(n int) (float64, error) {
			err := parallel(ctx, batchSize, func(ctx context.Context, client int) error {
				for i := client; i < n; i += batchSize {
					w := write{key: i % fewKeys, id: int(ids.Add(1))}
					if err := p.put(ctx, 0, w); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return 0, err
			}
			bytes, err := diskBytes(p.nodes[0].dir)
			return bytes / 1e6, err
		}
		if small, err = overwrite(few); err != nil {
			return err
		}
		large, err = overwrite(many - few)
		return err
	})
	return small, large, err
}

func rawGrowth(few, many int) (small, large float64, err error) {
	err = withRawBadger(func(dir string, db *dgraph.DB) error {
		id := 0
		overwrite := func(n int) (float64, error) {
			for range n / batchSize {
				err := rawCommit(db, batchSize, func(int) ([]byte, []byte) {
					id++
					w := write{id % fewKeys, id}
					return []byte(keyName(w.key)), []byte(valueOf(w, largeValue))
				})
				if err != nil {
					return 0, err
				}
			}
			bytes, err := diskBytes(filepath.Clean(dir))
			return bytes / 1e6, err
		}
		if small, err = overwrite(few); err != nil {
			return err
		}
		large, err = overwrite(many - few)
		return err
	})
	return small, large, err
}
