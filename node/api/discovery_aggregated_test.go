package api

import (
	"net/http"
	"reflect"
	"sort"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// discover asks for all resources and counts the answers it took.
func (f *fixture) discover(legacy bool) (resources []string, requests int) {
	types := make(chan string, 100)
	config := rest.CopyConfig(f.config)
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { return spoken{rt, types} })
	client, err := discovery.NewDiscoveryClientForConfig(config)
	check(f.t, err)
	client.UseLegacyDiscovery = legacy
	_, lists, err := client.ServerGroupsAndResources()
	check(f.t, err)
	for _, list := range lists {
		for _, r := range list.APIResources {
			gv, err := schema.ParseGroupVersion(list.GroupVersion)
			check(f.t, err)
			r.Group, r.Version = or(r.Group, gv.Group), or(r.Version, gv.Version)
			if strings.Contains(r.Name, "/") {
				r.SingularName = "" // the client makes one up when it reads the aggregated form
			}
			resources = append(resources, list.GroupVersion+" "+r.String())
		}
	}
	sort.Strings(resources)
	return resources, len(types)
}

func TestAggregatedDiscoverySaysWhatThePlainOneSays(t *testing.T) {
	f := serve(t)
	plain, many := f.discover(true)
	whole, two := f.discover(false)
	if len(plain) == 0 || !reflect.DeepEqual(plain, whole) {
		t.Errorf("plain:\n%q\naggregated:\n%q", plain, whole)
	}
	if two != 2 || many <= two {
		t.Errorf("aggregated discovery took %d requests, want 2; the plain one %d", two, many)
	}
}

func TestAggregatedDiscoveryIsNegotiated(t *testing.T) {
	f := serve(t)
	for _, path := range []string{"/api", "/apis"} {
		a := f.do("GET", path, "", "Accept: "+typeDiscovery+","+typeJSON).want(t, http.StatusOK, `"kind":"APIGroupDiscoveryList"`)
		tag := a.header.Get("ETag")
		if a.header.Get("Content-Type") != typeDiscovery || tag == "" || a.header.Get("Vary") != "Accept" {
			t.Errorf("%s: headers %v", path, a.header)
		}
		again := f.do("GET", path, "", "Accept: "+typeDiscovery, "If-None-Match: "+tag).want(t, http.StatusNotModified)
		if again.body != "" {
			t.Errorf("%s: 304 with a body: %s", path, again.body)
		}
		for _, accept := range []string{typeJSON, typeJSON + "," + typeDiscovery, "*/*"} {
			a := f.do("GET", path, "", "Accept: "+accept).want(t, http.StatusOK)
			if a.header.Get("Content-Type") != typeJSON {
				t.Errorf("%s with Accept %s: %v", path, accept, a.header)
			}
		}
	}
}
