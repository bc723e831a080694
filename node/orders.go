package node

import (
	"context"
	"errors"
	"time"

	"holon/node/core"
	"holon/runtime"
)

// Pace of looking at the runtime.
const (
	podsEvery    = 5 * time.Second // without a hint
	podsSettle   = 20 * time.Millisecond
	orderTimeout = 5 * time.Minute // for one order, pulls included and its grace period not
	listTimeout  = 30 * time.Second
)

// orders bounds what the runtime works on at once. Stops have permits of their
// own: each may take its grace period, which nothing that starts shall wait for.
type orders struct{ starts, stops chan struct{} }

func (o *orders) permits(kind core.OrderKind) chan struct{} {
	if kind.Ends() {
		return o.stops
	}
	return o.starts
}

// execute carries an order to the runtime in a goroutine of its own. Core keeps
// at most one order per run under way.
func (n *Node) execute(ctx context.Context, o core.Order) {
	permits := n.orders.permits(o.Kind)
	n.spawn(func() {
		select {
		case permits <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := n.carryOut(ctx, o)
		<-permits
		if ctx.Err() != nil {
			return // the next boot finds out by itself
		}
		n.observe(ctx)
		n.tell(ctx, core.Ordered{Order: o, Err: asRuntimeError(o, err)})
	})
}

func (n *Node) carryOut(ctx context.Context, o core.Order) error {
	ctx, cancel := context.WithTimeout(ctx, orderTimeout+o.Grace)
	defer cancel()
	switch {
	case o.Kind == core.Discard:
		return n.cfg.Runtime.RemoveVolume(ctx, o.Volume)
	case o.Kind.Ends():
		return n.end(ctx, o)
	}
	spec, err := n.withSecrets(o)
	if err != nil {
		return err
	}
	if o.Kind == core.Update {
		return n.cfg.Runtime.UpdateFiles(ctx, spec)
	}
	return n.withImages(ctx, spec, n.pullSecretsOf(o), func(spec runtime.Spec) error {
		if o.Kind == core.Restart {
			return n.cfg.Runtime.StartContainer(ctx, spec, o.Container, o.Attempt)
		}
		return n.cfg.Runtime.EnsurePod(ctx, spec)
	})
}

func asRuntimeError(o core.Order, err error) *runtime.Error {
	if err == nil {
		return nil
	}
	var typed *runtime.Error
	if errors.As(err, &typed) {
		return typed
	}
	return &runtime.Error{Kind: runtime.KindOf(err), Op: o.Kind.String() + " " + string(o.Run), Err: err}
}

// observe lists the runtime's pods and tells the core. Observations are taken
// one at a time, so that a later one is never older.
func (n *Node) observe(ctx context.Context) {
	n.seen.Lock()
	defer n.seen.Unlock()
	list, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	pods, err := n.cfg.Runtime.Pods(list)
	if err != nil {
		n.host.poke() // Info says why, and the node's conditions with it
		return
	}
	volumes, err := n.cfg.Runtime.Volumes(list)
	if err != nil {
		n.log.Warn("the volumes of this node cannot be listed", "error", err)
		volumes = nil // not asked, as it were
	} else if volumes == nil {
		volumes = []string{}
	}
	n.tell(ctx, core.Observed{Pods: pods, Volumes: volumes})
}

// watchPods looks at the runtime when it hints at a change, and now and then.
func (n *Node) watchPods(ctx context.Context) {
	tick := time.NewTicker(podsEvery)
	defer tick.Stop()
	for {
		n.observe(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-n.cfg.Runtime.Changes():
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(podsSettle): // several changes come together
		}
	}
}
