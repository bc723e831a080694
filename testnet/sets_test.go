package testnet

import (
	"testing"
	"time"

	"holon/crdt/state"
)

// setsPlayed is how many histories TestSets plays of each kind: each of what they are
// about happens in some of them.
const setsPlayed = 12

// TestSets plays histories with StatefulSets and DaemonSets.
func TestSets(t *testing.T) {
	total := playKinds(t, setsPlayed, "sets", "sets-split", "sets-and-policies")
	if c := &total; c.Relabels == 0 || c.OrderedStarts == 0 || c.SetTwice == 0 {
		t.Errorf("something never happened: %+v", total)
	}
}

// A slot of a set waits for word of whoever comes in sight. As long as nothing of it was
// ordered, as its ConfigMap is missing, there is nothing to stop meanwhile, and the user is
// not told that anything is.
func TestNothingIsStoppedThatNeverBegan(t *testing.T) {
	s, set := newStage(t, 3), state.MakeKey(state.StatefulSets, "default", "db")
	s.put(s.node(1), set, map[string]any{"spec": map[string]any{"replicas": int64(1), "template": map[string]any{
		"spec": map[string]any{"containers": []any{map[string]any{"name": "app", "image": "db", "envFrom": []any{
			map[string]any{"configMapRef": map[string]any{"name": "late"}},
		}}}},
	}}})
	s.within(5*time.Second, "a pod that cannot begin", func() bool { return s.said("CreateContainerConfigError") == 1 })
	s.split([]int{1}, []int{2}, []int{3})
	s.Run(5 * time.Second)
	s.net.heal()
	s.within(5*time.Second, "the pod waits, and cannot begin again", func() bool { return s.said("CreateContainerConfigError") == 2 })
	s.put(s.node(1), configMap("late"), map[string]any{"data": map[string]any{"at": "last"}})
	s.within(time.Minute, "it runs", s.whole(set, 1))
	for _, n := range s.nodes {
		if len(n.stopped) > 0 {
			t.Errorf("%s was to stop %v", n.name, n.stopped)
		}
	}
	if s.said("Killing") > 0 {
		t.Error("somebody said so")
	}
}

// said counts what was said for a reason.
func (s *stage) said(reason string) (count int) {
	for _, f := range s.facts.list {
		if f.Reason == reason {
			count++
		}
	}
	return count
}
