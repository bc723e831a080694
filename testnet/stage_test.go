package testnet

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/core"
	"holon/runtime"
)

// stage is a quiet world for a test that says what happens itself.
type stage struct {
	*World
	t *testing.T
}

func newStage(t *testing.T, nodes int) *stage {
	t.Helper()
	s := &stage{t: t, World: New(Config{Seed: 7, Nodes: nodes, DelayMax: 2 * time.Millisecond, SyncMax: 2 * time.Millisecond})}
	s.facts.keep = true
	s.Run(5 * time.Second)
	t.Cleanup(func() {
		for _, bad := range s.Violations() {
			t.Error(bad)
		}
		if t.Failed() {
			t.Log(s.Dump())
		}
	})
	return s
}

func (s *stage) node(i int) *Node { return s.nodes[i-1] }

// within runs until ok holds and fails if it does not in time; each step is seen.
func (s *stage) within(d time.Duration, what string, ok func() bool) time.Duration {
	s.t.Helper()
	begin := s.now
	for !ok() {
		if s.now-begin >= d {
			s.t.Fatalf("%s: not within %v\n%s", what, d, s.table())
		}
		s.Run(10 * time.Millisecond)
	}
	return s.now - begin
}

// always runs for d and fails at the first step at which ok does not hold.
func (s *stage) always(d time.Duration, what string, ok func() bool) {
	s.t.Helper()
	for end := s.now + d; s.now < end; s.Run(10 * time.Millisecond) {
		if !ok() {
			s.t.Fatalf("%s: not so at %v\n%s", what, s.now-time.Hour, s.table())
		}
	}
}

// split puts the nodes on sides; those not named are alone on the last one.
func (s *stage) split(sides ...[]int) {
	s.reach.note()
	for i := range s.net.side {
		s.net.side[i] = len(sides)
	}
	for side, nodes := range sides {
		for _, i := range nodes {
			s.net.side[i-1] = side
		}
	}
	s.net.cutApart()
}

func deployment(name string) state.Key { return state.MakeKey(state.Deployments, "default", name) }

// deploy creates or changes a Deployment; spec is what its spec holds besides
// the template, image that of its only container.
func (s *stage) deploy(n *Node, name, image string, spec map[string]any) {
	s.t.Helper()
	whole := map[string]any{"template": map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"app": name}},
		"spec": map[string]any{"containers": []any{map[string]any{
			"name": "app", "image": image, "resources": map[string]any{"requests": map[string]any{"cpu": "100m"}},
		}}},
	}}
	for k, v := range spec {
		whole[k] = v
	}
	s.put(n, deployment(name), map[string]any{"spec": whole})
}

// put writes an object and waits for the acknowledgement. Its UID follows from
// where it is made: the same node schedules it whatever else the world does.
func (s *stage) put(n *Node, key state.Key, value map[string]any) {
	s.t.Helper()
	acked := s.Counts.Acked
	n.putAs(state.DerivedUID("stage", string(key), n.name), key, value)
	s.within(time.Second, "acknowledgement of "+string(key), func() bool { return s.Counts.Acked > acked })
}

func (s *stage) ask(n *Node, op core.Op) {
	s.t.Helper()
	answered := false
	n.ask(op, func(ack core.Ack) {
		answered = true
		if ack.Err != nil {
			s.t.Fatalf("%s refuses %T: %v", n.name, op, ack.Err)
		}
	})
	s.within(time.Second, fmt.Sprintf("answer to %T", op), func() bool { return answered })
}

// live is a pod whose containers all run.
type live struct {
	node *Node
	slot state.SlotID
	runtime.Status
}

// running lists the whole pods of a workload on every host, by slot and node.
func (s *stage) running(key state.Key) []live { return s.runningSlots(s.uid(key)) }

// runningSlots is running by the UID that a workload's slots go by.
func (s *stage) runningSlots(uid crdt.UID) []live {
	var found []live
	for _, n := range s.nodes {
		for _, p := range n.host.Statuses(s.now) {
			id, err := state.ParseSlotID(p.Slot)
			whole := err == nil && len(p.Containers) > 0
			for _, c := range p.Containers {
				whole = whole && c.State == runtime.Running
			}
			if whole && id.Workload == uid {
				found = append(found, live{n, id, p})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b live) int { return a.slot.Index - b.slot.Index })
	return found
}

// uid is that of the live object under a key, as the first live node knows it.
func (s *stage) uid(key state.Key) crdt.UID {
	for _, n := range s.nodes {
		if n.up && n.seen[key].Live() != nil {
			return n.seen[key].Live().UID
		}
	}
	return crdt.UID{}
}

// whole reports whether slots 0..n-1 of a workload run exactly once each.
func (s *stage) whole(key state.Key, n int) func() bool {
	return func() bool {
		found := s.running(key)
		for i := range found {
			if found[i].slot.Index != i {
				return false
			}
		}
		return len(found) == n
	}
}

// slot is a slot as a node knows it.
func (s *stage) slot(n *Node, key state.Key, index int) state.Slot {
	name := state.SlotKey("default", state.SlotID{Workload: s.uid(key), Index: index})
	slot, _, err := state.DecodeSlot(name, n.seen[name])
	if err != nil {
		s.t.Fatal(err)
	}
	return slot
}

// register reads a register of a live object.
func (n *Node) register(key state.Key, path string) string {
	if live := n.seen[key].Live(); live != nil {
		return string(live.Registers[path].Value)
	}
	return ""
}
