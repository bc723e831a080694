package main

import (
	"context"
	"fmt"
	"strings"

	"holon/crdt/state"
	"holon/node/api"
)

// original is the Deployment whose objects are shown under other names as well.
const original = "original"

// crowded is how many objects a node shows: those of Deployments of equal size on
// nodes of equal number.
type crowded struct{ deployments, replicas, nodes int }

// multiply waits until a node shows the original's pods Ready, and then has its
// cache show clones of its Node and of the original with ReplicaSet and pods, as if
// other nodes ran them. The cache holds the same as of real ones; what the core
// holds of records, slots and statuses is missing.
func (c crowded) multiply(ctx context.Context, cache *api.Cache) error {
	var family []api.Object
	err := await(ctx, func() error {
		family = family[:0]
		for _, resource := range []string{state.Deployments, state.ReplicaSets, state.Pods} {
			objects, _ := cache.List(resource, "default")
			family = append(family, objects...)
		}
		if ready := readyReplicas(cache); ready != c.replicas {
			return fmt.Errorf("%d of %d pods of the original are ready", ready, c.replicas)
		}
		return nil
	})
	if err != nil {
		return err
	}
	nodes, _ := cache.List(state.Nodes, "")
	here := nodes[0].Name
	var clones []api.Object
	for i := 1; i < c.nodes; i++ {
		clones = append(clones, cloned(nodes[0], renamed(nodes, i, here, nodeName(i))))
	}
	for i := 1; i < c.deployments; i++ {
		names := renamed(family, i, original, fmt.Sprintf("d%07d", i))
		for j, o := range family {
			clone := cloned(o, names)
			if spec, ok := clone.Value()["spec"].(map[string]any); ok && o.Resource == state.Pods {
				spec["nodeName"] = nodeName((i*len(family) + j) % c.nodes)
			}
			clones = append(clones, clone)
		}
	}
	return cache.Apply(clones, nil)
}

func nodeName(i int) string { return fmt.Sprintf("host-%03d", i) }

func readyReplicas(cache *api.Cache) int {
	o, _ := cache.Get(api.Key{Resource: state.Deployments, Namespace: "default", Name: original})
	status, _ := o.Value()["status"].(map[string]any)
	n, _ := status["readyReplicas"].(int64)
	return int(n)
}

// renamed gives the objects of one clone their names and UIDs wherever they stand.
func renamed(family []api.Object, clone int, from, to string) *strings.Replacer {
	const fresh = 8 // digits, as many as the first group of a UID
	pairs := []string{from, to}
	for _, o := range family {
		meta, _ := o.Value()["metadata"].(map[string]any)
		if uid, _ := meta["uid"].(string); len(uid) > fresh {
			pairs = append(pairs, uid, fmt.Sprintf("%0*x%s", fresh, clone, uid[fresh:]))
		}
	}
	return strings.NewReplacer(pairs...)
}

func cloned(o api.Object, names *strings.Replacer) api.Object {
	value, _ := replaced(o.Value(), names).(map[string]any)
	o.Name, o.Token, o.Source = names.Replace(o.Name), 0, api.Decoded(value)
	return o
}

// replaced is a deep copy of JSON with other texts; names of fields are shared, as a
// node's own objects share them.
func replaced(v any, names *strings.Replacer) any {
	switch v := v.(type) {
	case string:
		return names.Replace(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, field := range v {
			out[key] = replaced(field, names)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = replaced(item, names)
		}
		return out
	}
	return v
}
