package node

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"holon/crdt/state"
)

// configs lists what a node shows, as name=value.
func (m *member) configs() []string {
	objects, _ := m.cfg.Cache.List(state.ConfigMaps, "default")
	var all []string
	for _, o := range objects {
		data, _ := o.Value()["data"].(map[string]any)
		all = append(all, fmt.Sprint(o.Name, "=", data["k"]))
	}
	return all
}

func (m *member) config(name, value string) {
	m.c.t.Helper()
	if err := m.create(state.ConfigMaps, name, map[string]any{"data": map[string]any{"k": value}}); err != nil {
		m.c.t.Fatal(err)
	}
}

// awaitConfigs waits until every node shows the same count of ConfigMaps.
func (c *cluster) awaitConfigs(count int) {
	c.t.Helper()
	c.await(fmt.Sprintf("every node shows the same %d ConfigMaps", count), func() bool {
		want := c.nodes[0].configs()
		return len(want) == count && !slices.ContainsFunc(c.nodes, func(m *member) bool { return !slices.Equal(m.configs(), want) })
	})
}

// A data directory is spoiled by hand between two lives of its node, while the
// cluster goes on. Afterwards the node is another replica and says so, and every
// node has every write: those that the spoiled directory had lost, those that
// the others made meanwhile, those made after. Taking the old replica ID for
// good leaves the first kind missing for ever.
func TestASpoiledDataDirectoryHeals(t *testing.T) {
	mark := func(m *member) string { return filepath.Join(m.dir, MarkFile) }
	for name, spoil := range map[string]func(t *testing.T, m *member, old map[string][]byte){
		"old state put back":      func(_ *testing.T, m *member, old map[string][]byte) { m.disk.pairs = old },
		"cloned to a new machine": func(_ *testing.T, m *member, _ map[string][]byte) { m.machine = Machine{"machine-id": "elsewhere"} },
		"old state on a clone": func(_ *testing.T, m *member, old map[string][]byte) {
			m.disk.pairs, m.machine = old, Machine{"machine-id": "elsewhere"}
		},
		"mark deleted": func(t *testing.T, m *member, _ map[string][]byte) { must(t, os.Remove(mark(m))) },
		"mark damaged": func(t *testing.T, m *member, _ map[string][]byte) {
			must(t, os.WriteFile(mark(m), []byte("holon"), 0o600))
		},
		"old state without a mark": func(t *testing.T, m *member, old map[string][]byte) { m.disk.pairs = old; must(t, os.Remove(mark(m))) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				defer c.close()
				n := c.nodes[0]
				for i := range 5 {
					n.config(fmt.Sprint("early-", i), "v")
				}
				c.awaitConfigs(5)
				old := maps.Clone(n.disk.pairs)
				for i := range 20 { // within the block of counters that is reserved
					n.config(fmt.Sprint("late-", i), "v")
				}
				c.awaitConfigs(25)
				before := n.cfg.Core.Replica
				n.down()
				c.nodes[1].config("meanwhile", "v")
				spoil(t, n, old)
				n.up()
				if after := n.cfg.Core; after.Replica == before || after.Former != before || after.Doubt == "" {
					t.Errorf("after %v: %v, formerly %v, doubt %q", before, after.Replica, after.Former, after.Doubt)
				}
				c.awaitConfigs(26)
				for i := range 20 {
					n.config(fmt.Sprint("after-", i), "v")
				}
				c.awaitConfigs(46)
				c.await("its peers take its word for its state", func() bool { return c.nodes[1].readyNodes() == 3 })
				n.wantEvent("ReplicaReplaced", "nothing needs to be done")
				n.down()
				n.up()
				if n.cfg.Core.Doubt != "" {
					t.Errorf("the next boot is in doubt too: %s", n.cfg.Core.Doubt)
				}
				c.awaitConfigs(46)
			})
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *member) wantEvent(reason, says string) {
	m.c.t.Helper()
	for _, e := range m.ring.list(m.now(), "") {
		if e["reason"] == reason && strings.Contains(fmt.Sprint(e["message"]), says) {
			return
		}
	}
	m.c.t.Errorf("no Event %s that says %q", reason, says)
}

// A database that is gone makes a new replica and no doubt; the node's word still
// counts, because the mark knows how often it has booted, and it finds its peers,
// also if it made the cluster and nobody let it in.
func TestALostDatabaseIsNoDoubt(t *testing.T) {
	for i, who := range []string{"the founder", "another"} {
		t.Run(who, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				defer c.close()
				n := c.nodes[i]
				for range 5 {
					n.down()
					n.up()
				}
				n.config("a", "v")
				c.awaitConfigs(1)
				before := n.cfg.Core
				n.down()
				n.disk.pairs = map[string][]byte{}
				n.up()
				if after := n.cfg.Core; after.Doubt != "" || after.Replica == before.Replica || after.Epoch <= before.Epoch {
					t.Errorf("before %v in epoch %d, now %v in epoch %d, doubt %q", before.Replica, before.Epoch, after.Replica, after.Epoch, after.Doubt)
				}
				c.awaitConfigs(1)
				c.await("all see all ready", func() bool { return n.readyNodes() == 3 && c.nodes[2].readyNodes() == 3 })
			})
		})
	}
}
