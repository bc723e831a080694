package node

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holon/crdt/state"
	"holon/node/api"
)

// podOn is a pod that m sees on another node.
func (m *member) podOn(owner *member) (name string) {
	for _, pod := range m.readyPods() {
		if pod, on, _ := strings.Cut(pod, " on "); on == owner.id.Name {
			name = pod
		}
	}
	return name
}

// TestTheOwnerJudgesToo: whoever may not do something by what the node knows that runs the pod
// is refused, though the node that was asked carries him there; it judges its own clients in
// the API.
func TestTheOwnerJudgesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.close()
		c.runWeb(2)
		entry, owner := c.nodes[0], c.nodes[1]
		far := entry.podOn(owner)
		ann := api.Actor{User: "ann", Groups: []string{"devs"}, Serial: "5"}
		use := func(who api.Actor) (refused int) {
			t.Helper()
			ask := []func() error{
				func() error {
					return entry.Logs(t.Context(), "default", far, api.LogOptions{Tail: -1, Actor: who}, &bytes.Buffer{})
				},
				func() error {
					_, err := entry.Exec(t.Context(), "default", far, "app", []string{"id"}, api.Stream{Actor: who})
					return err
				},
				func() error { return entry.Attach(t.Context(), "default", far, "app", api.Stream{Actor: who}) },
				func() error { return entry.PortForward(t.Context(), "default", far, 80, api.Stream{Actor: who}) },
			}
			for _, f := range ask {
				if err := f(); errors.Is(err, api.ErrDenied) {
					refused++
				}
			}
			return refused
		}
		if got := use(api.Owner); got != 0 {
			t.Errorf("the owner of the nodes is refused %d times", got)
		}
		if got := use(ann); got != 4 {
			t.Errorf("who has no rights is refused %d times of 4", got)
		}
		if got := owner.log.lines("denied", "user=ann", "entry=n1"); len(got) != 4 {
			t.Errorf("the node that refused logs %q", got)
		}
		err := entry.create(state.RoleBindings, "devs", map[string]any{
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
			"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "devs"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.await("the binding on both nodes", func() bool { return use(ann) == 0 })
		_, err = entry.Mutate(t.Context(), api.Mutation{
			Key: api.Key{Resource: state.Revocations, Name: "r"}, New: map[string]any{"spec": map[string]any{"serial": "5"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.await("the revocation of her credential", func() bool { return use(ann) == 4 })
		ann.Serial = "6"
		if got := use(ann); got != 0 {
			t.Errorf("with another credential she is refused %d times", got)
		}
		ann.By = "eve"
		if got := use(ann); got != 0 {
			t.Errorf("who acts as her is refused %d times", got)
		}
		_, err = entry.Mutate(t.Context(), api.Mutation{
			Key: api.Key{Resource: state.Revocations, Name: "e"}, New: map[string]any{"spec": map[string]any{"user": "eve"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.await("the revocation of who acts as her", func() bool { return use(ann) == 4 })
		ann.By, ann.Groups = "", nil
		if got := use(ann); got != 4 {
			t.Errorf("without her group she is refused %d times of 4", got)
		}

		// Another run than the owner's, under the name of a pod that she may use.
		run := sessionRequest{Run: "another", Namespace: "default", Pod: far, Container: "app", Actor: api.Owner, Command: []string{"id"}}
		if _, err := entry.session(t.Context(), owner.id.Name, run, api.Stream{}); !errors.Is(err, api.ErrDenied) {
			t.Errorf("a run that is not the pod's: %v", err)
		}
	})
}

func (m *member) has(key api.Key) bool {
	_, there := m.cfg.Cache.Get(key)
	return there
}

// openAll opens a session of each kind with a pod on another node, and says how they end.
func (m *member) openAll(pod string, who api.Actor) (ends map[string]chan error) {
	ctx := m.c.t.Context()
	silent := func() io.Reader {
		r, w := io.Pipe()
		m.c.t.Cleanup(func() { w.Close() })
		return r
	}
	ends = map[string]chan error{}
	for what, open := range map[string]func() error{
		"log": func() error {
			return m.Logs(ctx, "default", pod, api.LogOptions{Tail: -1, Follow: true, Actor: who}, io.Discard)
		},
		"exec": func() error {
			_, err := m.Exec(ctx, "default", pod, "app", []string{"cat"}, api.Stream{Actor: who, Stdin: silent()})
			return err
		},
		"attach":      func() error { return m.Attach(ctx, "default", pod, "app", api.Stream{Actor: who, Stdin: silent()}) },
		"portforward": func() error { return m.PortForward(ctx, "default", pod, 7, api.Stream{Actor: who, Stdin: silent()}) },
	} {
		end := make(chan error, 1)
		ends[what] = end
		go func() { end <- open() }()
	}
	return ends
}

// TestTheOwnerEndsToo: a session ends once the node that runs the pod hears why, though the
// one that was asked does not: n1 hears nobody, n3 says it, and n2 has the pod. Others go on.
func TestTheOwnerEndsToo(t *testing.T) {
	account := api.Key{Resource: state.ServiceAccounts, Namespace: "default", Name: "robot"}
	binding := api.Key{Resource: state.RoleBindings, Namespace: "default", Name: "devs"}
	revocation := api.Key{Resource: state.Revocations, Name: "r"}
	for _, x := range []struct {
		name  string
		means func(entry *member, who *api.Actor) // of the credential
		news  func(n3 *member) error
		why   string
	}{
		{name: "revocation", why: "is revoked", news: func(n3 *member) error {
			_, err := n3.Mutate(n3.c.t.Context(), api.Mutation{Key: revocation, New: map[string]any{"spec": map[string]any{"serial": "5"}}})
			return err
		}},
		{name: "right", why: `User "ann" cannot`, news: func(n3 *member) error { return n3.remove(binding.Resource, binding.Name) }},
		{name: "end", why: "expired", news: func(*member) error { return nil }, means: func(entry *member, who *api.Actor) {
			now, _ := entry.ClusterTime()
			who.From, who.Until = now.Unix(), now.Unix()+30
		}},
		{name: "account", why: "has ended with its ServiceAccount", news: func(n3 *member) error { return n3.remove(account.Resource, account.Name) }, means: func(entry *member, who *api.Actor) {
			o, _ := entry.cfg.Cache.Get(account)
			meta := o.Value()["metadata"].(map[string]any)
			who.Bound = &api.Bound{Namespace: "default", Account: api.BoundName{Name: "robot", UID: meta["uid"].(string)}}
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))) // before that nobody knows the time
				c := newCluster(t, 3)
				defer c.close()
				c.runWeb(3)
				entry, owner, n3 := c.nodes[0], c.nodes[1], c.nodes[2]
				grant := map[string]any{
					"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
					"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "devs"}},
				}
				for key, value := range map[api.Key]map[string]any{account: {}, binding: grant} {
					if err := entry.create(key.Resource, key.Name, value); err != nil {
						t.Fatal(err)
					}
					c.await(key.Name+" on every node", func() bool {
						return !slices.ContainsFunc(c.nodes, func(m *member) bool { return !m.has(key) })
					})
				}
				ann := api.Actor{User: "ann", Groups: []string{"devs"}, Serial: "5"}
				if x.means != nil {
					x.means(entry, &ann)
				}
				ends := entry.openAll(entry.podOn(owner), ann)
				kept := entry.openAll(entry.podOn(owner), api.Owner)
				c.await("open sessions", func() bool { return len(owner.slots) == len(ends)+len(kept) })
				c.tap.deafen(entry.id.Peer())
				if err := x.news(n3); err != nil {
					t.Fatal(err)
				}
				c.await("their end at the owner", func() bool { return len(owner.slots) == len(kept) })
				for what, end := range ends {
					if err := <-end; !errors.Is(err, api.ErrDenied) || !strings.Contains(err.Error(), x.why) {
						t.Errorf("%s ends with %v", what, err)
					}
				}
				if got := owner.log.lines("for another node ended", "user=ann", "entry=n1"); len(got) != len(ends) {
					t.Errorf("the owner logs %q", got)
				}
				if entry.has(revocation) || !entry.has(binding) || !entry.has(account) {
					t.Error("the node that was asked has heard of it")
				}
				c.tap.deafen("")
			})
		})
	}
}
