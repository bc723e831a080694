package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FuzzRequest sends what anybody with a credential may send: paths, selectors, continue
// tokens, options, bodies in JSON, YAML and protobuf, patches and applies of all kinds. It
// may be refused in words, but nothing makes this node fail.
func FuzzRequest(f *testing.F) {
	cache := NewCache(0x12345, 1000, nil)
	backend := newMemory(cache)
	backend.setTime(someday)
	s, err := New(Config{Backend: backend, Cache: cache, CA: must2(NewCA("test"))})
	check(f, err)
	for _, seed := range fuzzedRequests(f) {
		f.Add(seed.method, seed.target, seed.sends, seed.accepts, seed.body)
	}
	f.Fuzz(func(t *testing.T, method, target, sends, accepts string, body []byte) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(u.Path, "/") {
			return
		}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), userKey{}, admin))
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
		if err != nil {
			return
		}
		if longRunning(r) {
			cancel() // it is only to be understood
		}
		r.Header.Set("Content-Type", sends)
		r.Header.Set("Accept", accepts)
		if _, err := s.access.actsAs(admin, http.Header{impersonateUser: {sends}, impersonateGroup: {accepts}}); err != nil {
			_ = statusOf(err)
		}
		_ = s.access.allows(admin, requestOf(r))
		w := httptest.NewRecorder()
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				t.Fatalf("%s %q (%q, %q) %q: %v", method, target, sends, accepts, body, p)
			}
		}()
		s.handler.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError && ctx.Err() == nil {
			t.Errorf("%s %q (%q, %q) %q is answered by %d %s", method, target, sends, accepts, body, w.Code, w.Body)
		}
	})
}

type fuzzedRequest struct {
	method, target, sends, accepts string
	body                           []byte
}

// fuzzedRequests has one request for each reader of foreign bytes.
func fuzzedRequests(t testing.TB) []fuzzedRequest {
	object := &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: "p"}, Data: map[string]string{"a": "b"}}
	packed, err := encodeProtobuf(object)
	check(t, err)
	const maps, deployments = "/api/v1/namespaces/default/configmaps", "/apis/apps/v1/namespaces/default/deployments"
	deployment := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},
		"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80}]}]}}}}`
	list := []fuzzedRequest{
		{"POST", maps, typeJSON, "", []byte(`{"metadata":{"name":"c","labels":{"a":"b"}},"data":{"k":"v"}}`)},
		{"POST", maps + "?dryRun=All&fieldManager=m&fieldValidation=Strict", typeYAML, typeYAML, []byte("metadata: {name: y}\ndata: {k: v}\n")},
		{"POST", maps, typeProtobuf, typeProtobuf, packed},
		{"POST", deployments, typeJSON, "", []byte(deployment)},
		{"PUT", deployments + "/web", typeJSON, "", []byte(deployment)},
		{"PATCH", deployments + "/web", "application/json-patch+json", "", []byte(`[{"op":"replace","path":"/spec/replicas","value":3},{"op":"move","from":"/metadata/labels","path":"/metadata/annotations"}]`)},
		{"PATCH", deployments + "/web", "application/merge-patch+json", "", []byte(`{"metadata":{"labels":{"x":null}}}`)},
		{"PATCH", deployments + "/web", "application/strategic-merge-patch+json", "", []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"c","$patch":"delete"}],"$setElementOrder/containers":[{"name":"c"}]}}}}`)},
		{"PATCH", deployments + "/web?fieldManager=m&force=true", "application/apply-patch+yaml", "", []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 4}\n")},
		{"PUT", deployments + "/web/scale", typeJSON, "", []byte(`{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"web","namespace":"default"},"spec":{"replicas":1}}`)},
		{"POST", "/api/v1/namespaces/default/pods/p/eviction", typeJSON, "", []byte(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p"},"deleteOptions":{"dryRun":["All"]}}`)},
		{"POST", accountsPath + "/default/token", typeJSON, "", []byte(`{"spec":{"audiences":["a"],"expirationSeconds":600,"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"p"}}}`)},
		{"POST", "/apis/authentication.k8s.io/v1/tokenreviews", typeJSON, "", []byte(`{"spec":{"token":"a.b.c","audiences":["x"]}}`)},
		{"POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", typeJSON, "", []byte(`{"spec":{"user":"u","resourceAttributes":{"verb":"get","resource":"pods"}}}`)},
		{"DELETE", maps + "?labelSelector=a", typeJSON, "", []byte(`{"propagationPolicy":"Foreground","preconditions":{"uid":"1"}}`)},
		{"GET", maps + "?labelSelector=a+in+(b,c),!d&fieldSelector=metadata.name%3Dx&limit=1", "", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", nil},
		{"GET", maps + "?limit=1&continue=" + token{Version: tokenVersion, RV: 5, Namespace: "default", Name: "a"}.String(), "", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", nil},
		{"GET", maps + "?resourceVersion=5&resourceVersionMatch=Exact&includeObject=Metadata", "", "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io;q=0.5", nil},
		{"GET", maps + "?watch=1&resourceVersion=5&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true", "", typeProtobuf, nil},
		{"GET", "/api/v1/namespaces/default/pods/p/log?tailLines=5&sinceTime=2030-03-01T09:00:00Z&limitBytes=9", "", "", nil},
		{"POST", "/api/v1/namespaces/default/pods/p/exec?command=id&stdout=1", "", "", nil},
		{"POST", rbacPath + "clusterroles", typeJSON, "", []byte(`{"metadata":{"name":"r"},"rules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}]}`)},
	}
	for path, body := range map[string]string{
		"credentials": `{"user":"eve","groups":["devs"],"ttlSeconds":60,"token":true}`, "tokens": `{"uses":1,"ttlSeconds":60}`, "datakeys": `{}`,
		"rebalance": `{"dryRun":true,"most":3}`, "images/copy": `{"ref":"a","to":["n1"]}`, "evict/n2": `{"gone":true}`,
		"conflicts/configmaps/default/c": `{"field":"data","take":"winner"}`, "compact/configmaps/default/c": `{"recreate":true}`,
		"revocations": `{"metadata":{"name":"r"},"spec":{"serial":"1a"}}`,
	} {
		list = append(list, fuzzedRequest{"POST", holonPath + path, typeJSON, "", []byte(body)})
	}
	return list
}

// FuzzSizes: whatever comes as sizes of a terminal, what is passed on was said.
func FuzzSizes(f *testing.F) {
	f.Add([]byte(`{"Width":80,"Height":24}{"Width":100,"Height":30}`))
	f.Fuzz(func(t *testing.T, said []byte) {
		sizes := make(chan TerminalSize, len(said)+1)
		readSizes(t.Context(), bytes.NewReader(said), sizes)
		if n := len(sizes); n > 0 && n > len(said)/2 {
			t.Error(fmt.Sprint(n, " sizes in ", len(said), " bytes"))
		}
	})
}
