package main

import (
	"context"
	"path/filepath"
	"time"

	dgraph "github.com/dgraph-io/badger/v4"
)

const batchSize = 100

// batches is P4: many new keys, as fast as they go, through one member; the clock
// stops when every member shows all. holon has no batches of its own: its
// committer makes them of what is asked side by side, here by as many clients as
// a peer's batch has keys. Raw Badger is one database that nobody reads.
func batches(ctx context.Context, b *bench) error {
	total := b.scaled(20000, 5000)
	for range b.rounds {
		ours, err := ownBatches(ctx, total)
		if err != nil {
			return err
		}
		dags, err := dagBatches(ctx, total)
		if err != nil {
			return err
		}
		raw, err := rawBatches(total)
		if err != nil {
			return err
		}
		b.figure("P4", "converged keys, 100 at once", "/s", "go-ds-crdt batch-100", atLeast(">= 3x", 3)).add(ours, dags)
		b.figure("P4", "converged keys, 100 at once", "/s", "raw Badger batch-100, fsync", atLeast(">= 0.25x", 0.25)).add(ours, raw)
	}
	return nil
}

// ownBatches is what holon does, also as the measure of P12.
func ownBatches(ctx context.Context, total int) (rate float64, err error) {
	err = withParts(ctx, 3, smallValue, func(p *parts) error {
		return watched(ctx, p, func(ctx context.Context, t *tracker) error {
			began := time.Now()
			err := sideBySide(ctx, batchSize, total, func(ctx context.Context, key int) error {
				return putTracked(ctx, p, t, 0, write{key, 1}, time.Now())
			})
			if err != nil {
				return err
			}
			err = t.wait(ctx, drain)
			rate = float64(total) / time.Since(began).Seconds()
			return err
		})
	})
	return rate, err
}

func dagBatches(ctx context.Context, total int) (rate float64, err error) {
	err = withDSCRDT(ctx, dscrdtOptions{members: 3, size: smallValue}, func(d *dscrdt) error {
		return watched(ctx, d, func(ctx context.Context, t *tracker) error {
			began := time.Now()
			for key := 0; key < total; key += batchSize {
				var batch []write
				for k := key; k < min(key+batchSize, total); k++ {
					batch = append(batch, write{k, 1})
					t.expect(write{k, 1}, time.Now())
				}
				if err := d.putBatch(ctx, 0, batch); err != nil {
					return err
				}
			}
			err := t.wait(ctx, 2*drain)
			rate = float64(total) / time.Since(began).Seconds()
			return err
		})
	})
	return rate, err
}

func rawBatches(total int) (rate float64, err error) {
	err = withRawBadger(func(_ string, db *dgraph.DB) error {
		began := time.Now()
		for key := 0; key < total; key += batchSize {
			err := rawCommit(db, batchSize, func(i int) ([]byte, []byte) {
				return []byte(keyName(key + i)), []byte(valueOf(write{key + i, 1}, smallValue))
			})
			if err != nil {
				return err
			}
		}
		rate = float64(total) / time.Since(began).Seconds()
		return nil
	})
	return rate, err
}

// sideBySide runs do for 0 to total-1 in so many goroutines.
func sideBySide(ctx context.Context, clients, total int, do func(ctx context.Context, i int) error) error {
	return parallel(ctx, clients, func(ctx context.Context, client int) error {
		for i := client; i < total; i += clients {
			if err := do(ctx, i); err != nil {
				return err
			}
		}
		return nil
	})
}

// withRawBadger opens a database with the sizes that holon gives its own, so that
// only what holon adds makes a difference.
func withRawBadger(body func(dir string, db *dgraph.DB) error) error {
	return withDir(func(root string) error {
		dir := filepath.Join(root, "raw")
		o := dgraph.DefaultOptions(dir).WithSyncWrites(true).WithLogger(nil).WithMetricsEnabled(false).
			WithMemTableSize(4 << 20).WithNumMemtables(2).WithValueThreshold(64 << 10).WithValueLogFileSize(16 << 20).
			WithBaseLevelSize(8 << 20).WithNumLevelZeroTables(4).WithNumLevelZeroTablesStall(8).WithNumCompactors(2)
		db, err := dgraph.Open(o)
		if err != nil {
			return err
		}
		if err := body(dir, db); err != nil {
			_ = db.Close()
			return err
		}
		return db.Close()
	})
}

// rawCommit writes n pairs as one transaction.
func rawCommit(db *dgraph.DB, n int, pair func(i int) (key, value []byte)) error {
	txn := db.NewTransaction(true)
	defer txn.Discard()
	for i := range n {
		key, value := pair(i)
		if err := txn.Set(key, value); err != nil {
			return err
		}
	}
	return txn.Commit()
}
