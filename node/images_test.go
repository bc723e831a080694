package node

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
	"holon/node/image"
	"holon/p2p"
	"holon/runtime"
	"holon/runtime/runtimetest"
)

// imageCluster runs f with nodes that have images, in virtual time.
func imageCluster(t *testing.T, n int, f func(t *testing.T, c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newClusterOf(t, n, func(m *member) {
			m.image = runtimetest.NewImageStore()
			m.free.Store(1 << 40)
		})
		defer c.close()
		f(t, c)
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
		imageCluster(t, 3, func(t *testing.T, c *cluster) {
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
	imageCluster(t, 2, func(t *testing.T, c *cluster) {
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
		if failed := c.told("ErrImageNeverPull"); !slices.ContainsFunc(failed, func(m string) bool { return strings.Contains(m, "no live node has it") }) {
			t.Errorf("Events: %q", failed)
		}
	})
}

// TestImageOutlivesItsNode: an image that was loaded on one node only is soon on
// exactly one more, and the stand-in runs from that.
func TestImageOutlivesItsNode(t *testing.T) {
	imageCluster(t, 4, func(t *testing.T, c *cluster) {
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
			return len(slices.DeleteFunc(c.having("app:1"), func(name string) bool { return name == on })) >= 2
		})
	})
}

// TestImagesKeepToTheirArchitecture: they are neither fetched from nor kept by nodes
// that could not run them, nor copied there unasked; all are listed.
func TestImagesKeepToTheirArchitecture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arch := []string{"amd64", "arm64", "amd64", "arm64"}
		c := newClusterOf(t, 4, func(m *member) {
			m.image, m.arch, arch = runtimetest.NewImageStore(), arch[0], arch[1:]
			m.free.Store(1 << 40)
		})
		defer c.close()
		c.nodes[0].image.Add("app:1", []byte("for amd64"))
		c.nodes[1].image.Add("app:1", []byte("for arm64"))
		c.nodes[1].image.Add("kept:1", []byte("kept"))
		c.nodes[0].image.Add("copied:1", []byte("copied"))
		web := policyOf("app:1", "Never", 4)
		spread := map[string]any{"maxSkew": int64(1), "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
			"labelSelector": map[string]any{"matchLabels": map[string]any{"app": "web"}}}
		podOf(web)["topologySpreadConstraints"] = []any{spread}
		kept := policyOf("kept:1", "Never", 1)
		podOf(kept)["nodeSelector"] = map[string]any{"kubernetes.io/hostname": "n2"}
		for name, d := range map[string]map[string]any{"web": web, "kept": kept} {
			if err := c.nodes[0].create(state.Deployments, name, d); err != nil {
				t.Fatal(err)
			}
		}
		c.await("all are ready", func() bool { return len(c.nodes[0].readyPods()) == 5 })
		c.await("another one keeps it", func() bool { return len(c.having("kept:1")) == 2 })
		time.Sleep(4 * keepTurn)
		if have := c.having("kept:1"); !slices.Equal(have, []string{"n2", "n4"}) {
			t.Errorf("%v keep it", have)
		}
		for i, m := range c.nodes {
			want, _ := c.nodes[i%2].image.FindImage(t.Context(), "app:1")
			if have, err := m.image.FindImage(t.Context(), "app:1"); err != nil || have.ID != want.ID {
				t.Errorf("%s has %v, %v", m.id.Name, have, err)
			}
		}
		if err := c.nodes[0].CopyImage(t.Context(), api.ImageCopy{Name: "copied:1"}, func(string) {}); err != nil {
			t.Error(err)
		}
		if have := c.having("copied:1"); !slices.Equal(have, []string{"n1", "n3"}) {
			t.Errorf("%v have a copy", have)
		}
		list, err := c.nodes[0].Images(t.Context(), "")
		if err != nil || len(list.Silent) > 0 || len(list.Items) != 4 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// podOf is the spec of the pods of a Deployment.
func podOf(deployment map[string]any) map[string]any {
	return deployment["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
}

// TestAnImageThatVanishes is brought once per order, and then said to be missing.
func TestAnImageThatVanishes(t *testing.T) {
	imageCluster(t, 2, func(t *testing.T, c *cluster) {
		c.nodes[0].image.Add("app:1", []byte("an image"))
		for _, policy := range []string{"Never", "IfNotPresent", "Always"} {
			runs := 0
			lack := func(spec runtime.Spec) error {
				if runs++; runs > 9 {
					return nil
				}
				e := &runtime.ImageError{Image: "app:1", NoRegistry: spec.Containers[0].PullPolicy != "Never", Err: errors.New("nobody sees it")}
				return &runtime.Error{Kind: runtime.ImageMissing, Err: e}
			}
			spec := runtime.Spec{ID: runtime.RunID(policy), Containers: []runtime.Container{{Image: "app:1", PullPolicy: policy}}}
			err := c.nodes[1].withImages(t.Context(), spec, c.nodes[1].pullSecretsOf(core.Order{}), lack)
			if err == nil || !strings.Contains(err.Error(), errVanished.Error()) {
				t.Errorf("%s: %v after %d runs", policy, err, runs)
			}
		}
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

// waits are the reasons and messages of the containers that wait.
func (m *member) waits() (words []string) {
	pods, _ := m.cfg.Cache.List(state.Pods, "")
	for _, p := range pods {
		status, _ := p.Value()["status"].(map[string]any)
		for _, c := range list(status["containerStatuses"]) {
			states, _ := c["state"].(map[string]any)
			if w, ok := states["waiting"].(map[string]any); ok {
				words = append(words, fmt.Sprint(w["reason"], ": ", w["message"]))
			}
		}
	}
	return words
}

// TestPullingIsShown: while an image comes, the pod says from where and how much; the
// transfer holds up neither other pods nor the pod's own end.
func TestPullingIsShown(t *testing.T) {
	imageCluster(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.nodes[0], c.nodes[1]
		a.image.Pause = time.Second
		a.image.Add("slow:1", make([]byte, 100<<15))
		b.image.Add("quick:1", []byte("quick"))
		cordon(t, a)
		if err := a.create(state.Deployments, "slow", policyOf("slow:1", "IfNotPresent", 10)); err != nil {
			t.Fatal(err)
		}
		c.await("it says how far it is", func() bool {
			return slices.ContainsFunc(a.waits(), func(w string) bool {
				return strings.HasPrefix(w, "Pulling: getting slow:1 from n1, ") && strings.HasSuffix(w, " of 3 MB") && !strings.Contains(w, ", 0 kB of")
			})
		})
		if err := a.create(state.Deployments, "quick", policyOf("quick:1", "Never", 2)); err != nil {
			t.Fatal(err)
		}
		c.await("others start meanwhile", func() bool { return len(a.readyPods()) == 2 })
		if failed := c.told("FailedPulling"); len(failed) > 0 {
			t.Errorf("that an image is on its way is no failure: %q", failed)
		}
		if err := a.remove(state.Deployments, "slow"); err != nil {
			t.Fatal(err)
		}
		c.await("the pods that waited are gone", func() bool { return len(a.waits()) == 0 })
		if n := b.image.Loads(); n != 0 {
			t.Errorf("the image was there already: %d loads", n)
		}
	})
}

// TestArrivedImageStarts: who waits long for an image does not wait long once it is
// there. Time is virtual, so a second is exact.
func TestArrivedImageStarts(t *testing.T) {
	imageCluster(t, 2, func(t *testing.T, c *cluster) {
		a, b := c.nodes[0], c.nodes[1]
		a.image.Pause = time.Second
		a.image.Add("slow:1", make([]byte, 15<<15))
		cordon(t, a)
		if err := a.create(state.Deployments, "slow", policyOf("slow:1", "Never", 3)); err != nil {
			t.Fatal(err)
		}
		c.await("the image is there", func() bool { return b.image.Loads() == 1 })
		time.Sleep(time.Second)
		if ready := b.readyPods(); len(ready) != 3 {
			t.Errorf("%v are ready", ready)
		}
	})
}

func cordon(t *testing.T, m *member) {
	t.Helper()
	key := api.Key{Resource: state.Nodes, Name: m.id.Name}
	node, _ := m.cfg.Cache.Get(key)
	before := node.Value()
	after := copyOf(before)
	after["spec"] = map[string]any{"unschedulable": true}
	meta, _ := before["metadata"].(map[string]any)
	if _, err := m.Mutate(t.Context(), api.Mutation{Key: key, UID: fmt.Sprint(meta["uid"]), Old: before, New: after}); err != nil {
		t.Fatal(err)
	}
}

func (m *member) remove(resource, name string) error {
	key := api.Key{Resource: resource, Namespace: "default", Name: name}
	o, _ := m.cfg.Cache.Get(key)
	meta, _ := o.Value()["metadata"].(map[string]any)
	_, err := m.Mutate(m.c.t.Context(), api.Mutation{Key: key, UID: fmt.Sprint(meta["uid"]), Old: o.Value()})
	return err
}

// TestNoDiskSpace: a node whose disk is too full for an image says so with the
// figures, and the pod runs elsewhere.
func TestNoDiskSpace(t *testing.T) {
	imageCluster(t, 3, func(t *testing.T, c *cluster) {
		a := c.nodes[0]
		a.image.Add("app:1", []byte(strings.Repeat("bytes ", 100_000)))
		cordon(t, a) // it has the image, but runs nothing
		for _, m := range c.nodes[1:] {
			m.free.Store(image.Reserve)
		}
		if err := a.create(state.Deployments, "web", policyOf("app:1", "Never", 1)); err != nil {
			t.Fatal(err)
		}
		c.await("the figures are shown", func() bool {
			return slices.ContainsFunc(c.told("FailedNoDiskSpace"), func(w string) bool {
				return strings.Contains(w, "app:1 takes 1 MB while it is fetched and unpacked, 1.1 GB are free, and 1.1 GB of them stay free")
			})
		})
		events, _, err := a.Events(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		first := slices.IndexFunc(events, func(e map[string]any) bool { return e["reason"] == "FailedNoDiskSpace" })
		other := c.nodes[1]
		if events[first]["reportingInstance"] == other.id.Name {
			other = c.nodes[2]
		}
		other.free.Store(1 << 40)
		c.await("it runs where there is room", func() bool {
			ready := a.readyPods()
			return len(ready) == 1 && strings.HasSuffix(ready[0], " on "+other.id.Name)
		})
	})
}

// TestImagesOfTheAPI lists, loads and copies through one node.
func TestImagesOfTheAPI(t *testing.T) {
	imageCluster(t, 3, func(t *testing.T, c *cluster) {
		a, ctx := c.nodes[0], t.Context()
		maker := runtimetest.NewImageStore()
		var archive bytes.Buffer
		id := maker.Add("", []byte("an image"))
		if err := maker.SaveImage(ctx, id, &archive); err != nil {
			t.Fatal(err)
		}
		text := archive.Bytes()
		load := func(sum string) ([]api.ImageInfo, error) {
			return a.LoadImage(ctx, bytes.NewReader(text), func() string { return sum }, func(string) {})
		}
		if _, err := load("other"); !errors.Is(err, api.ErrInvalid) {
			t.Fatal(err)
		}
		loaded, err := load(fmt.Sprintf("%x", sha256.Sum256(text)))
		if err != nil || len(loaded) != 1 || loaded[0].ID != id || !slices.Equal(loaded[0].Nodes, []string{"n1"}) {
			t.Fatal(loaded, err)
		}
		a.image.Add("app:1", []byte("an image"))
		var mu sync.Mutex
		var said []string
		say := func(text string) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, text)
		}
		if err := a.CopyImage(ctx, api.ImageCopy{Name: "app:1"}, say); err != nil || len(said) < 3 {
			t.Fatal(err, said)
		}
		list, err := a.Images(ctx, "")
		if err != nil || len(list.Items) != 1 || !slices.Equal(list.Items[0].Nodes, []string{"n1", "n2", "n3"}) || !slices.Equal(list.Items[0].Names, []string{"app:1"}) || len(list.Silent) > 0 {
			t.Fatalf("%+v, %v", list, err)
		}
		if err := a.CopyImage(ctx, api.ImageCopy{Name: "nowhere:1"}, say); err == nil || !strings.Contains(err.Error(), "no live node has it") {
			t.Fatal(err)
		}
		if _, err := a.Images(ctx, "n9"); !errors.Is(err, api.ErrNotFound) {
			t.Fatal(err)
		}
		c.net.Partition([]p2p.PeerID{c.nodes[2].id.Peer()}, peersOf(c.nodes[:2]))
		c.await("n3 is named as silent", func() bool {
			list, err := a.Images(ctx, "")
			return err == nil && slices.Equal(list.Silent, []string{"n3"})
		})
		c.await("a copy there fails", func() bool {
			err := a.CopyImage(ctx, api.ImageCopy{Name: "app:1", Nodes: []string{"n3"}}, say)
			return err != nil && strings.Contains(err.Error(), "not copied to n3: n3 is out of reach")
		})
	})
	imageCluster(t, 1, func(t *testing.T, c *cluster) {
		c.nodes[0].free.Store(image.Reserve)
		_, err := c.nodes[0].LoadImage(t.Context(), strings.NewReader("an archive"), func() string { return "" }, func(string) {})
		if !errors.Is(err, api.ErrNoRoom) || !strings.Contains(err.Error(), "1.1 GB of them stay free") {
			t.Errorf("a full disk: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		if _, err := c.nodes[0].Images(t.Context(), ""); !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), "plain processes") {
			t.Errorf("a node without images: %v", err)
		}
	})
}
