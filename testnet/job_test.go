package testnet

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"holon/crdt/state"
	"holon/runtime"
	"holon/testnet/check"
)

func jobKey(name string) state.Key { return state.MakeKey(state.Jobs, "default", name) }

// employ creates a Job of one container; spec is what it holds besides the template.
func (s *stage) employ(n *Node, name, image string, spec map[string]any) {
	s.t.Helper()
	whole := map[string]any{"template": map[string]any{"spec": map[string]any{
		"restartPolicy": "Never", "containers": []any{map[string]any{"name": "app", "image": image}},
	}}}
	maps.Copy(whole, spec)
	s.put(n, jobKey(name), map[string]any{"spec": whole})
}

// status is what a node shows of a Job.
func (n *Node) status(name string) map[string]any {
	status, _ := n.shown[jobKey(name)]["status"].(map[string]any)
	return status
}

// has reports whether a node shows a condition of a Job.
func (n *Node) has(name, condition, reason string) bool {
	list, _ := n.status(name)["conditions"].([]any)
	return slices.ContainsFunc(list, func(c any) bool {
		m := c.(map[string]any)
		return m["type"] == condition && m["status"] == "True" && (reason == "" || m["reason"] == reason)
	})
}

func (s *stage) everywhere(ok func(n *Node) bool) func() bool {
	return func() bool { return !slices.ContainsFunc(s.nodes, func(n *Node) bool { return n.up && !ok(n) }) }
}

// starts counts how often containers of each slot began to run, anywhere.
func (s *stage) starts() map[string]int {
	times := map[string]int{}
	for _, n := range s.nodes {
		for start, count := range n.host.Starts() {
			times[n.specs[start.ID].Slot] += count
		}
	}
	return times
}

// atOnce counts the slots that run in some container now.
func (s *stage) atOnce() int {
	slots := map[string]bool{}
	for _, n := range s.nodes {
		for _, p := range n.host.Statuses(s.now) {
			if slices.ContainsFunc(p.Containers, func(c runtime.ContainerStatus) bool { return c.State == runtime.Running }) {
				slots[p.Slot] = true
			}
		}
	}
	return len(slots)
}

// audited fails at the first step at which planning keeps something else than it
// would make anew.
func (s *stage) audited() bool {
	for _, n := range s.nodes {
		if n.up {
			for _, bad := range n.core.AuditPlan() {
				s.t.Errorf("%s: %s", n.name, bad)
			}
		}
	}
	return !s.t.Failed()
}

// TestJobRunsEachSlotOnce: no more at once than may be, each once, and never again,
// whoever is rebooted; the pods stay until the Job is deleted.
func TestJobRunsEachSlotOnce(t *testing.T) {
	s := newStage(t, 3)
	s.employ(s.node(1), "sum", "done", map[string]any{"completions": int64(5), "parallelism": int64(2)})
	s.within(20*time.Second, "complete", func() bool {
		if n := s.atOnce(); n > 2 {
			t.Fatalf("%d slots run at once", n)
		}
		return s.audited() && s.everywhere(func(n *Node) bool { return n.has("sum", "Complete", "") && n.status("sum")["succeeded"] == int64(5) })()
	})
	for _, n := range s.nodes {
		s.crash(n, true)
	}
	s.Run(time.Second)
	for _, n := range s.nodes {
		n.start()
	}
	s.Run(40 * time.Second)
	s.audited()
	for slot, times := range s.starts() {
		if times != 1 {
			t.Errorf("slot %s began %d times", slot, times)
		}
	}
	for _, n := range s.nodes {
		kept := 0
		for key, pod := range n.shown {
			if status, _ := pod["status"].(map[string]any); key.Resource() == state.Pods && status["phase"] == string(state.Succeeded) {
				kept++
			}
		}
		if kept != 5 {
			t.Errorf("%s shows %d pods that have succeeded", n.name, kept)
		}
	}
	s.node(2).remove(jobKey("sum"))
	s.Run(20 * time.Second)
	for _, bad := range check.NothingLeaked(s.replicas(), false) {
		t.Error(bad)
	}
}

// TestJobGivesUp: one failure more than the limit, with a back-off between, fails it.
func TestJobGivesUp(t *testing.T) {
	s := newStage(t, 3)
	s.employ(s.node(1), "bad", "crash", map[string]any{"backoffLimit": int64(1)})
	s.within(30*time.Second, "failed", s.everywhere(func(n *Node) bool { return n.has("bad", "Failed", "BackoffLimitExceeded") }))
	s.Run(time.Minute)
	for _, times := range s.starts() {
		if times != 2 || s.atOnce() != 0 {
			t.Errorf("it began %d times, and %d run", times, s.atOnce())
		}
	}
}

// TestJobRestartsInPlace: with OnFailure a container is restarted in its pod, as often
// as the limit says.
func TestJobRestartsInPlace(t *testing.T) {
	s := newStage(t, 3)
	s.employ(s.node(1), "bad", "crash", map[string]any{"backoffLimit": int64(1), "template": map[string]any{"spec": map[string]any{
		"restartPolicy": "OnFailure", "containers": []any{map[string]any{"name": "app", "image": "crash"}},
	}}})
	s.within(30*time.Second, "failed", s.everywhere(func(n *Node) bool { return n.has("bad", "Failed", "BackoffLimitExceeded") }))
	s.Run(time.Minute)
	for _, times := range s.starts() {
		if times != 2 || s.atOnce() != 0 {
			t.Errorf("it began %d times, and %d run", times, s.atOnce())
		}
	}
}

