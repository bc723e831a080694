package api

import (
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// openAPIRoutes answer just enough of OpenAPI v3 for clients to learn that this
// server checks fields itself: each kind's PATCH takes fieldValidation. Schemas
// are left out; clients then merge by the Go types they are built with.
func (s *Server) openAPIRoutes(mux *http.ServeMux) {
	index := map[string]any{}
	for _, gv := range append([]schema.GroupVersion{{Version: "v1"}}, groups()...) {
		path := "apis/" + gv.String()
		if gv.Group == "" {
			path = "api/" + gv.Version
		}
		document := openAPIDocument(gv, "/"+path)
		index[path] = map[string]any{"serverRelativeURL": "/openapi/v3/" + path}
		mux.HandleFunc("GET /openapi/v3/"+path, func(w http.ResponseWriter, r *http.Request) { writeJSON(w, r, http.StatusOK, document) })
	}
	mux.HandleFunc("GET /openapi/v3", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, r, http.StatusOK, map[string]any{"paths": index})
	})
}

func openAPIDocument(gv schema.GroupVersion, base string) map[string]any {
	paths := map[string]any{}
	for _, k := range kinds {
		if k.GroupVersion() != gv || !k.can("patch") {
			continue
		}
		path := base + "/" + k.plural + "/{name}"
		if k.namespaced {
			path = base + "/namespaces/{namespace}/" + k.plural + "/{name}"
		}
		paths[path] = map[string]any{"patch": map[string]any{
			"operationId": "patch" + k.Kind,
			"parameters": []any{
				map[string]any{"name": "dryRun", "in": "query", "schema": map[string]any{"type": "string"}},
				map[string]any{"name": "fieldValidation", "in": "query", "schema": map[string]any{"type": "string"}},
			},
			"responses":                       map[string]any{"200": map[string]any{"description": "OK"}},
			"x-kubernetes-action":             "patch",
			"x-kubernetes-group-version-kind": map[string]any{"group": k.Group, "version": k.Version, "kind": k.Kind},
		}}
	}
	return map[string]any{
		"openapi": "3.0.0", "info": map[string]any{"title": "holon", "version": strings.TrimPrefix(kubernetesVersion, "v")}, "paths": paths,
		"components": map[string]any{"schemas": map[string]any{}},
	}
}
