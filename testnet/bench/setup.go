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

// prefill makes every key and overwrites it once, and waits until every member
// shows that: what follows must not queue behind it.
func prefill(ctx context.Context, c cluster, ids *numbers) error {
	return watched(ctx, c, func(ctx context.Context, t *tracker) error {
		if err := closedLoop(ctx, c, t, ids, someKeys, 2*someKeys); err != nil {
			return err
		}
		return t.wait(ctx, 2*drain)
	})
}
