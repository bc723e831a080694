package node

import (
	"context"
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
	copied := ack.Copied
	slices.SortFunc(copied.Records, func(a, b crdt.KV) int { return strings.Compare(a.Key, b.Key) })
	out, err := snapshot.NewWriter(w, snapshot.Header{
		Cluster: n.cfg.Identity.Cluster, Node: n.cfg.Identity.Name, Replica: copied.Replica, Context: copied.Context,
		Taken: time.Now().UTC().Format(time.RFC3339), Version: n.cfg.Host.HolonVersion,
	})
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
