package node

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"holon/crdt/state"
	"holon/node/api"
)

// TestTheOwnerJudgesToo: whoever may not do something by what the node knows that runs the pod
// is refused, though the node that was asked carries him there; it judges its own clients in
// the API.
func TestTheOwnerJudgesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.close()
		c.runWeb(2)
		entry, owner := c.nodes[0], c.nodes[1]
		far := ""
		for _, pod := range entry.readyPods() {
			if name, on, _ := strings.Cut(pod, " on "); on == owner.id.Name {
				far = name
			}
		}
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