// TestJobOutlivesItsNode: who runs a slot loses its power for good; the slot is run
// elsewhere once its home is lost for long.
func TestJobOutlivesItsNode(t *testing.T) {
	s := newStage(t, 3)
	s.employ(s.node(1), "one", "done", map[string]any{})
	var at *Node
	s.within(5*time.Second, "running", func() bool {
		for _, n := range s.nodes {
			if len(n.host.Statuses(s.now)) > 0 && s.atOnce() == 1 {
				at = n
			}
		}
		return at != nil
	})
	s.crash(at, true)
	s.Run(4 * time.Minute)
	if n := s.atOnce(); n != 0 {
		t.Errorf("%d run before the home is lost for long", n)
	}
	s.within(2*time.Minute, "complete", s.everywhere(func(n *Node) bool { return n.has("one", "Complete", "") }))
	at.start()
	s.Run(30 * time.Second)
	if n := s.atOnce(); n != 0 || at.status("one")["succeeded"] != int64(1) {
		t.Errorf("%d run after the return, and %v is shown", n, at.status("one"))
	}
	s.audited()
}

// TestJobOnTwoSides: what both sides of a split have run counts once, and what one of
// them has done is not done again after the heal.
func TestJobOnTwoSides(t *testing.T) {
	s := newStage(t, 5)
	s.employ(s.node(1), "sum", "done", map[string]any{"completions": int64(6), "parallelism": int64(6), "suspend": true})
	s.Run(3 * time.Second)
	for _, n := range s.nodes {
		if !n.has("sum", "Suspended", "") || s.atOnce() > 0 {
			t.Fatalf("%s does not show it suspended: %v", n.name, n.status("sum"))
		}
	}
	s.put(s.node(1), jobKey("sum"), map[string]any{"spec": map[string]any{"suspend": false}})
	s.within(5*time.Second, "homes", func() bool { return s.atOnce() == 6 })
	s.split([]int{1, 2}, []int{3, 4, 5})
	s.Run(8 * time.Minute)
	for _, n := range s.nodes {
		if !n.has("sum", "Complete", "") {
			t.Errorf("%s has not all after eight minutes of its own: %v", n.name, n.status("sum"))
		}
	}
	s.net.heal()
	s.Run(30 * time.Second)
	before := s.starts()
	s.Run(30 * time.Second)
	if !maps.Equal(before, s.starts()) || s.atOnce() != 0 {
		t.Errorf("started again after the heal: %v, then %v", before, s.starts())
	}
	for _, n := range s.nodes {
		if n.status("sum")["succeeded"] != int64(6) {
			t.Errorf("%s shows %v", n.name, n.status("sum"))
		}
	}
	for _, bad := range check.Equal(s.replicas()) {
		t.Error(bad)
	}
	s.audited()
}

// TestJobDeadline: no restart of a node begins a deadline anew, beyond what it noted.
func TestJobDeadline(t *testing.T) {
	s := newStage(t, 3)
	s.employ(s.node(1), "long", "web", map[string]any{"activeDeadlineSeconds": int64(60), "ttlSecondsAfterFinished": int64(20)})
	s.Run(45 * time.Second)
	for _, n := range s.nodes {
		s.crash(n, false)
	}
	for _, n := range s.nodes {
		n.start()
	}
	s.within(30*time.Second, "failed", s.everywhere(func(n *Node) bool { return n.has("long", "Failed", "DeadlineExceeded") }))
	s.within(10*time.Second, "stopped", func() bool { return s.atOnce() == 0 })
	s.within(30*time.Second, "gone", s.everywhere(func(n *Node) bool { return n.status("long") == nil }))
}

// TestJobReportsNothingEarly: nobody sees a pod succeed before its end is on the disk
// of the node that ran it.
func TestJobReportsNothingEarly(t *testing.T) {
	s := newStage(t, 3)
	s.cfg.SyncMax = 300 * time.Millisecond
	s.employ(s.node(1), "sum", "done", map[string]any{"completions": int64(4), "parallelism": int64(4)})
	s.within(20*time.Second, "complete", func() bool {
		for _, n := range s.nodes {
			for key, pod := range n.shown {
				status, _ := pod["status"].(map[string]any)
				if key.Resource() == state.Pods && status["phase"] == string(state.Succeeded) {
					s.durable(pod)
				}
			}
		}
		return s.everywhere(func(n *Node) bool { return n.has("sum", "Complete", "") })()
	})
}

// durable fails unless the end of a pod is on the disk of its node.
func (s *stage) durable(pod map[string]any) {
	spec, _ := pod["spec"].(map[string]any)
	meta, _ := pod["metadata"].(map[string]any)
	notes, _ := meta["annotations"].(map[string]any)
	for _, n := range s.nodes {
		if n.name != spec["nodeName"] {
			continue
		}
		w, err := state.DecodeWorkload(jobKey("sum"), n.disk.record(jobKey("sum")))
		if err != nil || w.Job.Ended(state.RunID(fmt.Sprint(notes["holon.dev/run"]))) == nil {
			s.t.Fatalf("%v is shown to have succeeded, and %s has not written it down (%v)", meta["name"], n.name, err)
		}
	}
}
