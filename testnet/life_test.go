package testnet

import (
	"testing"
	"time"

	"holon/crdt/state"
	"holon/node/core"
)

// A rolling update never has more than maxUnavailable slots that do not serve,
// nor more than maxSurge runs beyond the replicas that nobody has told to stop.
func TestRollingUpdateKeepsItsBounds(t *testing.T) {
	s := newStage(t, 3)
	web := deployment("web")
	bounds := map[string]any{"replicas": int64(6), "strategy": map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxSurge": int64(1), "maxUnavailable": int64(1)}}}
	s.deploy(s.node(1), "web", "web", bounds)
	s.within(5*time.Second, "six pods", s.whole(web, 6))
	s.Run(time.Second)
	old := s.slot(s.node(1), web, 0).Run.Revision
	s.deploy(s.node(2), "web", "web:2", bounds)
	inBounds := func() bool {
		serving, runs := map[int]bool{}, 0
		for _, p := range s.running(web) {
			serving[p.slot.Index] = true
			if !p.node.stopped[p.ID] {
				runs++
			}
		}
		return len(serving) >= 5 && runs <= 7
	}
	updated := func() bool {
		for i := range 6 {
			if slot := s.slot(s.node(3), web, i); slot.Run.Revision == old || slot.Run.Prev != "" {
				return false
			}
		}
		return s.whole(web, 6)()
	}
	s.within(30*time.Second, "update", func() bool {
		if !inBounds() {
			t.Fatalf("out of bounds at %v\n%s", s.now-time.Hour, s.table())
		}
		return updated()
	})
}

// Deleting a pod gives its slot a new run, on the same home.
func TestDeletePod(t *testing.T) {
	s := newStage(t, 3)
	web := deployment("web")
	s.deploy(s.node(1), "web", "web", map[string]any{"replicas": int64(2)})
	s.within(5*time.Second, "two pods", s.whole(web, 2))
	s.Run(time.Second)
	before := s.running(web)
	s.ask(s.node(3), core.DeletePod{Slot: before[1].slot})
	s.within(5*time.Second, "another run of slot 1", func() bool {
		now := s.running(web)
		return s.whole(web, 2)() && now[1].ID != before[1].ID && now[1].node == before[1].node && now[0].ID == before[0].ID
	})
}

// Scaling down ends the last slots, scaling up brings them back; the others do
// not notice.
func TestScale(t *testing.T) {
	s := newStage(t, 3)
	web := deployment("web")
	s.deploy(s.node(1), "web", "web", map[string]any{"replicas": int64(3)})
	s.within(5*time.Second, "three pods", s.whole(web, 3))
	first := s.running(web)[0].Containers[0].ID
	for _, n := range []int{1, 5, 0, 2} {
		s.put(s.node(1+n%3), web, map[string]any{"spec": map[string]any{"replicas": int64(n)}})
		s.within(5*time.Second, "scaled", func() bool { return s.whole(web, n)() && s.pods() == n })
		if n == 5 && s.running(web)[0].Containers[0].ID != first {
			t.Error("slot 0 was restarted")
		}
	}
}

// Draining moves the slots without a gap; then everything stops and the node
// leaves for good.
func TestDrainStopLeave(t *testing.T) {
	s := newStage(t, 3)
	web := deployment("web")
	s.deploy(s.node(1), "web", "web", map[string]any{"replicas": int64(6)})
	s.within(5*time.Second, "six pods", s.whole(web, 6))
	s.Run(time.Second)
	leaver := s.node(2)
	leaver.drains = true
	s.ask(leaver, core.Drain{On: true})
	s.within(10*time.Second, "an empty node", s.emptied(leaver, web, 6))
	leaver.leaving = true
	s.ask(leaver, core.StopAll{})
	s.ask(leaver, core.Leave{})
	s.Run(time.Second)
	s.crash(leaver, false)
	s.within(5*time.Second, "no Node object of it", func() bool {
		return s.node(1).seen[state.MakeKey(state.Nodes, "", "n2")].Live() == nil && s.node(3).shown[state.MakeKey(state.Nodes, "", "n2")] == nil
	})
	s.Run(5 * time.Second)
	if !s.whole(web, 6)() || !s.node(1).core.View().Majority {
		t.Errorf("after the leave:\n%s", s.table())
	}
}

// A node whose port is taken refuses, and the pod runs elsewhere.
func TestPortTakenElsewhere(t *testing.T) {
	s := newStage(t, 2)
	s.node(1).host.TakePort("TCP", 8080)
	for _, name := range []string{"a", "b", "c"} {
		key := state.MakeKey(state.Pods, "default", name)
		s.put(s.node(2), key, map[string]any{"spec": map[string]any{"containers": []any{map[string]any{
			"name": "app", "image": "web", "ports": []any{map[string]any{"containerPort": int64(80), "hostPort": int64(8080)}},
		}}}})
		s.within(10*time.Second, "a pod on the other node", func() bool {
			p := s.running(key)
			return len(p) == 1 && p[0].node == s.node(2)
		})
		s.node(2).remove(key)
		s.within(10*time.Second, "no pod", func() bool { return s.pods() == 0 })
		s.Run(time.Second) // or its port would be booked still, and held against the node for a while
	}
}

// Whoever announces a restart is not replaced for half a minute.
func TestAnnouncedRestart(t *testing.T) {
	s := newStage(t, 3)
	web := deployment("web")
	s.deploy(s.node(1), "web", "web", map[string]any{"replicas": int64(3)})
	s.within(5*time.Second, "three pods", s.whole(web, 3))
	s.Run(time.Second)
	s.ask(s.node(3), core.Restarting{For: 30 * time.Second})
	s.Run(100 * time.Millisecond)
	s.crash(s.node(3), false)
	s.always(25*time.Second, "no stand-in", func() bool { return s.Counts.StandIns == 0 && s.whole(web, 3)() })
	s.node(3).start()
	s.always(10*time.Second, "its pod runs on", func() bool { return s.Counts.StandIns == 0 && s.whole(web, 3)() })

	s.ask(s.node(3), core.Restarting{For: 30 * time.Second})
	s.Run(100 * time.Millisecond)
	s.crash(s.node(3), true)
	s.within(40*time.Second, "a stand-in when it does not come back", s.whole(web, 3))
	if s.Counts.StandIns == 0 {
		t.Error("no stand-in was written")
	}
}

// A container that crashes again and again starts at once, then after 10 s, 20 s...
func TestCrashLoopBackOff(t *testing.T) {
	s := newStage(t, 2)
	key := state.MakeKey(state.Pods, "default", "bad")
	s.put(s.node(1), key, map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "app", "image": "crash"}}}})
	var started []time.Duration
	s.within(2*time.Minute, "five attempts", func() bool {
		if p := s.running(key); len(p) == 1 && p[0].Containers[0].Attempt == len(started) {
			started = append(started, s.now)
		}
		return len(started) == 5
	})
	const lives = 2 * time.Second
	for i, least := range []time.Duration{0, 10 * time.Second, 20 * time.Second, 40 * time.Second} {
		wait := started[i+1] - started[i] - lives
		if wait < least || wait > least+1500*time.Millisecond {
			t.Errorf("attempt %d started %v after the crash, want %v", i+1, wait, least)
		}
	}
}

