package api

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
)

// Whichever way a client writes, only the registers of what it changed are written.
func TestEveryWayToWriteWritesOnlyWhatChanged(t *testing.T) {
	const object = "/apis/apps/v1/namespaces/default/deployments/web"
	const env = `/spec/template/spec/containers/[name="a"]/env/`
	for _, c := range []struct {
		name, method, path, media, body string
		want                            []string // with - before those that go
	}{
		{"strategic merge patch", "PATCH", object, "application/strategic-merge-patch+json",
			`{"spec":{"template":{"spec":{"containers":[{"name":"a","env":[{"name":"B","value":"x"}]}]}}}}`, []string{env + `[name="B"]`}},
		{"strategic deletion", "PATCH", object, "application/strategic-merge-patch+json",
			`{"spec":{"template":{"spec":{"containers":[{"name":"a","env":[{"name":"C","$patch":"delete"}]}]}}}}`, []string{env + "#order", "-" + env + `[name="C"]`}},
		{"JSON merge patch", "PATCH", object, "application/merge-patch+json", `{"metadata":{"labels":{"x":"y"}},"spec":{"revisionHistoryLimit":3}}`,
			[]string{"/metadata/labels/x", "/spec/revisionHistoryLimit"}},
		{"JSON merge patch of a list", "PATCH", object, "application/merge-patch+json",
			`{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"web:2","env":[{"name":"A","value":"1"},{"name":"B","value":"2"},{"name":"C","value":"3"}]}]}}}}`,
			[]string{`/spec/template/spec/containers/[name="a"]/image`}},
		{"JSON patch", "PATCH", object, "application/json-patch+json",
			`[{"op":"replace","path":"/spec/template/spec/containers/0/env/0/value","value":"x"},{"op":"remove","path":"/spec/template/spec/containers/0/env/2"}]`,
			[]string{env + "#order", env + `[name="A"]`, "-" + env + `[name="C"]`}},
		{"scale by put", "PUT", object + "/scale", "application/json", `{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"web","namespace":"default"},"spec":{"replicas":7}}`,
			[]string{"/spec/replicas"}},
		{"scale by patch", "PATCH", object + "/scale", "application/merge-patch+json", `{"spec":{"replicas":8}}`, []string{"/spec/replicas"}},
	} {
		f := serve(t)
		d := deployment("web", 1)
		d.Spec.Template.Spec.Containers[0].Name, d.Spec.Template.Spec.Containers[0].Image = "a", "web:1"
		d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}, {Name: "C", Value: "3"}}
		made, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, d, create)
		check(t, err)
		f.do(c.method, c.path, c.body, "Content-Type: "+c.media).want(t, http.StatusOK)
		f.wrote(c.name, c.want)

		current, err := f.kube.AppsV1().Deployments("default").Get(f.ctx, "web", get)
		check(t, err)
		made = current.DeepCopy()
		made.Spec.Template.Spec.Containers[0].Env = append(made.Spec.Template.Spec.Containers[0].Env, corev1.EnvVar{Name: "PUT", Value: "1"})
		_, err = f.kube.AppsV1().Deployments("default").Update(f.ctx, made, update)
		check(t, err)
		f.wrote(c.name+", then put", []string{env + "#order", env + `[name="PUT"]`})
	}
}

// wrote compares the registers that the last write changes.
func (f *fixture) wrote(name string, want []string) {
	f.t.Helper()
	last := f.backend.mutated[len(f.backend.mutated)-1]
	flat := func(value map[string]any) map[string][]byte {
		value = maps.Clone(value)
		delete(value, "status")
		values, err := state.FlattenAs(last.Resource, value)
		check(f.t, err)
		return values
	}
	have := []string{}
	for path, value := range state.Diff(flat(last.Old), flat(last.New)) {
		switch {
		case strings.HasPrefix(path, "/metadata/resourceVersion"): // not stored
		case value == nil:
			have = append(have, "-"+path)
		default:
			have = append(have, path)
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		f.t.Errorf("%s: wrote %q, want %q", name, have, want)
	}
}
