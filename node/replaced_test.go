package node

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holon/crdt/state"
	"holon/node/api"
)

// reader knows the pods of a node by a list and a watch alone.
type reader struct {
	t    *testing.T
	name string
	mu   sync.Mutex
	rv   uint64
	pods map[string]string // UID by name
	last map[string]string // UID by name of what it has seen deleted last
	past map[string]bool   // UIDs that others have come after
}

func podUIDOf(o api.Object) string {
	meta := o.Value()["metadata"].(map[string]any)
	return meta["uid"].(string)
}

// ending reports whether the set of a pod is gone, so that no other comes after it.
func ending(o api.Object) bool {
	meta := o.Value()["metadata"].(map[string]any)
	return meta["ownerReferences"] == nil
}

// take applies a change as a client does, and says what none may be told.
func (r *reader) take(c api.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name, uid := c.Object.Name, podUIDOf(c.Object)
	has, there := r.pods[name]
	if ok := map[api.ChangeType]bool{
		api.Added: !there && !r.past[uid], api.Modified: there && has == uid, api.Deleted: there && has == uid,
	}[c.Type]; !ok || c.Object.RV <= r.rv {
		r.t.Errorf("%s knows %s as %q (%d), and is told of %q: %s (%d); that was replaced: %t", r.name, name, has, r.rv, uid, c.Type, c.Object.RV, r.past[uid])
	}
	r.rv, r.pods[name] = c.Object.RV, uid
	switch last, any := r.last[name]; {
	case c.Type == api.Deleted:
		delete(r.pods, name)
		r.last[name] = uid
	case any && last != uid:
		r.past[last] = true
	}
}

// follow watches from where the reader is; rv 0: from the beginning.
func (r *reader) follow(ctx context.Context, m *member) {
	w, err := m.cfg.Cache.Watch(ctx, state.Pods, "", r.rv)
	if err != nil {
		r.t.Fatal(err)
	}
	go func() {
		if r.rv == 0 { // the state as it is, by name
			slices.SortFunc(w.Start, func(a, b api.Change) int { return cmp.Compare(a.Object.RV, b.Object.RV) })
		}
		for _, c := range w.Start {
			r.take(c)
		}
		for c := range w.C {
			r.take(*c)
		}
	}()
}

// replacing is a history of pods that are replaced by others of their name.
type replacing struct {
	*cluster
	rng     *rand.Rand
	ctx     context.Context
	readers map[*member][]*reader
}

// read has one more reader of a node: who begins, who has a list, or who goes on from where
// another was.
func (h *replacing) read(m *member) {
	r := &reader{t: h.t, name: fmt.Sprintf("reader %d of %s", len(h.readers[m]), m.id.Name), pods: map[string]string{}, last: map[string]string{}, past: map[string]bool{}}
	switch before := h.readers[m]; {
	case len(before) > 0 && h.rng.IntN(2) == 0:
		other := before[h.rng.IntN(len(before))]
		other.mu.Lock()
		r.rv, r.pods, r.last, r.past = other.rv, maps.Clone(other.pods), maps.Clone(other.last), maps.Clone(other.past)
		other.mu.Unlock()
	case h.rng.IntN(2) == 0:
		var pods []api.Object
		pods, r.rv = m.cfg.Cache.List(state.Pods, "")
		for _, o := range pods {
			r.pods[o.Name] = podUIDOf(o)
		}
	}
	h.readers[m] = append(h.readers[m], r)
	r.follow(h.ctx, m)
}

// change replaces pods: one of them, or all with their set, which is made by one node: of two
// that are made at once one wins, and others may have seen the other.
func (h *replacing) change(m *member) error {
	set := api.Key{Resource: state.StatefulSets, Namespace: "default", Name: "db"}
	pods, _ := m.cfg.Cache.List(state.Pods, "")
	switch {
	case m == h.nodes[0] && !m.has(set):
		d := deploymentOf([]string{"web", "stubborn"}[h.rng.IntN(2)], 2)
		d["spec"].(map[string]any)["serviceName"] = "db"
		return m.create(set.Resource, set.Name, d)
	case m.has(set) && h.rng.IntN(3) == 0:
		return m.remove(set.Resource, set.Name)
	case len(pods) > 0:
		pod := pods[h.rng.IntN(len(pods))]
		if err := m.DeletePod(h.ctx, "default", pod.Name); err != nil {
			return err
		}
		if now, there := m.cfg.Cache.Get(pod.Key); there && podUIDOf(now) == podUIDOf(pod) && !ending(pod) {
			h.t.Errorf("%s shows %s with its UID after it has acknowledged the delete", m.id.Name, pod.Name)
		}
	}
	return nil
}

// TestAReplacedPodIsDeletedAndAdded: whoever lists and watches, from whatever resourceVersion
// he was given, is told of the end of a pod before there is another of its name, never again
// of one that another came after, and knows in the end what is there. Who deletes a pod is not shown it
// afterwards by the node that has acknowledged it: kubectl looks once by UID, and then waits
// for the end of whatever has the name (kubernetes/kubernetes#135562).
func TestAReplacedPodIsDeletedAndAdded(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 2)
				defer c.close()
				ctx, end := context.WithCancel(t.Context())
				defer end()
				h := &replacing{cluster: c, rng: rand.New(rand.NewPCG(seed, 7)), ctx: ctx, readers: map[*member][]*reader{}}
				for range 25 {
					m := c.nodes[h.rng.IntN(len(c.nodes))]
					h.read(m)
					if err := h.change(m); err != nil {
						t.Log(err) // it is gone meanwhile
					}
					time.Sleep(time.Duration(h.rng.IntN(3)*h.rng.IntN(12_000)) * time.Millisecond)
				}
				set := api.Key{Resource: state.StatefulSets, Namespace: "default", Name: "db"}
				if n := c.nodes[0]; !n.has(set) {
					if err := h.change(n); err != nil {
						t.Fatal(err)
					}
				}
				for _, m := range c.nodes {
					c.await("two ready pods and nothing else", func() bool {
						pods, _ := m.cfg.Cache.List(state.Pods, "")
						return len(pods) == 2 && len(m.readyPods()) == 2
					})
				}
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				for m, readers := range h.readers {
					pods, _ := m.cfg.Cache.List(state.Pods, "")
					is := map[string]string{}
					for _, o := range pods {
						is[o.Name] = podUIDOf(o)
					}
					if len(pods) != 2 || len(m.readyPods()) != 2 {
						t.Errorf("%s shows %v", m.id.Name, slices.Sorted(maps.Keys(is)))
					}
					for _, r := range readers {
						if !maps.Equal(r.pods, is) {
							t.Errorf("%s knows %v of %v", r.name, r.pods, is)
						}
					}
				}
			})
		})
	}
}
