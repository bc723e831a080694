package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

// walk reads a collection page by page: it asks again and again until there is no
// more. A state that is gone is gone on from as the answer offers.
type walk struct {
	node      *Server
	namespace string
	next      string // the continue parameter
	seen      []Object
	versions  []string // of the pages
	gone      int      // answers 410
}

func (w *walk) page(limit int, more url.Values) (done bool, err error) {
	query := url.Values{"limit": {fmt.Sprint(limit)}}
	if w.next != "" {
		query.Set("continue", w.next)
	}
	for k, v := range more {
		query[k] = v
	}
	p, m, err := w.node.page(httptest.NewRequest(http.MethodGet, "/?"+query.Encode(), nil), &target{kind: kindNamed(ConfigMaps), namespace: w.namespace})
	if apierrors.IsResourceExpired(err) {
		w.gone++
		offered := statusOf(err).ListMeta.Continue
		if from, bad := readToken(offered, w.namespace); bad != nil || from.RV != 0 {
			return true, fmt.Errorf("nobody can go on with %q: %v", offered, bad)
		}
		w.next = offered
		return false, err
	}
	if err != nil {
		return true, err
	}
	w.seen, w.versions, w.next = append(w.seen, p.Objects...), append(w.versions, m.ResourceVersion), m.Continue
	if len(p.Objects) > limit || w.next != "" && len(p.Objects) != limit {
		return true, fmt.Errorf("a page of %d where %d were asked for, and more to come %v", len(p.Objects), limit, w.next != "")
	}
	return w.next == "", nil
}

func named(namespace, name, data string) Object {
	o := thing(namespace, name, "uid of "+name, data)
	o.Resource = ConfigMaps
	return o
}

// aNode is a node with objects that stay and the names of some that come and go.
func aNode(tag uint32, stay []Object) *Server {
	c := NewCache(tag, 1, nil)
	if err := c.Apply(stay, nil); err != nil {
		panic(err)
	}
	return &Server{config: Config{Cache: c}}
}

// TestWalksShowWhatIsThereAllTheTimeOnce walks with pages of any size while objects
// come, change and go, while more changes than are kept push out the state of the
// first page, and from node to node.
func TestWalksShowWhatIsThereAllTheTimeOnce(t *testing.T) {
	namespaces := []string{"a", "a-b", "b"} // of which one begins like another
	rapid.Check(t, func(t *rapid.T) {
		var stay []Object
		for i := range rapid.IntRange(0, 12).Draw(t, "stay") {
			stay = append(stay, named(rapid.SampledFrom(namespaces).Draw(t, "ns"), fmt.Sprintf("%c-stays", 'a'+i), ""))
		}
		nodes := []*Server{aNode(1, stay), aNode(2, stay)}
		w := &walk{node: nodes[0], namespace: rapid.SampledFrom([]string{"", "a"}).Draw(t, "walked")}
		change := func() {
			o := named(rapid.SampledFrom(namespaces).Draw(t, "ns"), rapid.SampledFrom([]string{"a", "c", "e", "z"}).Draw(t, "name"), rapid.StringN(0, 1, 1).Draw(t, "data"))
			var err error
			if rapid.Bool().Draw(t, "goes") {
				err = w.node.config.Cache.Apply(nil, []Key{o.Key})
			} else {
				err = w.node.config.Cache.Apply([]Object{o}, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for range rapid.IntRange(0, 8).Draw(t, "before") {
			change()
		}
		first, rv := w.node.config.Cache.List(ConfigMaps, w.namespace)
		moved := false
		for done := false; !done; {
			var err error
			done, err = w.page(rapid.IntRange(1, 5).Draw(t, "limit"), nil)
			if err != nil && !apierrors.IsResourceExpired(err) {
				t.Fatal(err)
			}
			for range rapid.IntRange(0, 4).Draw(t, "between") {
				change()
			}
			switch rapid.IntRange(0, 19).Draw(t, "trouble") {
			case 0:
				for i := range ringMax + 1 {
					if err := w.node.config.Cache.Apply([]Object{named("b", "z", fmt.Sprint(i))}, nil); err != nil {
						t.Fatal(err)
					}
				}
			case 1:
				moved, w.node = true, nodes[rapid.IntRange(0, 1).Draw(t, "node")]
			}
		}
		count := map[Key]int{}
		for _, o := range w.seen {
			if count[o.Key]++; count[o.Key] > 1 {
				t.Fatalf("%v twice", o.Key)
			}
		}
		for _, o := range stay {
			if w.namespace == "" || w.namespace == o.Namespace {
				if count[o.Key] != 1 {
					t.Fatalf("%v was there all the time and is shown %d times", o.Key, count[o.Key])
				}
			}
		}
		if w.gone == 0 && !moved { // then it is one state
			if !reflect.DeepEqual(slices.Concat([]Object{}, w.seen), slices.Concat([]Object{}, first)) {
				t.Fatalf("the pages show %v, the list %v", w.seen, first)
			}
			for _, v := range w.versions {
				if v != formatRV(rv) {
					t.Fatalf("a page of version %s, begun at %d", v, rv)
				}
			}
		}
	})
}

func TestPastStatesAreReadExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		node := aNode(1, nil)
		states := map[uint64][]Object{}
		note := func() {
			objects, rv := node.config.Cache.List(ConfigMaps, "")
			states[rv] = objects
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			note()
			o := named(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "ns"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "name"), rapid.StringN(0, 1, 1).Draw(t, "data"))
			var gone []Key
			if rapid.Bool().Draw(t, "goes") {
				gone = []Key{o.Key} // and comes back
			}
			if err := node.config.Cache.Apply([]Object{o}[:rapid.IntRange(0, 1).Draw(t, "comes")], gone); err != nil {
				t.Fatal(err)
			}
		}
		note()
		for rv, want := range states { // the present one among them, which reading the others must not change
			w := &walk{node: node}
			if _, err := w.page(10, url.Values{"resourceVersionMatch": {"Exact"}, "resourceVersion": {formatRV(rv)}}); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(slices.Concat([]Object{}, w.seen), slices.Concat([]Object{}, want)) || w.versions[0] != formatRV(rv) {
				t.Fatalf("at %d: %v, want %v", rv, w.seen, want)
			}
		}
	})
}