// Stops may take their whole grace period; what is to start does not wait for
// them, however many there are.
func TestStartsDoNotWaitForStops(t *testing.T) {
	s := newStage(t, 1)
	old, web := deployment("old"), deployment("web")
	s.deploy(s.node(1), "old", "stubborn", map[string]any{"replicas": int64(12)})
	s.within(5*time.Second, "twelve pods", s.whole(old, 12))
	s.put(s.node(1), old, map[string]any{"spec": map[string]any{"replicas": int64(0)}})
	s.Run(time.Second)
	s.deploy(s.node(1), "web", "web", map[string]any{"replicas": int64(3)})
	s.within(2*time.Second, "three pods", s.whole(web, 3))
}

// A bare Pod's slot keeps the revision that it began with, and must find what to
// start again although a label has changed the Pod since.
func TestALabelledPodSurvivesAPowerCut(t *testing.T) {
	s := newStage(t, 2)
	pod := state.MakeKey(state.Pods, "default", "p")
	s.put(s.node(1), pod, map[string]any{"spec": podTemplate(s.World, "")})
	s.within(5*time.Second, "the pod", s.whole(pod, 1))
	s.put(s.node(1), pod, map[string]any{"metadata": map[string]any{"labels": map[string]any{"a": "b"}}})
	s.Run(3 * time.Second)
	n := s.running(pod)[0].node
	s.crash(n, true)
	s.Run(time.Second)
	n.start()
	s.within(20*time.Second, "the pod again", s.whole(pod, 1))
}

