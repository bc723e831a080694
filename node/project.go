package node

import (
	"fmt"
	"iter"

	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
)

// project makes the cache show what a durable batch brought. Plain kinds are
// shown as they are stored; derived objects come from the core.
func (n *Node) project(changed []core.Change, derived []core.Derived) {
	var states []api.Object // Source nil: gone
	for _, c := range changed {
		if o, shown := n.follow(c); shown {
			states = append(states, o)
		}
	}
	for _, d := range derived {
		o := api.Object{Key: apiKey(d.Key), Token: d.Token}
		if d.Value != nil {
			o.Source = api.Decoded(d.Value)
		}
		states = append(states, o)
	}
	n.show(states)
}

// projectMax bounds what projectAll hands to the cache at once.
const projectMax = 1024

// projectAll shows what is stored when the node starts.
func (n *Node) projectAll(records iter.Seq[core.Change]) {
	var states []api.Object
	for c := range records {
		if o, shown := n.follow(c); shown {
			states = append(states, o)
		}
		if len(states) == projectMax {
			n.show(states)
			states = states[:0]
		}
	}
	n.show(states)
}

// follow takes note of a change. If readers see the record itself, or nothing any
// more, it says what to show.
func (n *Node) follow(c core.Change) (o api.Object, shown bool) {
	n.noteConflicts(c)
	switch c.Key.Resource() {
	case state.ConfigMaps, state.Secrets, state.PriorityClasses, state.ServiceAccounts, state.Leases,
		state.Roles, state.RoleBindings, state.ClusterRoles, state.ClusterRoleBindings, state.Revocations:
		return api.Object{Key: apiKey(c.Key), Token: c.Token, Source: n.plain(c)}, true
	case state.Deployments, state.Pods, state.StatefulSets, state.DaemonSets, state.Jobs, state.CronJobs, state.Nodes, state.Budgets,
		state.Services, state.Namespaces, state.Claims, state.Snapshots:
		if c.Record.Live() == nil {
			n.reasons.Delete(c.Key)
			return api.Object{Key: apiKey(c.Key)}, true
		}
	case state.Tokens:
		n.tokens.follow(n, c)
	case state.DataKeys, state.Members:
		n.followKeys(c)
	}
	return api.Object{}, false
}

// show hands the last state of each object to the cache.
func (n *Node) show(states []api.Object) {
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
		case states[i].Source == nil:
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

// plain shows a kind that is stored as the user wrote it, Secrets sealed; nil if it
// is gone.
func (n *Node) plain(c core.Change) api.Source {
	obj, ok, err := state.DecodeObject(c.Record)
	if err != nil {
		n.log.Warn("a record does not make an object", "key", c.Key, "error", err)
		return nil
	}
	if !ok {
		return nil
	}
	return fresh{(*shared)(c.Stored), state.AddMeta(c.Key, obj.UID.String(), obj.Value)}
}

// shared is an object that is decoded for each reader anew, so that the store's
// bytes are the only copy of it.
type shared core.Stored

// Value implements api.Source.
func (s *shared) Value(k api.Key) map[string]any {
	obj, ok, err := state.DecodeObject((*core.Stored)(s).Record())
	if err != nil || !ok {
		panic(fmt.Sprintf("node: %v makes no object any more: %v", k, err)) // it did for plain
	}
	return state.AddMeta(state.MakeKey(k.Resource, k.Namespace, k.Name), obj.UID.String(), obj.Value)
}

// Versions implements api.Versioned.
func (s *shared) Versions(k api.Key) []map[string]any {
	return state.Versions(state.MakeKey(k.Resource, k.Namespace, k.Name), (*core.Stored)(s).Record())
}

// fresh is one that was just decoded.
type fresh struct {
	*shared
	value map[string]any
}

// Value implements api.Source, and Kept api.Compact.
func (f fresh) Value(api.Key) map[string]any { return f.value }
func (f fresh) Kept() api.Source             { return f.shared }
