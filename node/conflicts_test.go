package node

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holon/crdt/state"
	"holon/node/api"
	"holon/p2p"
)

// edit changes an object as the API does: by what differs from what the node shows.
func (m *member) edit(t *testing.T, k api.Key, change func(value map[string]any)) {
	t.Helper()
	before, ok := m.cfg.Cache.Get(k)
	if !ok {
		t.Fatalf("%s does not show %v", m.id.Name, k)
	}
	after, err := state.Unstructured(before.Value())
	if err != nil {
		t.Fatal(err)
	}
	change(after)
	uid := before.Value()["metadata"].(map[string]any)["uid"].(string)
	if _, err := m.Mutate(t.Context(), api.Mutation{Key: k, UID: uid, Old: before.Value(), New: after}); err != nil {
		t.Fatal(err)
	}
}

// Every node lists the same conflict by the names of the nodes that wrote, and any
// of them settles it for all.
func TestConflictsAreListedAndSettledOnAnyNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		k := api.Key{Resource: state.ConfigMaps, Namespace: "default", Name: "c"}
		if err := c.nodes[0].create(k.Resource, k.Name, map[string]any{"data": map[string]any{"a": "0", "b": "0"}}); err != nil {
			t.Fatal(err)
		}
		c.await("the object everywhere", func() bool {
			for _, m := range c.nodes {
				if _, ok := m.cfg.Cache.Get(k); !ok {
					return false
				}
			}
			return true
		})
		c.net.Partition([]p2p.PeerID{c.nodes[0].id.Peer()}, []p2p.PeerID{c.nodes[1].id.Peer(), c.nodes[2].id.Peer()})
		time.Sleep(5 * time.Second)
		set := func(m *member, field, value string) {
			m.edit(t, k, func(v map[string]any) { v["data"].(map[string]any)[field] = value })
		}
		set(c.nodes[0], "a", "left")
		set(c.nodes[1], "a", "right")
		set(c.nodes[1], "b", "right")
		c.net.Heal()
		conflicts := func(m *member) []api.ConflictSpec {
			list, err := m.Conflicts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		c.await("one conflict in every view", func() bool {
			for _, m := range c.nodes {
				if len(conflicts(m)) != 1 {
					return false
				}
			}
			return true
		})
		wrote := map[string]string{"n1": `"left"`, "n2": `"right"`}
		first := conflicts(c.nodes[0])[0]
		for _, m := range c.nodes {
			x := conflicts(m)[0]
			if x.Kind != "ConfigMap" || x.Field != "data.a" || len(x.Losers) != 1 || x.Winner.Node == x.Losers[0].Node ||
				wrote[x.Winner.Node] != string(x.Winner.Value) || wrote[x.Losers[0].Node] != string(x.Losers[0].Value) || x.Winner.Node != first.Winner.Node {
				t.Errorf("%s: %+v", m.id.Name, x)
			}
		}
		lost := strings.Trim(string(first.Losers[0].Value), `"`)
		if err := c.nodes[2].Settle(t.Context(), k, "data.b", 0); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("a field without a conflict: %v", err)
		}
		if err := c.nodes[2].Settle(t.Context(), k, "data.a", 1); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("a value that nobody wrote: %v", err)
		}
		if err := c.nodes[2].Settle(t.Context(), k, "data.a", 0); err != nil {
			t.Fatal(err)
		}
		c.await("the other value, and no conflict", func() bool {
			for _, m := range c.nodes {
				o, _ := m.cfg.Cache.Get(k)
				data, _ := o.Value()["data"].(map[string]any)
				if data["a"] != lost || data["b"] != "right" || len(conflicts(m)) > 0 {
					return false
				}
			}
			return true
		})
	})
}

// Two variables of one container, changed on two sides through the shells: both
// changes are there, and nothing is in conflict.
func TestListsMergeByElementThroughTheShell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.close()
		web := deployment(1)
		containerOf(web)["env"] = []any{map[string]any{"name": "A", "value": "0"}, map[string]any{"name": "B", "value": "0"}}
		k := api.Key{Resource: state.Deployments, Namespace: "default", Name: "web"}
		if err := c.nodes[0].create(k.Resource, k.Name, web); err != nil {
			t.Fatal(err)
		}
		values := func(m *member) string {
			o, ok := m.cfg.Cache.Get(k)
			if !ok {
				return ""
			}
			text := ""
			for _, e := range containerOf(o.Value())["env"].([]any) {
				e := e.(map[string]any)
				text += e["name"].(string) + "=" + e["value"].(string) + " "
			}
			return text
		}
		everywhere := func(want string) {
			t.Helper()
			c.await(want, func() bool { return values(c.nodes[0]) == want && values(c.nodes[1]) == want })
		}
		everywhere("A=0 B=0 ")
		c.net.Partition([]p2p.PeerID{c.nodes[0].id.Peer()}, []p2p.PeerID{c.nodes[1].id.Peer()})
		time.Sleep(5 * time.Second)
		for i, value := range []string{"left", "right"} {
			c.nodes[i].edit(t, k, func(v map[string]any) {
				containerOf(v)["env"].([]any)[i].(map[string]any)["value"] = value
			})
		}
		c.net.Heal()
		everywhere("A=left B=right ")
		for _, m := range c.nodes {
			if list, err := m.Conflicts(t.Context()); err != nil || len(list) > 0 {
				t.Errorf("%s: %v, %v", m.id.Name, list, err)
			}
		}
	})
}

// containerOf is the only container of a Deployment.
func containerOf(d map[string]any) map[string]any {
	template := d["spec"].(map[string]any)["template"].(map[string]any)
	return template["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
}
