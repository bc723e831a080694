package node

import (
	"context"

	"holon/node/api"
	"holon/node/core"
)

// EvictMember ends the membership of another node for good.
func (n *Node) EvictMember(ctx context.Context, member string, e api.MemberEviction) error {
	_, err := n.ask(ctx, core.EvictMember{Member: member, Gone: e.Gone, Force: e.Force})
	return apiError(err)
}

// noteEviction is told each view, by the committer.
func (n *Node) noteEviction(v *core.View) {
	if v.Evicted {
		n.evictedOnce.Do(func() { close(n.evicted) })
	}
}

// watchEviction ends the daemon of a node that was evicted, once its pods have stopped.
func (n *Node) watchEviction(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-n.evicted:
	}
	if left := n.waitForRuns(ctx, stopPatience, "stopping pods", func(words string) { n.log.Warn("this node is evicted: " + words) }); left > 0 {
		n.log.Error("pods of an evicted node did not stop", "left", left)
	}
	if n.cfg.Left != nil && ctx.Err() == nil {
		n.cfg.Left()
	}
}
