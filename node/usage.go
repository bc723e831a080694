package node

import (
	"context"
	"time"

	"holon/node/api"
	"holon/node/core"
)

// usageTimeout is how long the nodes may take to measure: a window, and two looks at a
// runtime that has much else to do.
const usageTimeout = 5 * time.Second

// Usage measures this node and asks the others that a query is about.
func (n *Node) Usage(ctx context.Context, q api.UsageQuery) (usage []api.NodeUsage, missing []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	wanted := func(name string) bool { return q.Node == "" || q.Node == name }
	missing = n.askOthers(func(m core.MemberView) (func(), error) {
		if !wanted(m.Name) {
			return func() {}, nil
		}
		theirs, err := askPeer[api.NodeUsage](ctx, n, m.Peer, usageProtocol, q)
		theirs.Node = m.Name
		return func() { usage = append(usage, theirs) }, err
	})
	if wanted(n.cfg.Identity.Name) {
		own, err := n.ownUsage(ctx, q)
		if err != nil {
			n.log.Warn("this node cannot be measured", "error", err)
			missing = append(missing, n.cfg.Identity.Name)
		} else {
			usage = append(usage, own)
		}
	}
	return usage, missing, nil
}

// ownUsage measures this node. Its pods are not known while the runtime does not answer.
func (n *Node) ownUsage(ctx context.Context, q api.UsageQuery) (api.NodeUsage, error) {
	w, err := n.meter.measure(ctx)
	switch {
	case err != nil:
		return api.NodeUsage{}, err
	case !q.Pods:
		w.Runs = nil
	case w.err != nil:
		return api.NodeUsage{}, w.err
	}
	return w.NodeUsage, nil
}
