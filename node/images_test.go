package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holon/crdt/state"
	"holon/p2p"
	"holon/runtime/runtimetest"
)

// imageCluster runs f with nodes that have images, in virtual time.
func imageCluster(t *testing.T, n int, f func(c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newClusterOf(t, n, func(m *member) { m.image = runtimetest.NewImageStore() })
		defer c.close()
		f(c)
	})
}

// having are the names of the nodes that have an image.
func (c *cluster) having(ref string) (names []string) {
	for _, m := range c.nodes {
		if _, err := m.image.FindImage(c.t.Context(), ref); err == nil {
			names = append(names, m.id.Name)
		}
	}
	return names
}

// policy makes a deployment of one container with a pull policy.
func policyOf(image, policy string, replicas int) map[string]any {
	d := deploymentOf(image, replicas)
	template := d["spec"].(map[string]any)["template"].(map[string]any)
	container := template["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
	container["imagePullPolicy"] = policy
	return d
}

// told lists the Events of a reason that all nodes tell of.
func (c *cluster) told(reason string) (messages []string) {
	events, _, err := c.nodes[0].Events(c.t.Context(), "")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range events {
		if e["reason"] == reason {
			messages = append(messages, fmt.Sprint(e["message"]))
		}
	}
	return messages
}

// TestImageComesFromAPeer: with every policy, three nodes run an image that only one
// has, and no registry is asked but by Always, to which none answers.
func TestImageComesFromAPeer(t *testing.T) {
	for _, policy := range []string{"IfNotPresent", "Never", "Always"} {
		imageCluster(t, 3, func(c *cluster) {
			id := c.nodes[2].image.Add("app:1", []byte(strings.Repeat("bytes ", 100_000)))
			if err := c.nodes[0].create(state.Deployments, "web", policyOf("app:1", policy, 3)); err != nil {
				t.Fatal(err)
			}
			c.await("three are ready", func() bool { return len(c.nodes[0].readyPods()) == 3 })
			for _, m := range c.nodes {
				if i, err := m.image.FindImage(t.Context(), "app:1"); err != nil || i.ID != id {
					t.Errorf("%s: %s has %v, %v", policy, m.id.Name, i, err)
				}
				if asked := len(m.image.Pulls()) > 0; asked != (policy == "Always") {
					t.Errorf("%s: %s asked a registry for %v", policy, m.id.Name, m.image.Pulls())
				}
				if m.image.Loads() > 1 {
					t.Errorf("%s: %s loaded %d archives", policy, m.id.Name, m.image.Loads())
				}
			}
			if pulled := c.told("Pulled"); len(pulled) != 2 || !strings.Contains(pulled[0], "came from n") {
				t.Errorf("%s: Events Pulled: %q", policy, pulled)
			}
			if words := c.told("RegistryUnreachable"); (len(words) == 3) != (policy == "Always") {
				t.Errorf("%s: Events RegistryUnreachable: %q", policy, words)
			}
		})
	}
}

// TestRegistryIsTheLastToBeAsked, and the first with Always, whose refusal counts.
func TestRegistryIsTheLastToBeAsked(t *testing.T) {
	imageCluster(t, 2, func(c *cluster) {
		for _, m := range c.nodes {
			m.image.SetRegistry(map[string][]byte{"app:1": []byte("of the registry"), "app:2": []byte("new")})
			m.image.Add("app:2", []byte("old"))
			m.image.Add("gone:1", []byte("what the registry has no more"))
		}
		for name, d := range map[string]map[string]any{
			"one": policyOf("app:1", "IfNotPresent", 1), "two": policyOf("app:2", "Always", 2),
			"never": policyOf("nowhere:1", "Never", 1), "gone": policyOf("gone:1", "Always", 1),
		} {
			if err := c.nodes[0].create(state.Deployments, name, d); err != nil {
				t.Fatal(err)
			}
		}
		c.await("what can be had is ready", func() bool { return len(c.nodes[0].readyPods()) == 3 })
		time.Sleep(time.Minute)
		if ready := c.nodes[0].readyPods(); len(ready) != 3 {
			t.Errorf("ready: %v", ready)
		}
		var pulls []string
		for _, m := range c.nodes {
			pulls = append(pulls, m.image.Pulls()...)
			if i, err := m.image.FindImage(t.Context(), "app:2"); err != nil || i.Size != int64(len("new")) {
				t.Errorf("%s: app:2 is %v, %v", m.id.Name, i, err)
			}
		}
		if slices.Contains(pulls, "nowhere:1") || !slices.Contains(pulls, "app:1") {
			t.Errorf("a registry was asked for %v", pulls)
		}
		if failed := c.told("FailedImageMissing"); !slices.ContainsFunc(failed, func(m string) bool { return strings.Contains(m, "no live node has it") }) {
			t.Errorf("Events: %q", failed)
		}
	})
}

// TestImageOutlivesItsNode: an image that was loaded on one node only is soon on
// exactly one more, and the stand-in runs from that.
func TestImageOutlivesItsNode(t *testing.T) {
	imageCluster(t, 4, func(c *cluster) {
		c.nodes[1].image.Add("app:1", []byte(strings.Repeat("bytes ", 100_000)))
		if err := c.nodes[0].create(state.Deployments, "web", policyOf("app:1", "IfNotPresent", 1)); err != nil {
			t.Fatal(err)
		}
		c.await("it is ready", func() bool { return len(c.nodes[0].readyPods()) == 1 })
		_, on, _ := strings.Cut(c.nodes[0].readyPods()[0], " on ")
		for _, m := range c.nodes { // whoever loaded it takes it away again: one node has it
			if m.id.Name != on {
				if err := m.image.RemoveImage(t.Context(), mustFind(t, c, "app:1")); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.await("another node keeps it", func() bool { return len(c.having("app:1")) == 2 })
		time.Sleep(2 * keepTurn)
		if have := c.having("app:1"); len(have) != 2 {
			t.Errorf("%v have it", have)
		}
		var lost *member
		var rest []*member
		for _, m := range c.nodes {
			if m.id.Name == on {
				lost = m
			} else {
				rest = append(rest, m)
			}
		}
		c.net.Partition([]p2p.PeerID{lost.id.Peer()}, peersOf(rest))
		c.await("a stand-in is ready elsewhere", func() bool {
			return slices.ContainsFunc(rest[0].readyPods(), func(p string) bool { return !strings.HasSuffix(p, " on "+on) })
		})
		c.await("it is on two nodes again", func() bool {
			return len(slices.DeleteFunc(c.having("app:1"), func(name string) bool { return name == on })) == 2
		})
	})
}

func peersOf(members []*member) (peers []p2p.PeerID) {
	for _, m := range members {
		peers = append(peers, m.id.Peer())
	}
	return peers
}

func mustFind(t *testing.T, c *cluster, ref string) string {
	t.Helper()
	for _, m := range c.nodes {
		if i, err := m.image.FindImage(t.Context(), ref); err == nil {
			return i.ID
		}
	}
	t.Fatalf("nobody has %s", ref)
	return ""
}
