package api

import (
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holon/node/api/openapi"
)

// openAPIRoutes answer what the kinds look like, by which clients explain, check and
// merge them, and that this server checks fields itself: each kind's PATCH takes
// fieldValidation.
func (s *Server) openAPIRoutes(mux *http.ServeMux) {
	patches := patches()
	index := map[string]any{}
	for _, gv := range slices.Concat([]schema.GroupVersion{{Version: "v1"}}, slices.Concat(groupsNamed()...)) {
		path := strings.TrimPrefix(groupPath(gv), "/")
		index[path] = map[string]any{"serverRelativeURL": "/openapi/v3/" + path}
		mux.HandleFunc("GET /openapi/v3/"+path, func(w http.ResponseWriter, r *http.Request) {
			document, err := openapi.V3(openAPIInfo, gv, patches)
			if err != nil {
				writeError(w, r, err)
				return
			}
			writeJSON(w, r, http.StatusOK, document)
		})
	}
	mux.HandleFunc("GET /openapi/v3", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, r, http.StatusOK, map[string]any{"paths": index})
	})
	mux.HandleFunc("GET /openapi/v2", func(w http.ResponseWriter, r *http.Request) {
		document, err := openapi.V2(openAPIInfo, patches)
		if err == nil && !openapi.Accepts2(r.Header.Get("Accept")) {
			writeJSON(w, r, http.StatusOK, document)
			return
		}
		var proto []byte
		if err == nil {
			proto, err = document.Proto()
		}
		if err != nil {
			writeError(w, r, err)
			return
		}
		writeBytes(w, http.StatusOK, openapi.TypeProto2, proto)
	})
}

var openAPIInfo = openapi.Info{Title: "holon", Version: strings.TrimPrefix(kubernetesVersion, "v")}

func groupPath(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "/api/" + gv.Version
	}
	return "/apis/" + gv.String()
}

// patches are the places of all kinds that are served, and of those that are refused, also
// of what can only be read: what is not among them kubectl and Helm do not send at all, and
// say themselves that they do not know it instead of being told why.
func patches() (list []openapi.Patch) {
	add := func(gvk schema.GroupVersionKind, plural string, namespaced bool) {
		path := groupPath(gvk.GroupVersion())
		if namespaced {
			path += "/namespaces/{namespace}"
		}
		list = append(list, openapi.Patch{Path: path + "/" + plural + "/{name}", Kind: gvk})
	}
	for _, k := range kinds {
		if k.can("get") {
			add(k.GroupVersionKind, k.plural, k.namespaced)
		}
	}
	for _, f := range refusals {
		add(f.WithKind(f.kind), f.plural, f.namespaced)
	}
	return list
}

// Served has an object of each kind that clients read or write, with its lists and the
// kinds of its subresources: what openapi has schemas of.
func Served() map[schema.GroupVersionKind]runtime.Object {
	all := map[schema.GroupVersionKind]runtime.Object{}
	for _, k := range kinds {
		all[k.GroupVersionKind] = k.make()
		others := []schema.GroupVersionKind{k.GroupVersion().WithKind(k.Kind + "List")}
		for _, sub := range k.subresources {
			others = append(others, sub.gvk)
		}
		for _, gvk := range others {
			// Options travel in the query, and what is asked or holon's own has no list type.
			if obj, err := scheme.New(gvk); err == nil && !strings.HasSuffix(gvk.Kind, "Options") {
				all[gvk] = obj
			}
		}
	}
	return all
}