// emptied is a condition: nothing runs on a node any more. Until then every slot of
// a workload must serve somewhere.
func (s *stage) emptied(n *Node, workload state.Key, replicas int) func() bool {
	return func() bool {
		serving := map[int]bool{}
		for _, p := range s.running(workload) {
			serving[p.slot.Index] = true
		}
		if len(serving) < replicas {
			s.t.Fatalf("a slot does not serve while it moves:\n%s", s.table())
		}
		return len(n.host.Statuses(s.now)) == 0
	}
}

// drainStage is three nodes that can be drained, because they have Node objects, and
// a Deployment with so many pods that serve.
func drainStage(t *testing.T, replicas int) (s *stage, web state.Key) {
	s, web = newStage(t, 3), deployment("web")
	for _, n := range s.nodes {
		n.putNodeObject()
	}
	s.deploy(s.node(1), "web", "web", map[string]any{"replicas": int64(replicas)})
	s.within(5*time.Second, "the pods", s.whole(web, replicas))
	s.Run(time.Second)
	return s, web
}

// A node that its record drains gives everything away without a gap, whoever wrote
// that, keeps it over a restart, and gets slots again once it is uncordoned.
func TestDrainByRecord(t *testing.T) {
	s, web := drainStage(t, 6)
	emptied := s.node(2)
	s.node(3).drainOf(emptied.name)
	s.within(10*time.Second, "an empty node", s.emptied(emptied, web, 6))
	s.crash(emptied, true)
	s.Run(3 * time.Second)
	emptied.start()
	s.always(10*time.Second, "nothing comes back", func() bool { return s.whole(web, 6)() && len(emptied.host.Statuses(s.now)) == 0 })
	s.node(1).cordon(emptied.name, false)
	s.Run(time.Second)
	s.put(s.node(1), web, map[string]any{"spec": map[string]any{"replicas": int64(9)}})
	s.within(10*time.Second, "three pods more", s.whole(web, 9))
	if len(emptied.host.Statuses(s.now)) == 0 {
		t.Errorf("nothing runs on a node that was uncordoned:\n%s", s.table())
	}
}

// A bare Pod stays on a node that is drained, and is started again there.
func TestDrainLeavesABarePod(t *testing.T) {
	s := newStage(t, 2)
	for _, n := range s.nodes {
		n.putNodeObject()
	}
	pod := state.MakeKey(state.Pods, "default", "p")
	s.deploy(s.node(1), "web", "web", map[string]any{"replicas": int64(2)})
	s.put(s.node(1), pod, map[string]any{"spec": map[string]any{"containers": []any{container("web")}}})
	s.within(5*time.Second, "the pod", s.whole(pod, 1))
	home, run := s.running(pod)[0].node, s.running(pod)[0].ID
	s.Run(time.Second)
	s.node(1).drainOf(home.name)
	stays := func() bool {
		p := s.running(pod)
		return len(p) == 1 && p[0].node == home && p[0].ID == run
	}
	s.always(5*time.Second, "the same run", stays)
	if pods := len(home.host.Statuses(s.now)); pods != 1 {
		t.Errorf("%d pods on a node that is drained, want the bare one", pods)
	}
	s.crash(home, true)
	home.start()
	s.within(10*time.Second, "the pod again", stays)
}

// Nobody waits for a node that is drained while it is out of reach: its homes move
// at once, where more than half of the members are seen.
func TestDrainOutOfReach(t *testing.T) {
	s, web := drainStage(t, 3)
	s.crash(s.node(2), true)
	s.Run(5 * time.Second)
	if s.Counts.HomeMoves > 0 {
		t.Fatal("homes moved before the drain")
	}
	s.node(3).drainOf("n2")
	s.within(2*time.Second, "no home on n2", func() bool {
		for i := range 3 {
			if s.slot(s.node(1), web, i).Home.Node == "n2" {
				return false
			}
		}
		return true
	})
	s.always(5*time.Second, "three pods", s.whole(web, 3))
}