func TestTokensAreChecked(t *testing.T) {
	f := serve(t)
	const path = "/api/v1/namespaces/default/configmaps"
	for _, name := range []string{"a", "b", "c"} {
		f.do("POST", path, `{"metadata":{"name":"`+name+`","labels":{"l":"l"}}}`).want(t, 201)
	}
	var l metav1.PartialObjectMetadataList
	read := func(a answer) metav1.ListMeta {
		t.Helper()
		l = metav1.PartialObjectMetadataList{}
		check(t, json.Unmarshal([]byte(a.body), &l))
		return l.ListMeta
	}
	m := read(f.do("GET", path+"?limit=1", "").want(t, 200))
	if m.Continue == "" || m.RemainingItemCount == nil || *m.RemainingItemCount != 3 { // with the one that is given
		t.Errorf("%+v", m)
	}
	if s := read(f.do("GET", path+"?limit=1&labelSelector=l", "").want(t, 200)); s.Continue == "" || s.RemainingItemCount != nil {
		t.Errorf("with a selector: %+v", s)
	}
	if s := read(f.do("GET", path+"?limit=3&labelSelector=l", "").want(t, 200)); s.Continue != "" {
		t.Errorf("nothing more is selected: %+v", s)
	}
	if s := read(f.do("GET", path+"?limit=-1", "").want(t, 200)); len(l.Items) < 3 || s.Continue != "" {
		t.Errorf("without bound: %+v", l)
	}
	next := "&continue=" + m.Continue
	f.do("GET", path+"?limit=1"+next+"&resourceVersion="+m.ResourceVersion, "").want(t, 400, "not allowed when using continue")
	f.do("GET", path+"?limit=1"+next+"&resourceVersionMatch=Exact", "").want(t, 400, "forbidden when continue")
	f.do("GET", "/api/v1/namespaces/kube-system/configmaps?limit=1"+next, "").want(t, 400, "another namespace")
	f.do("GET", path+"?limit=many", "").want(t, 400, "limit")
	f.do("GET", path+"?continue=abc", "").want(t, 400, "not valid")
	f.do("GET", path+"?continue=e30", "").want(t, 400, "none of holon's")
	f.do("GET", path+"?resourceVersionMatch=Exact", "").want(t, 400, "Exact needs")

	foreign := token{Version: tokenVersion, RV: f.cache.RV() ^ 5, Namespace: "default", Name: "a"}.String()
	var status metav1.Status
	check(t, json.Unmarshal([]byte(f.do("GET", path+"?limit=1&continue="+foreign, "").want(t, 410, "Expired", "too old to display").body), &status))
	f.do("GET", path+"?continue="+status.ListMeta.Continue, "").want(t, 200, `"name":"b"`, `"name":"c"`)

	f.do("DELETE", path+"?limit=2", "").want(t, 200)
	if read(f.do("GET", path, "").want(t, 200)); len(l.Items) != 2 || l.Items[0].Name != "c" {
		t.Errorf("after deleting two: %+v", l.Items)
	}
}

