package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
)

// noteConflicts remembers what is in conflict in a record that has changed.
func (n *Node) noteConflicts(c core.Change) {
	if found := state.Conflicts(c.Key, c.Record); len(found) > 0 {
		n.conflicts.Store(c.Key, found)
	} else {
		n.conflicts.Delete(c.Key)
	}
}

// Conflicts lists what is in conflict in this node's replica.
func (n *Node) Conflicts(context.Context) ([]api.ConflictSpec, error) {
	names := map[crdt.ReplicaID]string{}
	for _, m := range n.view.Load().Members {
		if m.Status != nil {
			names[m.Status.Replica] = m.Name
		}
	}
	version := func(v state.Version) api.Version {
		name, ok := names[v.Replica]
		if !ok {
			name = "replica " + v.Replica.String()
		}
		return api.Version{Value: v.Value, Node: name}
	}
	list := []api.ConflictSpec{}
	n.conflicts.Range(func(k, v any) bool {
		key := apiKey(k.(state.Key))
		_, kind := state.KindOf(key.Resource)
		for _, c := range v.([]state.Conflict) {
			item := api.ConflictSpec{
				Kind: kind, Resource: key.Resource, Namespace: key.Namespace, Name: key.Name, Field: c.Field,
				Winner: version(c.Winner), Losers: []api.Version{},
			}
			for _, l := range c.Losers {
				item.Losers = append(item.Losers, version(l))
			}
			list = append(list, item)
		}
		return true
	})
	slices.SortFunc(list, func(a, b api.ConflictSpec) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name), strings.Compare(a.Field, b.Field))
	})
	return list, nil
}

// Settle answers one conflict.
func (n *Node) Settle(ctx context.Context, k api.Key, field string, loser int) error {
	key := state.MakeKey(k.Resource, k.Namespace, k.Name)
	known, _ := n.conflicts.Load(key)
	found, _ := known.([]state.Conflict)
	for _, c := range found {
		if c.Field == field || c.Path == field {
			_, err := n.ask(ctx, core.Settle{Key: key, Path: c.Path, Loser: loser})
			return apiError(err)
		}
	}
	return fmt.Errorf("%w: no conflict of %s at %q", api.ErrNotFound, key, field)
}

// Compact frees what removed fields hold of an object.
func (n *Node) Compact(ctx context.Context, k api.Key, recreate bool) (string, error) {
	uid, err := newUID()
	if err != nil {
		return "", err
	}
	_, err = n.ask(ctx, core.Compact{Key: state.MakeKey(k.Resource, k.Namespace, k.Name), Recreate: recreate, NewUID: uid})
	return uid.String(), apiError(err)
}
