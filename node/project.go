package node

import (
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
)

// project makes the cache show what a durable batch brought. Plain kinds are
// shown as they are stored; derived objects come from the core.
func (n *Node) project(changed []core.Change, derived []core.Derived) {
	var states []api.Object // Value nil: gone
	show := func(key api.Key, token uint64, value map[string]any) {
		states = append(states, api.Object{Key: key, Token: token, Value: value})
	}
	for _, c := range changed {
		n.noteConflicts(c)
		switch c.Key.Resource() {
		case state.ConfigMaps, state.Secrets, state.Namespaces: // Secrets as they are: sealed
			show(apiKey(c.Key), c.Token, n.plain(c))
		case state.Deployments, state.Pods, state.Nodes:
			if c.Record.Live() == nil {
				show(apiKey(c.Key), 0, nil)
				n.reasons.Delete(c.Key)
			}
		case state.Tokens:
			n.tokens.follow(n, c)
		case state.DataKeys, state.Members:
			n.followKeys(c)
		}
	}
	for _, d := range derived {
		show(apiKey(d.Key), d.Token, d.Value)
	}
	objects, gone := newest(states)
	if len(objects)+len(gone) == 0 {
		return
	}
	if err := n.cfg.Cache.Apply(objects, gone); err != nil {
		n.log.Error("resourceVersions could not be reserved", "error", err)
	}
}

// newest keeps the last state of each object: a batch may show one and take it
// back, or the other way round.
func newest(states []api.Object) (objects []api.Object, gone []api.Key) {
	last := make(map[api.Key]int, len(states))
	for i := range states {
		last[states[i].Key] = i
	}
	for i := range states {
		switch {
		case last[states[i].Key] != i:
		case states[i].Value == nil:
			gone = append(gone, states[i].Key)
		default:
			objects = append(objects, states[i])
		}
	}
	return objects, gone
}

func apiKey(k state.Key) api.Key {
	resource, namespace, name := k.Split()
	return api.Key{Resource: resource, Namespace: namespace, Name: name}
}

// plain shows a kind that is stored as the user wrote it; nil if it is gone.
func (n *Node) plain(c core.Change) map[string]any {
	obj, ok, err := state.DecodeObject(c.Record)
	if err != nil {
		n.log.Warn("a record does not make an object", "key", c.Key, "error", err)
		return nil
	}
	if !ok {
		return nil
	}
	value := state.WithMeta(c.Key, obj.UID.String(), obj.Value)
	if c.Key.Resource() == state.Namespaces {
		value["status"] = map[string]any{"phase": "Active"}
	}
	return value
}
