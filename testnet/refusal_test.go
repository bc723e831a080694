package testnet

import (
	"strings"
	"testing"
	"time"
)

// only is a Deployment's spec whose pods go to one node, or anywhere if it is "",
// and take their time to stop.
func only(node string, replicas int64, container map[string]any) map[string]any {
	pod := map[string]any{"terminationGracePeriodSeconds": int64(5), "containers": []any{container}}
	if node != "" {
		pod["nodeSelector"] = map[string]any{"kubernetes.io/hostname": node}
	}
	return map[string]any{"replicas": replicas, "template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "x"}}, "spec": pod}}
}

func container(image string) map[string]any {
	return map[string]any{"name": "app", "image": image, "resources": map[string]any{"requests": map[string]any{"cpu": "100m"}}}
}

// A node that refused a run for want of room is asked again as soon as it reports
// that what was in the way is gone.
func TestRefusalEndsWithItsCause(t *testing.T) {
	s := newStage(t, 3)
	n1, n2, n3 := s.node(1), s.node(2), s.node(3)
	for _, n := range s.nodes {
		n.putNodeObject()
	}
	s.Run(time.Second)
	n3.cordon(n3.name, true)
	web, old := deployment("web"), deployment("old")
	s.deploy(n1, "old", "", only("n1", 20, container("stubborn")))
	s.deploy(n1, "rest", "", only("n2", 10, container("web")))
	s.within(5*time.Second, "a full node", s.whole(old, 20))
	s.put(n1, old, map[string]any{"spec": map[string]any{"replicas": int64(0)}})
	s.deploy(n1, "web", "", only("", 1, container("web")))
	s.within(4*time.Second, "n2 takes what n1 refuses", func() bool {
		p := s.running(web)
		return len(p) == 1 && p[0].node == n2
	})
	if said := s.count("OutOfcpu"); said == 0 {
		t.Fatal("n1 refused nothing")
	}
	s.within(10*time.Second, "room on n1", s.whole(old, 0))
	s.crash(n2, true)
	s.within(4*time.Second, "n1 is asked again", s.whole(web, 1))
}

// A home that is too full for a second run beside the first gives the slot away: that
// it runs the former revision takes back nothing, whichever of the two it names first.
func TestUpdateOnAFullHome(t *testing.T) {
	t.Run("there", func(t *testing.T) { updateOnAFullHome(t, "web", "web:2") })
	t.Run("and back", func(t *testing.T) { updateOnAFullHome(t, "web:2", "web") })
}

func updateOnAFullHome(t *testing.T, before, after string) {
	s := newStage(t, 2)
	for _, n := range s.nodes {
		n.putNodeObject()
	}
	s.Run(time.Second)
	s.node(1).cordon("n2", true)
	s.Run(time.Second)
	web, rest := deployment("web"), deployment("rest")
	s.deploy(s.node(1), "rest", "", only("n1", 19, container("web")))
	s.deploy(s.node(1), "web", "", only("", 1, container(before)))
	s.within(5*time.Second, "a full n1", func() bool { return s.whole(rest, 19)() && s.whole(web, 1)() })
	s.node(1).cordon("n2", false)
	s.Run(time.Second)
	s.deploy(s.node(1), "web", "", only("", 1, container(after)))
	s.within(10*time.Second, "the update on n2", func() bool {
		p := s.running(web)
		return len(p) == 1 && p[0].node == s.node(2) && s.slot(s.node(1), web, 0).Run.Prev == ""
	})
}

// Where nobody can see what is in the way, and it stays, a slot goes to and fro
// ever more slowly.
func TestRefusalsBackOff(t *testing.T) {
	s := newStage(t, 3)
	for _, n := range s.nodes {
		n.host.TakePort("TCP", 80)
	}
	c := container("web")
	c["ports"] = []any{map[string]any{"containerPort": int64(80), "hostPort": int64(80)}}
	s.deploy(s.node(1), "web", "", only("", 1, c))
	s.Run(20 * time.Minute)
	homes := s.count("Scheduled") + s.count("StandIn")
	if homes < 4 || homes > 20 {
		t.Errorf("%d homes and stand-ins in 20 minutes, want a few", homes)
	}
	for _, n := range s.nodes {
		n.host.ReleasePort("TCP", 80)
	}
	s.within(6*time.Minute, "a node whose port is free again", s.whole(deployment("web"), 1))
}

// count is how often a thing was said.
func (s *stage) count(reason string) int {
	n := 0
	for _, f := range s.facts.list {
		if strings.HasPrefix(f.Reason, reason) {
			n++
		}
	}
	return n
}
