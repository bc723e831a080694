package api

import (
	"fmt"
	"net/http"
	goruntime "runtime"
	"slices"
	"strings"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// kubernetesVersion is the version whose API this server follows.
const (
	kubernetesVersion = "v1.35.0"
	kubernetesMajor   = "1"
	kubernetesMinor   = "35"
)

// discoveryRoutes answer what there is, path by path and, of /api and /apis, all at once.
func (s *Server) discoveryRoutes(mux *http.ServeMux) {
	static := func(path string, body any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { writeJSON(w, r, http.StatusOK, body) })
	}
	static("/version", version.Info{
		Major: kubernetesMajor, Minor: kubernetesMinor, GitVersion: kubernetesVersion + "+holon",
		GoVersion: goruntime.Version(), Compiler: goruntime.Compiler, Platform: goruntime.GOOS + "/" + goruntime.GOARCH,
	})
	core := resourceList("", "v1")
	eitherDiscovery(mux, "/api", metav1.APIVersions{
		TypeMeta: metav1.TypeMeta{Kind: "APIVersions", APIVersion: "v1"}, Versions: []string{"v1"},
		ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{},
	}, []apidiscovery.APIGroupDiscovery{aggregated(core, "", "v1")})
	static("/api/v1", core)
	var whole []apidiscovery.APIGroupDiscovery
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	for _, versions := range groupsNamed() {
		group := metav1.APIGroup{Name: versions[0].Group}
		all := apidiscovery.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: group.Name}}
		for _, gv := range versions {
			group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version})
			resources := resourceList(gv.Group, gv.Version)
			static("/apis/"+gv.String(), resources)
			all.Versions = append(all.Versions, aggregated(resources, gv.Group, gv.Version).Versions...)
		}
		group.PreferredVersion = group.Versions[0]
		list.Groups, whole = append(list.Groups, group), append(whole, all)
		group.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
		static("/apis/"+group.Name, group)
	}
	eitherDiscovery(mux, "/apis", list, whole)
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	}
}

// groupsNamed are the versions of each group, of what is served and what is refused in
// words, the preferred version first.
func groupsNamed() (all [][]schema.GroupVersion) {
	list := groups()
	for _, f := range refusals {
		if f.Group != "" && !slices.Contains(list, f.GroupVersion) {
			list = append(list, f.GroupVersion)
		}
	}
	for _, gv := range list {
		i := slices.IndexFunc(all, func(of []schema.GroupVersion) bool { return of[0].Group == gv.Group })
		if i < 0 {
			all = append(all, []schema.GroupVersion{gv})
			continue
		}
		all[i] = append(all[i], gv)
	}
	return all
}

// groups are those of all kinds, holon's own among them.
func groups() (list []schema.GroupVersion) {
	for _, k := range kinds {
		if gv := k.GroupVersion(); gv.Group != "" && !slices.Contains(list, gv) {
			list = append(list, gv)
		}
	}
	if own := (schema.GroupVersion{Group: holonGroup, Version: holonVersion}); !slices.Contains(list, own) {
		list = append(list, own)
	}
	return list
}

func resourceList(group, version string) metav1.APIResourceList {
	list := metav1.APIResourceList{
		TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
		GroupVersion: metav1.GroupVersion{Group: group, Version: version}.String(), APIResources: []metav1.APIResource{},
	}
	if group == holonGroup {
		list.APIResources = append(list.APIResources, holonResources...)
	}
	for _, k := range kinds {
		if k.Group != group || k.Version != version {
			continue
		}
		list.APIResources = append(list.APIResources, metav1.APIResource{
			Name: k.plural, SingularName: k.singular, Namespaced: k.namespaced, Kind: k.Kind, Verbs: k.verbs,
			ShortNames: k.short, Categories: k.categories,
		})
		for _, sub := range k.subresources {
			r := metav1.APIResource{Name: k.plural + "/" + sub.name, Namespaced: k.namespaced, Kind: sub.gvk.Kind, Verbs: sub.verbs}
			if sub.gvk.Group != group {
				r.Group, r.Version = sub.gvk.Group, sub.gvk.Version
			}
			list.APIResources = append(list.APIResources, r)
		}
	}
	for _, f := range refusals {
		if f.Group == group && f.Version == version {
			list.APIResources = append(list.APIResources, f.resource())
		}
	}
	slices.SortFunc(list.APIResources, func(a, b metav1.APIResource) int { return strings.Compare(a.Name, b.Name) })
	return list
}
