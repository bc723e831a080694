package node

import (
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
)

// project makes the cache show what a durable batch brought. Plain kinds are
// shown as they are stored; derived objects come from the core.
func (n *Node) project(changed []core.Change, derived []core.Derived) {
	var objects []api.Object
	var gone []api.Key
	show := func(key api.Key, token uint64, value map[string]any) {
		if value == nil {
			gone = append(gone, key)
			return
		}
		objects = append(objects, api.Object{Key: key, Token: token, Value: value})
	}
	for _, c := range changed {
		switch c.Key.Resource() {
		case state.ConfigMaps, state.Namespaces:
			show(apiKey(c.Key), c.Token, n.plain(c))
		case state.Deployments, state.Pods, state.Nodes:
			if c.Record.Live() == nil {
				gone = append(gone, apiKey(c.Key))
				n.reasons.Delete(c.Key)
			}
		case state.Tokens:
			n.tokens.follow(n, c)
		}
	}
	for _, d := range derived {
		show(apiKey(d.Key), d.Token, d.Value)
	}
	if len(objects)+len(gone) == 0 {
		return
	}
	// Within a batch the newest state of an object counts, and a deletion only if
	// nothing came after it.
	if err := n.cfg.Cache.Apply(newest(objects), without(gone, objects)); err != nil {
		n.log.Error("resourceVersions could not be reserved", "error", err)
	}
}

func newest(objects []api.Object) []api.Object {
	last := make(map[api.Key]int, len(objects))
	for i := range objects {
		last[objects[i].Key] = i
	}
	kept := objects[:0:0]
	for i := range objects {
		if last[objects[i].Key] == i {
			kept = append(kept, objects[i])
		}
	}
	return kept
}

func without(gone []api.Key, objects []api.Object) []api.Key {
	there := make(map[api.Key]bool, len(objects))
	for i := range objects {
		there[objects[i].Key] = true
	}
	kept := gone[:0:0]
	for _, key := range gone {
		if !there[key] {
			kept = append(kept, key)
		}
	}
	return kept
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
