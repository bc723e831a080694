package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// catchUp is P7: one member is cut off while the others take many overwrites of
// 1,000 keys; from the heal on, until it shows the last write of every key. In
// go-ds-crdt's favour its Badger does not sync here. etcd saves a snapshot of a
// store that took the same writes.
func catchUp(ctx context.Context, b *bench) error {
	missed := b.scaled(50_000, 5_000)
	for range b.rounds {
		ours, err := b.ownCatchUp(ctx, missed)
		if err != nil {
			return err
		}
		dags, err := dagCatchUp(ctx, missed)
		if err != nil {
			return err
		}
		save, err := b.etcdSave(ctx, missed)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("catch-up after %d missed writes on 1,000 keys", missed)
		b.figure("P7", what, "s", "go-ds-crdt", atMost("<= 0.05x", 0.05)).add(ours.Seconds(), dags.Seconds())
		b.figure("P7", what, "s", "etcd snapshot save", atMost("<= 2x", 2)).add(ours.Seconds(), save.Seconds())
	}
	return nil
}

// apartFrom is a cluster without its last member: nobody writes through that one.
type apartFrom struct{ cluster }

func (a apartFrom) members() int { return a.cluster.members() - 1 }

func (b *bench) ownCatchUp(ctx context.Context, missed int) (took time.Duration, err error) {
	err = b.withHolon(ctx, 3, fewKeys, smallValue, func(t *testnet, a *httpAPI) error {
		sides := strings.Join(t.nodes[:2], ",") + "|" + t.nodes[2]
		if _, err := t.run(ctx, "testnet", "partition", sides, "--dir", t.dir); err != nil {
			return err
		}
		took, err = caughtUp(ctx, a, missed, func() error {
			_, err := t.run(ctx, "testnet", "heal", "--dir", t.dir)
			return err
		})
		return err
	})
	return took, err
}

func dagCatchUp(ctx context.Context, missed int) (took time.Duration, err error) {
	err = withDSCRDT(ctx, dscrdtOptions{members: 2, size: smallValue}, func(d *dscrdt) error {
		ids := numbers{}
		if err := closedLoop(ctx, apartFrom{d}, nil, &ids, fewKeys, fewKeys); err != nil {
			return err
		}
		a, z := d.nodes[0].host, d.nodes[1].host
		if err := a.Network().ClosePeer(z.ID()); err != nil {
			return err
		}
		// Nobody dials by himself: what one knows of the other is forgotten.
		for _, pair := range [][2]host.Host{{a, z}, {z, a}} {
			pair[0].Peerstore().ClearAddrs(pair[1].ID())
		}
		took, err = caughtUp(ctx, d, missed, func() error {
			return z.Connect(ctx, peer.AddrInfo{ID: a.ID(), Addrs: a.Addrs()})
		})
		return err
	})
	return took, err
}

// catchUpMax bounds the wait: some runs of go-ds-crdt do not get there.
const catchUpMax = 3 * time.Minute

// caughtUp overwrites keys while the last member is away and returns how long it
// needs once it is back.
func caughtUp(ctx context.Context, c cluster, missed int, heal func() error) (took time.Duration, err error) {
	ids := numbers{last: 2 * fewKeys}
	err = watched(ctx, c, func(ctx context.Context, t *tracker) error {
		if err := closedLoop(ctx, apartFrom{c}, t, &ids, fewKeys, missed); err != nil {
			return err
		}
		began := time.Now()
		if err := heal(); err != nil {
			return err
		}
		err := t.wait(ctx, catchUpMax)
		took = time.Since(began)
		if err != nil && ctx.Err() == nil && took >= catchUpMax {
			say("%s gave up: %v; counted as %v", c.name(), err, catchUpMax)
			return nil // a lower bound; of holon it misses any goal
		}
		return err
	})
	return took, err
}

func (b *bench) etcdSave(ctx context.Context, writes int) (took time.Duration, err error) {
	err = b.withEtcd(ctx, fewKeys, smallValue, func(e *etcd) error {
		var ids numbers
		if err := closedLoop(ctx, e, nil, &ids, fewKeys, writes); err != nil {
			return err
		}
		began := time.Now()
		err := e.save(ctx, filepath.Join(e.dir, "snapshot.db"))
		took = time.Since(began)
		return err
	})
	return took, err
}
