package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"holon/crdt/state"
	"holon/node/core"
	"holon/p2p"
)

// Pace of leaving.
const (
	restartHold   = 30 * time.Second // how long others hold stand-ins back for us
	drainPatience = 30 * time.Second // for slots to move before their pods stop anyway
	stopPatience  = 45 * time.Second // for pods to stop
	pollEvery     = 200 * time.Millisecond
	goodbye       = 300 * time.Millisecond // for the last frames to leave
)

// Introduce makes the first member of a new cluster and what every cluster has.
// On a node that is a member already it only makes sure of its Node object.
func (n *Node) Introduce(ctx context.Context, founder bool, labels map[string]string) error {
	if founder {
		first := core.FirstMember{
			Admit:   core.Admit{Peer: n.cfg.Identity.Peer(), Name: n.cfg.Identity.Name, Chain: n.cfg.Identity.Chain},
			Objects: foundation(n.cfg.Identity.Cluster),
		}
		if _, err := n.ask(ctx, first); err != nil {
			return fmt.Errorf("found the cluster: %w", err)
		}
	}
	// A node that is new here, or lost its database, first hears what the cluster
	// knows of it: a Node object made too early would undo labels and taints.
	for !n.admitted() {
		if pause(ctx, pollEvery/4); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	uid, err := newUID()
	if err != nil {
		return err
	}
	_, err = n.ask(ctx, core.Mutate{Key: state.MakeKey(state.Nodes, "", n.cfg.Identity.Name), Create: true, NewUID: uid, New: created(labels)})
	if errors.Is(err, core.ErrExists) {
		return nil
	}
	return err
}

// foundation is what every cluster has.
func foundation(cluster string) []core.Mutate {
	var objects []core.Mutate
	for _, name := range []string{"default", "kube-system"} {
		objects = append(objects, core.Mutate{
			Key: state.MakeKey(state.Namespaces, "", name), Create: true,
			NewUID: state.DerivedUID("namespace", cluster, name), New: created(nil),
		})
	}
	return objects
}

// admitted reports whether this node's own member record is here.
func (n *Node) admitted() bool {
	return slices.ContainsFunc(n.view.Load().Members, func(m core.MemberView) bool { return m.Peer == n.cfg.Identity.Peer() })
}

// created is the metadata of an object that holon makes by itself.
func created(labels map[string]string) map[string][]byte {
	text, err := json.Marshal(time.Now().UTC().Format(time.RFC3339))
	if err != nil {
		panic(fmt.Sprintf("node: a time does not encode: %v", err))
	}
	registers := map[string][]byte{"/metadata/creationTimestamp": text}
	for key, value := range labels {
		flat, err := state.FlattenAs(state.Nodes, map[string]any{"metadata": map[string]any{"labels": map[string]any{key: value}}})
		if err == nil {
			for path, v := range flat {
				registers[path] = v
			}
		}
	}
	return registers
}

// SayRestarting tells the others that this node will be back soon, unless it was
// emptied before: then nothing waits for it.
func (n *Node) SayRestarting(ctx context.Context) {
	if n.view.Load().Draining {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := n.ask(ctx, core.Restarting{For: restartHold}); err == nil {
		pause(ctx, goodbye)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// ConfirmSync agrees that the next sync drops what peers have deleted.
func (n *Node) ConfirmSync(ctx context.Context, progress func(string)) error {
	if _, err := n.ask(ctx, core.ConfirmSync{}); err != nil {
		return err
	}
	progress("the next sync drops what its peers have deleted")
	return nil
}

// Drain moves the slots of this node away and then stops every pod here.
func (n *Node) Drain(ctx context.Context, progress func(string)) error {
	if _, err := n.ask(ctx, core.Drain{On: true}); err != nil {
		return err
	}
	others := 0
	for _, m := range n.view.Load().Members {
		if m.State == "alive" && m.Name != n.cfg.Identity.Name {
			others++
		}
	}
	if others > 0 {
		n.waitForRuns(ctx, drainPatience, "moving pods to other nodes", progress)
	}
	if _, err := n.ask(ctx, core.StopAll{}); err != nil {
		return err
	}
	if left := n.waitForRuns(ctx, stopPatience, "stopping pods", progress); left > 0 {
		return fmt.Errorf("%d pods did not stop within %s; see `holon get pods -A -o wide`", left, stopPatience)
	}
	progress("no pod is left on " + n.cfg.Identity.Name)
	return nil
}

// waitForRuns waits until this node executes nothing, and tells how many are
// left.
func (n *Node) waitForRuns(ctx context.Context, patience time.Duration, what string, progress func(string)) int {
	deadline := n.now() + patience
	said := -1
	for {
		left := n.view.Load().Runs
		if left == 0 || n.now() >= deadline || ctx.Err() != nil {
			return left
		}
		if left != said {
			said = left
			progress(fmt.Sprintf("%s: %d left", what, left))
		}
		pause(ctx, pollEvery)
	}
}

// Leave drains this node and ends its membership for good.
func (n *Node) Leave(ctx context.Context, progress func(string)) error {
	if err := n.Drain(ctx, progress); err != nil {
		return err
	}
	if _, err := n.ask(ctx, core.Leave{}); err != nil {
		return err
	}
	progress(n.cfg.Identity.Name + " has left the cluster")
	pause(ctx, goodbye)
	if n.cfg.Left != nil {
		n.cfg.Left()
	}
	return nil
}

// Block cuts this node off from the named nodes, in a test network; an empty
// list heals.
func (n *Node) Block(ctx context.Context, names []string) error {
	mesh, err := n.Mesh(ctx)
	if err != nil {
		return err
	}
	mesh.SetBlocked(n.hides(names))
	return nil
}

// hides says of a peer whether it bears one of the names, also one that it is
// given later; nil: of none.
func (n *Node) hides(names []string) func(p2p.PeerID) bool {
	if len(names) == 0 {
		return nil
	}
	names = slices.Clone(names)
	return func(peer p2p.PeerID) bool { return slices.Contains(names, n.nameOf(peer)) }
}
