package node

import (
	"fmt"
	"sync"
	"time"

	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
)

// Bounds of the ring of Events (class E): never a record, asked for.
const (
	ringMax    = 1000
	ringAgeMax = time.Hour // by this node's own monotonic clock
)

// ring keeps the newest Events of this node.
type ring struct {
	mu     sync.Mutex
	next   uint64
	events []event
}

type event struct {
	at    core.Instant // of the last occurrence
	value map[string]any
	same  string
	count int64
}

// journal makes a log line and an Event of a fact.
func (n *Node) journal(f core.Fact) {
	log := n.log.Info
	if f.Warning {
		log = n.log.Warn
	}
	log(f.Message, "reason", f.Reason, "about", string(f.About))
	n.ring.add(n.now(), n.cfg.Identity.Name, f, n.involved(f.About))
}

// involved refers to what a fact is about: an object of the API, or this node.
func (n *Node) involved(about state.Key) map[string]any {
	resource, namespace, name := about.Split()
	apiVersion, kind := state.KindOf(resource)
	if kind == "" {
		apiVersion, kind = state.KindOf(state.Nodes)
		resource, namespace, name = state.Nodes, "", n.cfg.Identity.Name
	}
	ref := map[string]any{"apiVersion": apiVersion, "kind": kind, "namespace": namespace, "name": name}
	if o, ok := n.cfg.Cache.Get(api.Key{Resource: resource, Namespace: namespace, Name: name}); ok {
		meta, _ := o.Value()["metadata"].(map[string]any)
		if uid, ok := meta["uid"].(string); ok {
			ref["uid"] = uid
		}
	}
	return ref
}

func (r *ring) add(now core.Instant, node string, f core.Fact, involved map[string]any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wall := time.Now().UTC().Format(time.RFC3339)
	same := fmt.Sprint(f.About, f.Reason, f.Message)
	for i := len(r.events) - 1; i >= 0 && i >= len(r.events)-64; i-- {
		if e := &r.events[i]; e.same == same {
			e.count++
			e.at = now
			value := copyOf(e.value)
			value["count"], value["lastTimestamp"] = e.count, wall
			e.value = value
			return
		}
	}
	r.next++
	r.events = append(r.events, event{at: now, same: same, count: 1, value: eventValue(node, r.next, f, involved, wall)})
	if len(r.events) > ringMax {
		r.events = append(r.events[:0:0], r.events[len(r.events)-ringMax:]...)
	}
}

func copyOf(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func eventValue(node string, n uint64, f core.Fact, involved map[string]any, wall string) map[string]any {
	home, name := involved["namespace"], involved["name"]
	if home == "" {
		home = "default"
	}
	level := "Normal"
	if f.Warning {
		level = "Warning"
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Event",
		"metadata": map[string]any{
			"name": fmt.Sprintf("%s.%s.%d", name, node, n), "namespace": home, "creationTimestamp": wall,
			"uid": state.DerivedUID("event", node, fmt.Sprint(n), wall).String(),
		},
		"involvedObject": involved,
		"reason":         f.Reason, "message": f.Message, "type": level, "count": int64(1),
		"firstTimestamp": wall, "lastTimestamp": wall,
		"source":             map[string]any{"component": "holon", "host": node},
		"reportingComponent": "holon", "reportingInstance": node,
	}
}

// list gives the Events of a namespace (all if empty), oldest first.
func (r *ring) list(now core.Instant, namespace string) []map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []map[string]any
	oldest := now - ringAgeMax
	for _, e := range r.events {
		meta := e.value["metadata"].(map[string]any)
		if e.at >= oldest && (namespace == "" || meta["namespace"] == namespace) {
			found = append(found, e.value)
		}
	}
	return found
}
