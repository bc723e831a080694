package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
)

// Evict has the slot behind a pod run elsewhere.
func (n *Node) Evict(ctx context.Context, namespace, name string, dryRun bool) error {
	pod, err := n.pod(namespace, name)
	if err != nil {
		return err
	}
	slot, err := state.ParseSlotID(pod.slot)
	if err != nil {
		return err
	}
	_, err = n.ask(ctx, core.Evict{Slot: slot, Node: pod.node, DryRun: dryRun})
	return evictionError(err)
}

// evictionError gives the API's word for what the core says of an eviction.
func evictionError(err error) error {
	var budget *core.BudgetError
	if errors.As(err, &budget) {
		_, _, name := budget.Budget.Split()
		return &api.BudgetError{Budget: name, Needs: budget.Needs, Has: budget.Has}
	}
	for from, to := range map[error]error{core.ErrStays: api.ErrStays, core.ErrTwice: api.ErrTwice} {
		if errors.Is(err, from) {
			return fmt.Errorf("%w: %s", to, strings.TrimPrefix(err.Error(), from.Error()+": "))
		}
	}
	return apiError(err)
}

// Rebalance moves homes to emptier nodes, or says which it would.
func (n *Node) Rebalance(ctx context.Context, most int, dryRun bool) (api.Rebalanced, error) {
	ack, err := n.ask(ctx, core.Rebalance{Max: most, DryRun: dryRun})
	answer := api.Rebalanced{Node: n.cfg.Identity.Name, DryRun: dryRun, Moves: []api.Move{}}
	for _, m := range ack.Moves {
		resource, namespace, name := m.Key.Split()
		_, kind := state.KindOf(resource)
		answer.Moves = append(answer.Moves, api.Move{Kind: kind, Namespace: namespace, Name: name, Slot: m.Slot, From: m.From, To: m.To, Why: m.Why})
	}
	return answer, evictionError(err)
}

// WhatIf says what would become of slots without nodes.
func (n *Node) WhatIf(ctx context.Context, lose []string) (api.WhatIf, error) {
	ack, err := n.ask(ctx, core.WhatIf{Lose: lose})
	if err != nil {
		return api.WhatIf{}, evictionError(err)
	}
	answer := api.WhatIf{Node: n.cfg.Identity.Name, Lose: lose, Majority: ack.Fates.Majority, Fits: true, Slots: []api.Fate{}}
	for _, f := range ack.Fates.Slots {
		resource, namespace, name := f.Key.Split()
		_, kind := state.KindOf(resource)
		answer.Fits = answer.Fits && f.To != ""
		answer.Slots = append(answer.Slots, api.Fate{
			Kind: kind, Namespace: namespace, Name: name, Slot: f.Slot, From: f.From, To: f.To, StandIn: f.To != "" && !f.Home, State: f.State, Why: f.Why,
		})
	}
	return answer, nil
}
