package api

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
)

func (f *fixture) namespace(name string) {
	_, err := f.kube.CoreV1().Namespaces().Create(f.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, create)
	check(f.t, err)
}

func TestEachNamespaceHasWhatProgramsTakeForGranted(t *testing.T) {
	f := serve(t)
	f.namespace("team")
	for _, ns := range []string{"default", "kube-system", "team"} {
		sa, err := f.kube.CoreV1().ServiceAccounts(ns).Get(f.ctx, "default", get)
		check(t, err)
		root, err := f.kube.CoreV1().ConfigMaps(ns).Get(f.ctx, "kube-root-ca.crt", get)
		check(t, err)
		if sa.UID == "" || sa.CreationTimestamp.IsZero() || root.Data["ca.crt"] != string(f.ca.CertPEM()) {
			t.Errorf("in %s: %+v, %+v", ns, sa, root)
		}
	}
	services, err := f.kube.CoreV1().Services("").List(f.ctx, list)
	check(t, err)
	if len(services.Items) != 1 || services.Items[0].Namespace != "default" || services.Items[0].Spec.Ports[0].Port != 443 {
		t.Errorf("services: %+v", services.Items)
	}
	for _, m := range f.backend.mutated {
		if givenOf(m.Key) != nil {
			t.Errorf("stored: %+v", m)
		}
	}
	check(t, f.kube.CoreV1().Namespaces().Delete(f.ctx, "team", del))
	if _, err := f.kube.CoreV1().ServiceAccounts("team").Get(f.ctx, "default", get); !apierrors.IsNotFound(err) {
		t.Errorf("of a namespace that is gone: %v", err)
	}
}

func TestWhatIsGivenComesBackWhenItIsDeleted(t *testing.T) {
	f := serve(t)
	accounts := f.kube.CoreV1().ServiceAccounts("default")
	before, err := accounts.Get(f.ctx, "default", get)
	check(t, err)
	w, err := accounts.Watch(f.ctx, metav1.ListOptions{ResourceVersion: before.ResourceVersion, FieldSelector: "metadata.name=default"})
	check(t, err)
	defer w.Stop()
	check(t, accounts.Delete(f.ctx, "default", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &before.UID}}))
	expect(t, w, "DELETED default")
	expect(t, w, "ADDED default")
	after, err := accounts.Get(f.ctx, "default", get)
	check(t, err)
	if after.UID == before.UID {
		t.Error("who waits until it is gone waits for ever")
	}
	check(t, f.kube.CoreV1().ConfigMaps("default").DeleteCollection(f.ctx, del, list))
	_, err = f.kube.CoreV1().ConfigMaps("default").Get(f.ctx, "kube-root-ca.crt", get)
	check(t, err)
}

func TestWhoChangesWhatIsGivenOwnsIt(t *testing.T) {
	f := serve(t)
	f.namespace("team")
	accounts := f.kube.CoreV1().ServiceAccounts("team")
	_, err := accounts.Create(f.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, create)
	if !apierrors.IsAlreadyExists(err) {
		t.Errorf("a second one: %v", err)
	}
	given, err := accounts.Get(f.ctx, "default", get)
	check(t, err)
	dry, err := accounts.Patch(f.ctx, "default", types.MergePatchType, []byte(`{"metadata":{"labels":{"mine":"yes"}}}`), metav1.PatchOptions{DryRun: []string{"All"}})
	check(t, err)
	if dry.Labels["mine"] != "yes" || dry.UID != given.UID {
		t.Errorf("tried: %+v", dry)
	}
	mine, err := accounts.Patch(f.ctx, "default", types.MergePatchType, []byte(`{"metadata":{"labels":{"mine":"yes"}}}`), patch)
	check(t, err)
	if mine.Labels["mine"] != "yes" || mine.UID == given.UID {
		t.Errorf("stored: %+v", mine)
	}
	given.Labels = map[string]string{"theirs": "yes"}
	if _, err = accounts.Update(f.ctx, given, update); !apierrors.IsConflict(err) {
		t.Errorf("an update of what was given before: %v", err)
	}
	if _, there := f.backend.stored[Key{ServiceAccounts, "team", "default"}]; !there {
		t.Error("it is not stored")
	}
	check(t, accounts.Delete(f.ctx, "default", del))
	again, err := accounts.Get(f.ctx, "default", get)
	check(t, err)
	if again.UID != given.UID || len(again.Labels) > 0 {
		t.Errorf("given again: %+v", again)
	}
	f.do("PATCH", "/api/v1/namespaces/team/serviceaccounts/default?fieldManager=m", `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default","labels":{"a":"b"}}}`,
		"Content-Type: application/apply-patch+yaml").want(t, 200, `"a":"b"`)
	check(t, f.kube.CoreV1().Namespaces().Delete(f.ctx, "team", del))
	if len(f.backend.stored) != 4 { // two namespaces, two nodes
		t.Errorf("left: %v", f.backend.stored)
	}
}

// TestWhatIsGivenFollowsTheNamespaces: whatever happens, in any order and in one step or
// several, each namespace that is there has each of its objects, a stored one if there
// is one, and no other namespace has a given one.
func TestWhatIsGivenFollowsTheNamespaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewCache(1, 1, nil)
		stored := map[Key]bool{}
		early := rapid.Bool().Draw(t, "begins early")
		if early {
			_ = c.Give(nil) // without reserve nothing fails
		}
		names := []string{"default", "a"}
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			var objects []Object
			var deletes []Key
			for range rapid.IntRange(1, 3).Draw(t, "size") {
				ns := rapid.SampledFrom(names).Draw(t, "ns")
				key := rapid.SampledFrom([]Key{{Namespaces, "", ns}, {ServiceAccounts, ns, "default"}, {ConfigMaps, ns, "kube-root-ca.crt"}, {Services, ns, "kubernetes"}}).Draw(t, "key")
				if rapid.Bool().Draw(t, "goes") {
					deletes = append(deletes, key)
					continue
				}
				uid := rapid.SampledFrom([]string{"1", "2"}).Draw(t, "uid")
				objects = append(objects, Object{Key: key, Token: 7, Source: Decoded{"metadata": map[string]any{"name": key.Name, "uid": "stored " + uid}}})
			}
			for _, k := range deletes {
				delete(stored, k)
			}
			for _, o := range objects {
				stored[o.Key] = true
			}
			if err := c.Apply(objects, deletes); err != nil {
				t.Fatal(err)
			}
		}
		if !early {
			_ = c.Give(nil)
		}
		for _, ns := range names {
			there := stored[Key{Namespaces, "", ns}]
			for _, g := range givens {
				key := Key{g.Resource, ns, g.Name}
				o, shown := c.Get(key)
				has := there && (g.only == "" || g.only == ns)
				if shown != (stored[key] || has) || shown && (o.Token == 7) != stored[key] {
					t.Fatalf("%v: stored %v, namespace there %v, shown %v: %v", key, stored[key], there, shown, o.Value())
				}
			}
		}
	})
}
