package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"syscall"
)

// daemons are the nodes of a testnet as members that die.
type daemons struct {
	*testnet
	pids []int
}

func withDaemons(ctx context.Context, b *bench, o *opinions, body func(mortals) error) (err error) {
	t, _, err := b.start(ctx, len(o.held))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.end()) }()
	return t.overheard(ctx, o, func() error {
		d := &daemons{testnet: t}
		if d.pids, err = t.pids(ctx); err != nil {
			return err
		}
		return body(d)
	})
}

func (d *daemons) die(member int, silent bool) error {
	if silent {
		return syscall.Kill(d.pids[member], syscall.SIGSTOP)
	}
	return syscall.Kill(d.pids[member], syscall.SIGKILL)
}

func (d *daemons) revive(ctx context.Context, member int) error {
	for _, verb := range []string{"kill", "start"} {
		if _, err := d.run(ctx, "testnet", verb, d.nodes[member], "--dir", d.dir); err != nil {
			return err
		}
	}
	pids, err := d.testnet.pids(ctx)
	d.pids = pids
	return err
}

// overheard runs body while every node's Nodes are watched, over its socket, so
// that the network carries nothing of it.
func (t *testnet) overheard(ctx context.Context, o *opinions, body func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for by, node := range t.nodes {
		all.Go(func() {
			for ctx.Err() == nil { // a watch ends when its node dies
				t.watchNodes(ctx, node, func(name string, state opinionState) {
					if of := slices.Index(t.nodes, name); of >= 0 {
						o.say(by, of, state)
					}
				})
				_ = sleep(ctx, lookEvery)
			}
		})
	}
	defer all.Wait()
	defer cancel()
	return body()
}

// watchNodes reports what a node shows of the others until that ends.
func (t *testnet) watchNodes(ctx context.Context, node string, say func(name string, state opinionState)) {
	body, err := t.open(ctx, node, "/api/v1/nodes?watch=1&resourceVersion=0")
	if err != nil {
		return
	}
	defer body.Close()
	for events := json.NewDecoder(body); ; {
		var event struct {
			Object struct {
				Metadata struct{ Name string }
				Status   struct {
					Conditions []struct{ Type, Status, Reason string }
				}
			}
		}
		if err := events.Decode(&event); err != nil {
			return
		}
		for _, c := range event.Object.Status.Conditions {
			switch {
			case c.Type == "Ready" && c.Status == "True":
				say(event.Object.Metadata.Name, alive)
			case c.Type == "Ready" && c.Reason == "NodeUnreachable":
				say(event.Object.Metadata.Name, dead)
			}
		}
	}
}
