package main

import (
	"context"
	"fmt"
	"time"

	"holon/crdt/state"
	"holon/node/api"
)

// assignments is the store's half of P12: bare pods are submitted to one of three
// nodes, 100 at once, and count when every node's cache shows where they go, from
// records that are durable. What placing costs among 5,000 nodes is the
// scheduler's half.
func assignments(ctx context.Context, b *bench) error {
	total := b.scaled(3000, 300)
	for range b.rounds {
		keys, err := ownBatches(ctx, total)
		if err != nil {
			return err
		}
		pods, err := b.assigned(ctx, total)
		if err != nil {
			return err
		}
		b.figure("P12", fmt.Sprintf("%d pods submitted, until assigned on all, N=3", total), "/s", "own P4, as many keys", atLeast(">= 0.5x", 0.5)).add(pods, keys)
	}
	return nil
}

func (b *bench) assigned(ctx context.Context, total int) (rate float64, err error) {
	err = withParts(ctx, 3, smallValue, func(p *parts) error {
		if err := sleep(ctx, 4*time.Second); err != nil { // a booting node plans nothing for 3 s
			return err
		}
		began := time.Now()
		err := sideBySide(ctx, batchSize, total, func(ctx context.Context, i int) error {
			_, err := p.nodes[0].Mutate(ctx, api.Mutation{
				Key: api.Key{Resource: state.Pods, Namespace: "default", Name: fmt.Sprintf("p%06d", i)},
				New: map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "app", "image": "app", "command": []any{"run"}}}}},
			})
			return err
		})
		if err != nil {
			return err
		}
		for i, n := range p.nodes {
			err := await(ctx, func() error {
				if have := assignedPods(n.cache); have < total {
					return fmt.Errorf("node %d shows %d of %d pods assigned", i, have, total)
				}
				return nil
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

func assignedPods(c *api.Cache) int {
	pods, _ := c.List(state.Pods, "default")
	count := 0
	for _, p := range pods {
		spec, _ := p.Value()["spec"].(map[string]any)
		if node, _ := spec["nodeName"].(string); node != "" {
			count++
		}
	}
	return count
}
