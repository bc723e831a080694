package api

import (
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// typeDiscovery is the whole of /api or /apis in one document.
const typeDiscovery = typeJSON + ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// eitherDiscovery serves path in the aggregated form to who prefers it, else in the plain one.
func eitherDiscovery(mux *http.ServeMux, path string, plain any, groups []apidiscovery.APIGroupDiscovery) {
	body, err := json.Marshal(apidiscovery.APIGroupDiscoveryList{
		TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: apidiscovery.SchemeGroupVersion.String()}, Items: groups,
	})
	utilruntime.Must(err) // of our own making
	tag := strconv.Quote(fmt.Sprintf("%X", sha512.Sum512(body)))
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept") // whatever keeps answers must not mix the two
		if !wantsAggregated(r) {
			writeJSON(w, r, http.StatusOK, plain)
			return
		}
		w.Header().Set("ETag", tag)
		w.Header().Set("Cache-Control", "public")
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		writeBytes(w, http.StatusOK, typeDiscovery, body)
	})
}

// wantsAggregated tells whether the first form in the Accept header that is served is the aggregated one.
func wantsAggregated(r *http.Request) bool {
	for _, clause := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		media, params, err := mime.ParseMediaType(strings.TrimSpace(clause))
		switch {
		case err != nil || media != typeJSON && media != "*/*" && media != "application/*":
		case params["as"] == "":
			return false
		case params["as"] == "APIGroupDiscoveryList" && params["g"] == apidiscovery.GroupName && params["v"] == "v2":
			return true
		}
	}
	return false
}

// aggregated is one version of one group, made of what its plain list says.
func aggregated(list metav1.APIResourceList, group, version string) apidiscovery.APIGroupDiscovery {
	v := apidiscovery.APIVersionDiscovery{Version: version, Freshness: apidiscovery.DiscoveryFreshnessCurrent}
	for _, r := range list.APIResources { // by name: a resource before its subresources
		kind := &metav1.GroupVersionKind{Group: or(r.Group, group), Version: or(r.Version, version), Kind: r.Kind}
		if _, sub, ok := strings.Cut(r.Name, "/"); ok {
			of := &v.Resources[len(v.Resources)-1]
			of.Subresources = append(of.Subresources, apidiscovery.APISubresourceDiscovery{Subresource: sub, ResponseKind: kind, Verbs: r.Verbs})
			continue
		}
		scope := apidiscovery.ScopeCluster
		if r.Namespaced {
			scope = apidiscovery.ScopeNamespace
		}
		v.Resources = append(v.Resources, apidiscovery.APIResourceDiscovery{
			Resource: r.Name, ResponseKind: kind, Scope: scope, SingularResource: r.SingularName, Verbs: r.Verbs,
			ShortNames: r.ShortNames, Categories: r.Categories,
		})
	}
	return apidiscovery.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: group}, Versions: []apidiscovery.APIVersionDiscovery{v}}
}
