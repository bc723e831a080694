package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"holon/crdt"
	"holon/crdt/snapshot"
	"holon/node/api"
	"holon/node/core"
)

// Snapshot writes the state of the cluster, as this node has it at one moment, to
// w. The core hands out references to what it stores and goes on; sorting,
// compressing and a slow client cost it nothing.
func (n *Node) Snapshot(ctx context.Context, w io.Writer) error {
	select {
	case n.copies <- struct{}{}:
		defer func() { <-n.copies }()
	default:
		return fmt.Errorf("%w: it writes %d snapshots already; try again in a moment, or ask another node", api.ErrBusy, copiesMax)
	}
	ack, err := n.ask(ctx, core.Copy{})
	if err != nil {
		return err
	}
	return writeSnapshot(ctx, w, ack.Copied, n.snapshotHeader())
}

func (n *Node) snapshotHeader() snapshot.Header {
	return snapshot.Header{Cluster: n.cfg.Identity.Cluster, Node: n.cfg.Identity.Name, Version: n.cfg.Host.HolonVersion}
}

func writeSnapshot(ctx context.Context, w io.Writer, copied *core.Copied, h snapshot.Header) error {
	slices.SortFunc(copied.Records, func(a, b crdt.KV) int { return strings.Compare(a.Key, b.Key) })
	h.Replica, h.Context, h.Taken = copied.Replica, copied.Context, time.Now().UTC().Format(time.RFC3339)
	out, err := snapshot.NewWriter(w, h)
	if err != nil {
		return err
	}
	for _, r := range copied.Records {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := out.Add(r.Key, r.Value); err != nil {
			return err
		}
	}
	_, err = out.Close()
	return err
}

// SnapshotStore writes a snapshot of a store that no node runs from. id is the zero
// Identity if nobody knows whose it is. It returns the keys of damaged pairs, which
// are not in the snapshot: half of what there was is better than nothing.
func SnapshotStore(ctx context.Context, store Store, id Identity, version string, w io.Writer) (damaged []string, err error) {
	if used, err := Used(store); err != nil || !used {
		return nil, errors.Join(err, errors.New("the database holds no state of a cluster"))
	}
	on, err := readDisk(store)
	if err != nil {
		return nil, err
	}
	cfg := core.Config{Node: "nobody", Peer: "nobody", Cluster: "unknown", Replica: on.replica, Passive: true}
	if id.Cluster != "" {
		cfg.Node, cfg.Peer, cfg.Cluster, cfg.ClusterKey = id.Name, id.Peer(), id.Cluster, id.ClusterKey
	}
	c, err := core.New(cfg, BootTime(), func(prefix string, f func(string, []byte) error) error {
		err := store.Load(prefix, func(key string, value []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return f(key, value)
		})
		if keys := corruptKeys(err); keys != nil {
			damaged = append(damaged, keys...)
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	acks := c.Step(BootTime(), core.Asked{ID: 1, Op: core.Copy{}}).Acks
	return damaged, writeSnapshot(ctx, w, acks[0].Copied, snapshot.Header{Cluster: id.Cluster, Node: id.Name, Version: version})
}

// corruptKeys are those of damaged pairs, if they are all that err speaks of.
func corruptKeys(err error) []string {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && len(joined.Unwrap()) > 1 {
		return nil
	}
	var corrupt interface{ CorruptKeys() []string }
	if !errors.As(err, &corrupt) {
		return nil
	}
	return corrupt.CorruptKeys()
}
