package api

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holon/crdt/state"
)

// given are the objects that are there because their namespace is: programs written for
// Kubernetes take them for granted. They are derived on each node and never stored,
// unless somebody writes one: then his is shown.
type given struct {
	Resource, Name string
	only           string // the namespace that has it; empty: each
	value          func(ca []byte) map[string]any
}

var givens = []given{
	{ServiceAccounts, state.DefaultAccount, "", func([]byte) map[string]any {
		return map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{}}
	}},
	{ConfigMaps, state.RootCA, "", func(ca []byte) map[string]any {
		return map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{state.RootCAKey: string(ca)},
			"metadata": map[string]any{"annotations": map[string]any{
				"kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver, as an answer of any node of the cluster.",
			}},
		}
	}},
	{Services, "kubernetes", metav1.NamespaceDefault, func([]byte) map[string]any {
		return map[string]any{
			"apiVersion": "v1", "kind": "Service",
			"metadata": map[string]any{"labels": map[string]any{"component": "apiserver", "provider": "kubernetes"}},
			"spec": map[string]any{
				"type": "ClusterIP", "sessionAffinity": "None",
				"ports": []any{map[string]any{"name": "https", "port": int64(443), "targetPort": int64(6443), "protocol": "TCP"}},
			},
			"status": map[string]any{"loadBalancer": map[string]any{}},
		}
	}},
}

// givenOf finds what is given under a key.
func givenOf(k Key) *given {
	for i := range givens {
		g := &givens[i]
		if g.Resource == k.Resource && g.Name == k.Name && (g.only == "" || g.only == k.Namespace) {
			return g
		}
	}
	return nil
}

// isGiven tells a given object from one that somebody stored under its name.
func (o *Object) isGiven() bool { return o.Token == 0 && givenOf(o.Key) != nil }

// in is the object of a namespace, alike on every node. One that was deleted comes back
// as another: round, if not 0, tells it from those before.
func (g *given) in(namespace Object, ca []byte, round uint64) Object {
	value := g.value(ca)
	meta := value["metadata"].(map[string]any)
	parts := []string{"given", uidOf(namespace.Value()), g.Resource, g.Name}
	if round > 0 {
		parts = append(parts, fmt.Sprint(round))
	}
	meta["name"], meta["namespace"], meta["uid"] = g.Name, namespace.Name, state.DerivedUID(parts...).String()
	if born := metaString(namespace.Value(), "creationTimestamp"); born != "" {
		meta["creationTimestamp"] = born
	}
	return Object{Key: Key{g.Resource, namespace.Name, g.Name}, Source: Decoded(value)}
}

// Give has the cache show what is given in each namespace from now on; ca is what
// clients trust.
func (c *Cache) Give(ca []byte) error {
	return c.change(func(w *writing) {
		c.gives, c.ca = true, ca
		w.put(localClass())
		for _, o := range c.current.Load().list(Namespaces, "") {
			w.completeNamespace(o.Name, nil)
		}
	})
}

// complete follows the changes of one step with those of what is given.
func (w *writing) complete() {
	var namespaces []string
	taken := map[Key]bool{} // given objects that this step has removed
	for _, ch := range w.changes {
		switch k := ch.Object.Key; {
		case k.Resource == Namespaces:
			namespaces = append(namespaces, k.Name)
			if ch.Type == Deleted {
				w.withdraw(k.Name)
			}
		case givenOf(k) != nil:
			namespaces = append(namespaces, k.Namespace)
			taken[k] = taken[k] || ch.Type == Deleted && ch.Object.isGiven()
		}
	}
	for _, name := range namespaces {
		w.completeNamespace(name, taken)
	}
}

// withdraw takes back what was given in a namespace.
func (w *writing) withdraw(name string) {
	for _, g := range givens {
		if o := w.find(Key{g.Resource, name, g.Name}); o != nil && o.isGiven() {
			w.remove(o.Key)
		}
	}
}

// completeNamespace shows what is given in a namespace where nobody stored it.
func (w *writing) completeNamespace(name string, taken map[Key]bool) {
	namespace := w.find(Key{Resource: Namespaces, Name: name})
	if namespace == nil {
		return
	}
	for i := range givens {
		g := &givens[i]
		key := Key{g.Resource, name, g.Name}
		if givenOf(key) == nil || w.find(key) != nil {
			continue
		}
		round := uint64(0)
		if taken[key] {
			round = w.cache.counter
		}
		w.put(g.in(*namespace, w.cache.ca, round))
	}
}
