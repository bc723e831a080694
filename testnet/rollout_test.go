package testnet

import (
	"strconv"
	"testing"
	"time"

	"holon/crdt/state"
)

// rollout is what kubectl knows of one: what a node shows of a Deployment and its templates.
type rollout struct {
	ready, available, updated int64
	reason                    string // of the condition Progressing
	status                    string
	revisions                 map[int64]string // number: image and cause
}

func (s *stage) rollout(n *Node, key state.Key) (r rollout) {
	status, _ := n.shown[key]["status"].(map[string]any)
	r.ready, _ = status["readyReplicas"].(int64)
	r.available, _ = status["availableReplicas"].(int64)
	r.updated, _ = status["updatedReplicas"].(int64)
	conditions, _ := status["conditions"].([]any)
	for _, c := range conditions {
		if c := c.(map[string]any); c["type"] == "Progressing" {
			r.reason, r.status = c["reason"].(string), c["status"].(string)
		}
	}
	r.revisions = map[int64]string{}
	for key, set := range n.shown {
		if key.Resource() != state.ReplicaSets || set == nil {
			continue
		}
		notes := set["metadata"].(map[string]any)["annotations"].(map[string]any)
		number, _ := strconv.ParseInt(notes[state.RevisionAnnotation].(string), 10, 64)
		cause, _ := notes[state.CauseAnnotation].(string)
		spec := set["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
		r.revisions[number] = spec["containers"].([]any)[0].(map[string]any)["image"].(string) + cause
	}
	return r
}

// While a rollout is paused the template may change as often as it likes: what is added
// has the old one. Nothing is stored of templates that were never rolled out.
func TestPausedRollout(t *testing.T) {
	s, web := newStage(t, 3), deployment("web")
	s.deploy(s.node(1), "web", "one", map[string]any{"replicas": int64(2)})
	s.within(5*time.Second, "two pods", s.whole(web, 2))
	before := s.running(web)
	s.deploy(s.node(2), "web", "two", map[string]any{"replicas": int64(2), "paused": true})
	s.deploy(s.node(2), "web", "three", map[string]any{"replicas": int64(4), "paused": true})
	s.within(5*time.Second, "four pods", s.whole(web, 4))
	s.always(10*time.Second, "all of the old template", func() bool {
		for _, p := range s.running(web) {
			if p.Containers[0].Image != "one" {
				return false
			}
		}
		return len(s.running(web)) == 4 && s.running(web)[0].ID == before[0].ID
	})
	if r := s.rollout(s.node(3), web); r.status != "Unknown" || r.reason != "DeploymentPaused" || r.updated != 0 || len(r.revisions) != 1 {
		t.Errorf("paused: %+v", r)
	}
	s.deploy(s.node(3), "web", "three", map[string]any{"replicas": int64(4), "paused": false})
	s.within(20*time.Second, "the rollout to be complete", func() bool {
		r := s.rollout(s.node(1), web)
		return r.reason == "NewReplicaSetAvailable" && r.updated == 4 && r.revisions[2] == "three"
	})
}

// What is created paused rolls out nothing until it is resumed.
func TestCreatedPaused(t *testing.T) {
	s, web := newStage(t, 2), deployment("web")
	s.deploy(s.node(1), "web", "one", map[string]any{"paused": true})
	s.always(5*time.Second, "nothing", func() bool { return len(s.running(web)) == 0 && len(s.rollout(s.node(2), web).revisions) == 0 })
	s.deploy(s.node(1), "web", "one", map[string]any{"paused": false})
	s.within(5*time.Second, "a pod", s.whole(web, 1))
}

// A pod that has been ready for less than minReadySeconds is not available, and the next
// one is not exchanged before it is.
func TestMinReadySeconds(t *testing.T) {
	s, web := newStage(t, 2), deployment("web")
	spec := map[string]any{"replicas": int64(2), "minReadySeconds": int64(20), "strategy": map[string]any{
		"rollingUpdate": map[string]any{"maxSurge": int64(1), "maxUnavailable": int64(0)},
	}}
	s.deploy(s.node(1), "web", "one", spec)
	s.within(5*time.Second, "two ready pods", func() bool { return s.rollout(s.node(2), web).ready == 2 })
	s.always(18*time.Second, "none is available", func() bool { return s.rollout(s.node(2), web).available == 0 })
	s.within(3*time.Second, "two available pods", func() bool { return s.rollout(s.node(2), web).available == 2 })

	s.deploy(s.node(1), "web", "two", spec)
	began := s.now
	s.within(60*time.Second, "the second template everywhere", func() bool {
		r := s.rollout(s.node(2), web)
		if r.available < 2 {
			t.Fatalf("%v after the change: %+v", s.now-began, r)
		}
		return r.reason == "NewReplicaSetAvailable" && r.updated == 2
	})
	if took := s.now - began; took < 40*time.Second {
		t.Errorf("two pods, one after the other, each 20 s: %v", took)
	}
}

// A rollout that gets no further says so after its deadline, on every node; one that was
// complete never does, and a better template makes it good.
func TestProgressDeadline(t *testing.T) {
	s, web := newStage(t, 2), deployment("web")
	spec := map[string]any{"replicas": int64(2), "progressDeadlineSeconds": int64(30), "minReadySeconds": int64(5)}
	reason := func(want string) func() bool {
		return func() bool {
			return s.rollout(s.node(1), web).reason == want && s.rollout(s.node(2), web).reason == want
		}
	}
	s.deploy(s.node(1), "web", "one", spec)
	s.within(20*time.Second, "the first template", reason("NewReplicaSetAvailable"))
	s.always(40*time.Second, "nothing to be said", reason("NewReplicaSetAvailable"))
	s.deploy(s.node(2), "web", "one", map[string]any{"replicas": int64(500)})
	s.within(5*time.Second, "more than there is room for", reason("ReplicaSetUpdated"))
	s.always(40*time.Second, "no verdict on a rollout that was complete", reason("ReplicaSetUpdated"))
	s.deploy(s.node(2), "web", "crash", spec)
	s.within(5*time.Second, "the second one on its way", reason("ReplicaSetUpdated"))
	s.always(25*time.Second, "no verdict", reason("ReplicaSetUpdated"))
	s.within(15*time.Second, "the verdict", reason("ProgressDeadlineExceeded"))
	s.deploy(s.node(2), "web", "three", spec)
	s.within(30*time.Second, "the third one", reason("NewReplicaSetAvailable"))
}

// Each template has a number, which an undo makes the greatest again, and the user's word
// of why; of old ones as many are kept as the Deployment says.
func TestRevisionsAreNumberedAndKept(t *testing.T) {
	s, web := newStage(t, 3), deployment("web")
	roll := func(n *Node, image string, want map[int64]string) {
		t.Helper()
		value := map[string]any{"metadata": map[string]any{"annotations": map[string]any{state.CauseAnnotation: " for " + image}}}
		s.deploy(n, "web", image, map[string]any{"revisionHistoryLimit": int64(2)})
		s.put(n, web, value)
		s.within(20*time.Second, "revisions "+image, func() bool {
			for _, n := range s.nodes {
				r := s.rollout(n, web)
				if r.reason != "NewReplicaSetAvailable" || len(r.revisions) != len(want) {
					return false
				}
				for number, said := range want {
					if r.revisions[number] != said {
						return false
					}
				}
			}
			return true
		})
	}
	roll(s.node(1), "a", map[int64]string{1: "a for a"})
	roll(s.node(2), "b", map[int64]string{1: "a for a", 2: "b for b"})
	roll(s.node(3), "a", map[int64]string{3: "a for a", 2: "b for b"})
	roll(s.node(1), "c", map[int64]string{3: "a for a", 2: "b for b", 4: "c for c"})
	roll(s.node(2), "d", map[int64]string{3: "a for a", 4: "c for c", 5: "d for d"})
}
