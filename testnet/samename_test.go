package testnet

import (
	"fmt"
	"testing"
	"time"

	"holon/crdt/state"
	"holon/node/core"
)

// ConfigMaps of one name from two sides: what the younger one said can be taken on
// any node; two that say the same are one at once, and stay one when it is edited.
func TestConfigMapsOfOneName(t *testing.T) {
	s := newStage(t, 4)
	value := func(v string) map[string]any { return map[string]any{"data": map[string]any{"k": v}} }
	s.split([]int{1, 2}, []int{3, 4})
	s.Run(5 * time.Second)
	s.put(s.node(1), configMap("same"), value("x"))
	s.put(s.node(1), configMap("other"), value("older"))
	s.Run(time.Second)
	s.put(s.node(3), configMap("later"), value("x")) // Lamport time goes on
	s.put(s.node(3), configMap("later"), value("y"))
	s.put(s.node(3), configMap("later"), value("z"))
	s.put(s.node(3), configMap("same"), value("x"))
	s.put(s.node(3), configMap("other"), value("younger"))
	s.net.heal()
	everywhere := func(what string, ok func(n *Node) bool) {
		t.Helper()
		s.within(10*time.Second, what, func() bool {
			for _, n := range s.nodes {
				if !ok(n) {
					return false
				}
			}
			return true
		})
	}
	everywhere("one conflict", func(n *Node) bool {
		c := state.Conflicts(configMap("other"), n.seen[configMap("other")])
		return len(c) == 1 && n.register(configMap("other"), "/data/k") == `"older"`
	})
	everywhere("one of the two that are the same", func(n *Node) bool {
		rec, alive := n.seen[configMap("same")], 0
		for _, o := range rec.Objects {
			if o.Dead == nil {
				alive++
			}
		}
		return len(rec.Objects) == 2 && alive == 1
	})
	s.put(s.node(2), configMap("same"), value("edited"))
	conflict := state.Conflicts(configMap("other"), s.node(4).seen[configMap("other")])[0]
	s.ask(s.node(4), core.Settle{Key: configMap("other"), Path: conflict.Path, Loser: 0})
	everywhere("what was taken, and no conflict", func(n *Node) bool {
		return n.register(configMap("other"), "/data/k") == `"younger"` && n.register(configMap("same"), "/data/k") == `"edited"` &&
			len(state.Conflicts(configMap("other"), n.seen[configMap("other")]))+len(state.Conflicts(configMap("same"), n.seen[configMap("same")])) == 0
	})
}

// A merge of thousands of fields does not drown what else was said.
func TestManyConflictsAreSaidInFewWords(t *testing.T) {
	s := newStage(t, 2)
	fields := func(v string) map[string]any {
		data := map[string]any{}
		for i := range 100 {
			data[fmt.Sprint("k", i)] = v
		}
		return map[string]any{"data": data}
	}
	c := configMap("c")
	s.put(s.node(1), c, fields("0"))
	s.Run(time.Second)
	s.split([]int{1}, []int{2})
	s.Run(5 * time.Second)
	s.put(s.node(1), c, fields("1"))
	s.put(s.node(2), c, fields("2"))
	s.net.heal()
	s.within(10*time.Second, "all conflicts on both sides", func() bool {
		return len(state.Conflicts(c, s.node(1).seen[c])) == 100 && len(state.Conflicts(c, s.node(2).seen[c])) == 100
	})
	said := map[string]int{}
	for _, f := range s.facts.list {
		if f.Reason == "FieldConflict" {
			said[f.node]++
		}
	}
	for node, n := range said {
		if n > 10 {
			t.Errorf("%s said %d things", node, n)
		}
	}
	if len(said) == 0 {
		t.Error("nobody said anything")
	}
}
