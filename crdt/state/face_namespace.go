package state

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"holon/crdt"
)

// Remains says what is left in a namespace that is being deleted, in Kubernetes' words.
type Remains struct{ Content, Finalizers string }

// RemainsOf counts what is left, by kind, and what holds it, by finalizer.
func RemainsOf(lives map[Key]Life) (r Remains) {
	kinds, holders := map[string]int{}, map[string]int{}
	for key, life := range lives {
		kinds[key.Resource()]++
		for _, f := range life.Finalizers {
			holders[f]++
		}
	}
	if len(kinds) > 0 {
		r.Content = "Some resources are remaining: " + counts(kinds, "%s has %d resource instances")
	}
	if len(holders) > 0 {
		r.Finalizers = "Some content in the namespace has finalizers remaining: " + counts(holders, "%s in %d resource instances")
	}
	return r
}

func counts(of map[string]int, format string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprintf(format, name, of[name]))
	}
	return strings.Join(parts, ", ")
}

// NamespaceFace is the Namespace that a record holds; nil if it holds none.
func NamespaceFace(key Key, rec *crdt.Record, left Remains) (map[string]any, error) {
	obj, ok, err := DecodeObject(rec)
	if err != nil || !ok {
		return nil, err
	}
	value := AddMeta(key, obj.UID.String(), obj.Value)
	if !LifeOf(rec.Live()).Deleting {
		value["status"] = map[string]any{"phase": "Active"}
		return value, nil
	}
	value["status"] = map[string]any{"phase": "Terminating", "conditions": []any{
		condition("NamespaceContentRemaining", left.Content != "", pick(left.Content, "SomeResourcesRemain", "ContentRemoved"), pick(left.Content, left.Content, "All content successfully removed")),
		condition("NamespaceFinalizersRemaining", left.Finalizers != "", pick(left.Finalizers, "SomeFinalizersRemain", "ContentHasNoFinalizers"), pick(left.Finalizers, left.Finalizers, "All content-preserving finalizers finished")),
	}}
	return value, nil
}

// pick is one of two words, by whether there is something.
func pick(something, yes, no string) string {
	if something != "" {
		return yes
	}
	return no
}
