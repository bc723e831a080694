package testnet

import (
	"fmt"
	"testing"
	"time"

	"holon/crdt/state"
	"holon/scheduler"
)

func configMap(name string) state.Key { return state.MakeKey(state.ConfigMaps, "default", name) }

// Every node alone accepts a write, and after a power cut of all of them and a
// heal everybody has all five.
func TestEachNodeAloneAcceptsWrites(t *testing.T) {
	s := newStage(t, 5)
	s.split([]int{1}, []int{2}, []int{3}, []int{4}, []int{5})
	s.Run(6 * time.Second)
	for i := 1; i <= 5; i++ {
		s.put(s.node(i), configMap(fmt.Sprint("c", i)), map[string]any{"data": map[string]any{"by": fmt.Sprint(i)}})
	}
	for i := 1; i <= 5; i++ {
		s.crash(s.node(i), true)
	}
	s.Run(time.Second)
	s.net.heal()
	for i := 1; i <= 5; i++ {
		s.node(i).start()
	}
	s.within(10*time.Second, "five writes on five nodes", func() bool {
		for i := 1; i <= 5; i++ {
			for j := 1; j <= 5; j++ {
				if s.node(j).register(configMap(fmt.Sprint("c", i)), "/data/by") != fmt.Sprintf("%q", fmt.Sprint(i)) {
					return false
				}
			}
		}
		return true
	})
}

// The scheduler of a workload loses its power, and with it one of the pods: the
// replacement runs within four seconds.
func TestSchedulerLost(t *testing.T) {
	s := newStage(t, 5)
	s.deploy(s.node(1), "web", "web", map[string]any{"replicas": int64(5)})
	s.within(5*time.Second, "five pods", s.whole(deployment("web"), 5))
	s.Run(time.Second)
	first := scheduler.Order(s.uid(deployment("web")), []string{"n1", "n2", "n3", "n4", "n5"})[0]
	for _, n := range s.nodes {
		if n.name == first {
			s.crash(n, true)
		}
	}
	took := s.within(4*time.Second, "replacement", s.whole(deployment("web"), 5))
	t.Logf("%s lost its power; five pods run again after %v", first, took)
}

// Three nodes and two are edited differently while they are apart. Both edits
// survive, the wanted replicas run once each, and what ran before runs on.
func TestSplitEditHeal(t *testing.T) {
	s := newStage(t, 5)
	web := deployment("web")
	s.deploy(s.node(1), "web", "web", map[string]any{"replicas": int64(4)})
	s.within(5*time.Second, "four pods", s.whole(web, 4))
	before := s.running(web)
	s.split([]int{1, 2, 3}, []int{4, 5})
	s.Run(5 * time.Second)
	s.put(s.node(1), web, map[string]any{"spec": map[string]any{"replicas": int64(6)}})
	s.put(s.node(5), web, map[string]any{"metadata": map[string]any{"annotations": map[string]any{"team": "blue"}}})
	s.Run(10 * time.Second)
	s.net.heal()
	s.within(10*time.Second, "six pods", s.whole(web, 6))
	s.Run(5 * time.Second)
	for _, n := range s.nodes {
		if n.register(web, "/spec/replicas") != "6" || n.register(web, "/metadata/annotations/team") != `"blue"` {
			t.Errorf("%s: replicas %s, team %s", n.name, n.register(web, "/spec/replicas"), n.register(web, "/metadata/annotations/team"))
		}
	}
	for i, after := range s.running(web)[:4] {
		if b := before[i]; after.node != b.node || after.Containers[0].ID != b.Containers[0].ID || after.Containers[0].Attempt != 0 {
			t.Errorf("slot %d: %s on %s was replaced by %s on %s", i, b.Containers[0].ID, b.node.name, after.Containers[0].ID, after.node.name)
		}
	}
	if !s.whole(web, 6)() {
		t.Errorf("not six pods any more:\n%s", s.table())
	}
}

// Two Deployments are created under one name on two sides. The older one stays
// and the other one's pods stop; when the older one is deleted, the other does
// not come back and nothing is left.
func TestNameConflict(t *testing.T) {
	s := newStage(t, 4)
	web := deployment("web")
	s.split([]int{1, 2}, []int{3, 4})
	s.Run(5 * time.Second)
	s.deploy(s.node(1), "web", "web", map[string]any{"replicas": int64(2)})
	s.Run(time.Second)
	s.put(s.node(3), configMap("later"), map[string]any{"data": map[string]any{"k": "v"}})
	s.deploy(s.node(3), "web", "other", map[string]any{"replicas": int64(3)})
	s.Run(3 * time.Second)
	older, younger := s.node(1).seen[web].Live().UID, s.node(3).seen[web].Live().UID
	if older == younger {
		t.Fatal("not a conflict")
	}
	s.net.heal()
	s.within(10*time.Second, "one winner and its two pods", func() bool {
		return s.node(3).seen[web].Live() != nil && s.node(3).seen[web].Live().UID == s.node(1).seen[web].Live().UID && s.pods() == 2 && s.whole(web, 2)()
	})
	if got := s.uid(web); got != older {
		t.Errorf("%s won over the older %s", got, older)
	}
	s.node(4).remove(web)
	s.within(10*time.Second, "nothing", func() bool { return s.pods() == 0 })
	s.Run(10 * time.Second)
	s.finally()
}

// pods counts everything on every host.
func (s *stage) pods() (count int) {
	for _, n := range s.nodes {
		count += len(n.host.Statuses(s.now))
	}
	return count
}

// A node that boots with nobody in sight starts what belongs to it at once, and
// plans nothing for others until it has looked around.
func TestBootAlone(t *testing.T) {
	s := newStage(t, 3)
	web := deployment("web")
	s.deploy(s.node(1), "web", "web", map[string]any{"replicas": int64(6)})
	s.within(5*time.Second, "six pods", s.whole(web, 6))
	s.Run(3 * time.Second)
	for i := 1; i <= 3; i++ {
		s.crash(s.node(i), true)
	}
	s.Run(10 * time.Second)
	s.node(2).start()
	s.within(time.Second, "its own slots", func() bool { return len(s.running(web)) == 2 })
	s.always(1500*time.Millisecond, "only its own slots in the boot grace", func() bool { return len(s.running(web)) == 2 })
	s.within(5*time.Second, "the others' slots", s.whole(web, 6))
}

// A record that is too large for gossip reaches everybody by synchronisation.
func TestLargeRecord(t *testing.T) {
	s := newStage(t, 5)
	big := make([]byte, 900<<10)
	for i := range big {
		big[i] = 'a' + byte(i%23)
	}
	s.put(s.node(2), configMap("big"), map[string]any{"data": map[string]any{"k": string(big)}})
	s.within(10*time.Second, "the record everywhere", func() bool {
		for _, n := range s.nodes {
			if len(n.register(configMap("big"), "/data/k")) < len(big) {
				return false
			}
		}
		return true
	})
}
