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
