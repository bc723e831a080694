package api

import (
	"net/http"
	"testing"

	"k8s.io/kube-openapi/pkg/util/proto"
)

// A client of Kubernetes finds each kind that is served in both documents.
func TestOpenAPIDescribesWhatIsServed(t *testing.T) {
	f := serve(t)
	document, err := f.kube.Discovery().OpenAPISchema()
	check(t, err)
	models, err := proto.NewOpenAPIData(document)
	check(t, err)
	described := map[string]bool{}
	for _, name := range models.ListModels() {
		list, _ := models.LookupModel(name).GetExtensions()["x-kubernetes-group-version-kind"].([]any)
		for _, gvk := range list {
			gvk := gvk.(map[any]any)
			described[gvk["group"].(string)+"/"+gvk["version"].(string)+" "+gvk["kind"].(string)] = true
		}
	}
	paths, err := f.kube.Discovery().OpenAPIV3().Paths()
	check(t, err)
	for _, k := range kinds {
		if name := k.Group + "/" + k.Version + " " + k.Kind; !described[name] {
			t.Errorf("OpenAPI v2 does not describe %s", name)
		}
		if paths[groupPath(k.GroupVersion())[1:]] == nil {
			t.Errorf("OpenAPI v3 has no document for %s", k.GroupVersion())
		}
	}
	f.do("GET", "/openapi/v2", "", "Accept: application/json").want(t, http.StatusOK)
}