// pages counts requests.
type pages struct {
	http.RoundTripper
	asked *int
}

func (p pages) RoundTrip(r *http.Request) (*http.Response, error) {
	*p.asked++
	return p.RoundTripper.RoundTrip(r)
}

// TestPagersShowAllInEveryForm asks as kubectl does: 500 at a time.
func TestPagersShowAllInEveryForm(t *testing.T) {
	const objects, chunk = 1200, 500
	f := serve(t)
	var many []Object
	for i := range objects {
		name := fmt.Sprintf("many-%04d", i)
		many = append(many, Object{Key: Key{ConfigMaps, "team", name}, Source: Decoded{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": "team"},
		}})
	}
	check(t, f.cache.Apply(many, nil))
	asked := 0
	config := rest.CopyConfig(f.config)
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { return pages{rt, &asked} })
	gv := kindNamed(ConfigMaps).GroupVersion()
	object, err := metadata.NewForConfig(config)
	check(t, err)
	client, err := rest.HTTPClientFor(config)
	check(t, err)
	typed := func(accept string) pager.ListPageFunc {
		return func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			a := f.doWith(client, "GET", fmt.Sprintf("/api/v1/namespaces/team/configmaps?limit=%d&continue=%s", o.Limit, o.Continue), "", "Accept: "+accept)
			if a.code != http.StatusOK {
				return nil, errors.New(a.body)
			}
			if strings.HasSuffix(accept, "protobuf") {
				list, _, err := decoders[typeProtobuf].Decode([]byte(a.body), nil, nil)
				return list, err
			}
			if strings.Contains(accept, "Table") {
				table := &metav1.Table{}
				return table, json.Unmarshal([]byte(a.body), table)
			}
			list := &metav1.PartialObjectMetadataList{}
			return list, yaml.Unmarshal([]byte(a.body), list)
		}
	}
	for form, list := range map[string]pager.ListPageFunc{
		"JSON": typed(typeJSON), "protobuf": typed(typeProtobuf), "Table": typed(typeJSON + ";as=Table;v=v1;g=meta.k8s.io"),
		"YAML": typed(typeYAML),
		"PartialObjectMetadata": func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return object.Resource(gv.WithResource("configmaps")).Namespace("team").List(ctx, o)
		},
	} {
		asked = 0
		var names []string
		options, last := metav1.ListOptions{Limit: chunk}, ""
		for {
			got, err := list(f.ctx, options)
			check(t, err)
			if table, ok := got.(*metav1.Table); ok {
				for _, row := range table.Rows {
					names = append(names, row.Cells[0].(string))
				}
			} else {
				check(t, meta.EachListItem(got, func(o runtime.Object) error {
					names = append(names, o.(metav1.Object).GetName())
					return nil
				}))
			}
			m := got.(metav1.ListInterface)
			if last != "" && m.GetResourceVersion() != last {
				t.Errorf("%s: pages of two versions", form)
			}
			if last = m.GetResourceVersion(); m.GetContinue() == "" {
				break
			}
			if rest := m.GetRemainingItemCount(); rest == nil || int(*rest) != objects-len(names) {
				t.Errorf("%s: %v remain after %d", form, rest, len(names))
			}
			options.Continue = m.GetContinue()
		}
		if len(names) != objects || len(slices.Compact(names)) != objects || !slices.IsSorted(names) || asked != 3 {
			t.Errorf("%s: %d objects in %d requests", form, len(names), asked)
		}
	}
	asked = 0
	n := 0
	check(t, pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return object.Resource(gv.WithResource("configmaps")).Namespace("team").List(ctx, o)
	}).EachListItem(f.ctx, metav1.ListOptions{}, func(runtime.Object) error { n++; return nil }))
	if n != objects || asked != 3 {
		t.Errorf("client-go's pager: %d objects in %d requests", n, asked)
	}
}
