package api

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func (f *refusal) path(name string) string {
	path := groupPath(f.GroupVersion)
	if f.namespaced {
		path += "/namespaces/default"
	}
	return path + "/" + f.plural + name
}

func TestRefusedKindsAreRefusedInWords(t *testing.T) {
	f := serve(t)
	eve := f.as("eve") // who may do nothing, and is told all the same that nobody may
	words := func(r *refusal) string { return fmt.Sprintf("holon has no %s: ", plurals(r.kind)) }
	for i := range refusals {
		r := &refusals[i]
		if kindOf(r.Group, r.Version, r.plural) != nil {
			t.Errorf("%s is served and refused", r.plural)
		}
		if len(r.why) < 20 || strings.HasSuffix(r.why, ".") {
			t.Errorf("%s: no words: %q", r.plural, r.why)
		}
		body := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":"x"}}`, r.GroupVersion.String(), r.kind)
		f.do("POST", r.path(""), body).want(t, 405, `"MethodNotAllowed"`, words(r)+r.why)
		f.do("PUT", r.path("/x"), body).want(t, 405, words(r))
		f.do("PATCH", r.path("/x")+"?fieldManager=m", body, "Content-Type: application/apply-patch+yaml").want(t, 405, words(r))
		f.do("GET", r.path("/x"), "").want(t, 404, `"NotFound"`, words(r)+r.why)
		f.do("GET", r.path(""), "").want(t, 404, words(r))
		f.do("DELETE", r.path("/x"), "").want(t, 404, words(r))
		f.doWith(eve, "POST", r.path(""), body).want(t, 405, words(r))
	}
	f.doWith(eve, "GET", "/api/v1/namespaces/default/configmaps", "").want(t, 403)
	if writes := f.backend.mutated; len(writes) > 5 { // namespaces, nodes
		t.Errorf("something was written: %v", writes[5:])
	}
}

// TestRefusedKindsAreNotAmongThoseThatAreThere: discovery names each for who maps a
// manifest's kind to a path, and gives it neither verb nor category.
func TestRefusedKindsAreNotAmongThoseThatAreThere(t *testing.T) {
	f := serve(t)
	_, lists, err := f.kube.Discovery().ServerGroupsAndResources()
	check(t, err)
	found := map[schema.GroupVersionKind]bool{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		check(t, err)
		for _, r := range list.APIResources {
			if strings.Contains(r.Name, "/") {
				continue
			}
			served := kindOf(gv.Group, gv.Version, r.Name) != nil || gv.Group == holonGroup
			if served != (len(r.Verbs) > 0) || !served && len(r.Categories) > 0 {
				t.Errorf("%s %s: served %v, verbs %v, categories %v", gv, r.Name, served, r.Verbs, r.Categories)
			}
			found[gv.WithKind(r.Kind)] = true
		}
	}
	for _, r := range refusals {
		if !found[r.GroupVersion.WithKind(r.kind)] {
			t.Errorf("discovery does not name %s", r.kind)
		}
	}
}

func TestPluralsOfKinds(t *testing.T) {
	for kind, want := range map[string]string{
		"NetworkPolicy": "NetworkPolicies", "Ingress": "Ingresses", "Endpoints": "Endpoints", "Lease": "Leases", "APIService": "APIServices",
	} {
		if got := plurals(kind); got != want {
			t.Errorf("%s: %s", kind, got)
		}
	}
}

// kubectl and Helm leave the check of a manifest's fields to the server only where OpenAPI
// says that it does so; else they look for a CustomResourceDefinition, and fail on that.
func TestOpenAPISaysWhereRefusedKindsWouldBeWritten(t *testing.T) {
	f := serve(t)
	for _, r := range refusals {
		a := f.do("GET", "/openapi/v3"+groupPath(r.GroupVersion), "").want(t, 200, `"kind":"`+r.kind+`"`, "fieldValidation")
		if !strings.Contains(a.body, "/"+r.plural+"/{name}") {
			t.Errorf("no place for %s", r.plural)
		}
	}
}
