package api

import (
	"encoding/json"
	"strings"
	"testing"
)

const snapshotsOf = holonPath + "snapshots"

// kept shows a Snapshot with copies, as a node derives it.
func (f *fixture) kept(name, uid string, copies ...any) {
	f.t.Helper()
	check(f.t, f.cache.Apply([]Object{{Key: Key{Resource: Snapshots, Name: name}, Token: 1, Source: Decoded(map[string]any{
		"apiVersion": "holon.dev/v1", "kind": "Snapshot", "metadata": map[string]any{"name": name, "uid": uid}, "spec": map[string]any{},
		"status": map[string]any{"phase": "Partial", "copies": copies},
	})}}, nil))
}

func copyOn(node, state, message string) any {
	return map[string]any{"node": node, "state": state, "message": message, "bytes": int64(1234)}
}

func TestSnapshotsAreObjects(t *testing.T) {
	f := serve(t)
	f.do("POST", snapshotsOf, `{"metadata":{"name":"a"},"spec":{"nodes":["n1","n2"]}}`).want(t, 201, `"nodes":["n1","n2"]`)
	f.do("POST", snapshotsOf, `{"metadata":{"name":"a"}}`).want(t, 409)
	for _, bad := range []string{`{"nodes":["n1","n1"]}`, `{"nodes":["N 1"]}`, `{"nodes":[""]}`} {
		f.do("POST", snapshotsOf, `{"metadata":{"name":"b"},"spec":`+bad+`}`).want(t, 422, "spec.nodes")
	}
	f.do("POST", snapshotsOf, `{"metadata":{"name":"Bad"}}`).want(t, 422, "metadata.name")
	many, err := json.Marshal(strings.Split(strings.Repeat("n ", snapshotNodesMax)+"n", " "))
	check(t, err)
	f.do("POST", snapshotsOf, `{"metadata":{"name":"b"},"spec":{"nodes":`+string(many)+`}}`).want(t, 422, "Too many")
	merge := "Content-Type: application/merge-patch+json"
	f.do("PATCH", snapshotsOf+"/a", `{"spec":{"nodes":["n3"]}}`, merge).want(t, 422, "make another one")
	f.do("PATCH", snapshotsOf+"/a", `{"metadata":{"labels":{"l":"1"}}}`, merge).want(t, 200, `"l":"1"`)
	f.do("GET", snapshotsOf+"?labelSelector=l%3D1", "").want(t, 200, `"name":"a"`)
	f.do("DELETE", snapshotsOf+"/a", "").want(t, 200)
	f.do("GET", snapshotsOf+"/a", "").want(t, 404)
}

func TestSnapshotsInTables(t *testing.T) {
	f := serve(t)
	f.kept("a", "1", copyOn("n1", "Kept", ""), copyOn("n2", "Refused", "no room"))
	f.do("GET", snapshotsOf, "", "Accept: application/json;as=Table;v=v1;g=meta.k8s.io").want(t, 200, `"Phase"`, `["a","Partial","1/2",1234,`)
}

func TestCopiesAreFetched(t *testing.T) {
	f := serve(t)
	f.kept("a", "7", copyOn("n1", "Kept", ""), copyOn("n2", "Refused", "no room"), copyOn("n3", "Kept", ""))
	f.do("GET", snapshotsOf+"/a/data", "").want(t, 200, "7 of a from n1,n3")
	f.do("GET", snapshotsOf+"/a/data?node=n3", "").want(t, 200, "7 of a from n3")
	f.do("GET", snapshotsOf+"/a/data?node=n2", "").want(t, 404, "n2 keeps no copy", "(no room)")
	f.do("GET", snapshotsOf+"/a/data?node=n9", "").want(t, 404, "n9 keeps no copy")
	f.do("GET", snapshotsOf+"/b/data", "").want(t, 404)
	loser := copyOn("n4", "Kept", "").(map[string]any)
	loser["also"] = []any{"8"}
	f.kept("c", "9", copyOn("n1", "Kept", ""), loser)
	f.do("GET", snapshotsOf+"/c/data?uid=8", "").want(t, 200, "8 of c from n4")
	f.do("GET", snapshotsOf+"/c/data?uid=9", "").want(t, 200, "9 of c from n1,n4")
	f.do("GET", snapshotsOf+"/c/data?uid=7", "").want(t, 404) // of another Snapshot
	f.do("GET", snapshotsOf+"/c/data?uid=8&node=n1", "").want(t, 404, "n1 keeps no copy")
	f.do("POST", snapshotsOf+"/a/data", "{}").want(t, 405)
	f.kept("b", "8", copyOn("n2", "Writing", ""))
	f.do("GET", snapshotsOf+"/b/data", "").want(t, 404, "no node keeps a copy")
}

// What is in a copy is more than who may see Snapshots is let read.
func TestCopiesAreARightOfTheirOwn(t *testing.T) {
	f := serve(t)
	f.kept("a", "7", copyOn("n1", "Kept", ""))
	eve, keeper := f.as("eve"), NewAccess(f.cache, f.backend.ClusterTime)
	grant := func(name, resources string) {
		f.do("POST", rbacPath+"clusterroles", `{"metadata":{"name":"`+name+`"},"rules":[{"verbs":["get","list"],"apiGroups":["holon.dev"],"resources":["`+resources+`"]}]}`).want(t, 201)
		f.do("POST", rbacPath+"clusterrolebindings", `{"metadata":{"name":"`+name+`"},"roleRef":{"kind":"ClusterRole","name":"`+name+`"},"subjects":[{"kind":"User","name":"eve"}]}`).want(t, 201)
	}
	f.doWith(eve, "GET", snapshotsOf, "").want(t, 403)
	grant("see", "snapshots")
	f.doWith(eve, "GET", snapshotsOf+"/a", "").want(t, 200)
	f.doWith(eve, "GET", snapshotsOf+"/a/data", "").want(t, 403, `cannot get resource \"snapshots/data\"`)
	f.doWith(eve, "GET", holonPath+"snapshot", "").want(t, 403)
	if _, _, err := keeper.Read(f.ctx, Actor{User: "eve"}, "a"); err == nil {
		t.Error("the node that keeps the copy lets her")
	}
	grant("read", "snapshots/data")
	f.doWith(eve, "GET", snapshotsOf+"/a/data", "").want(t, 200)
	_, over, err := keeper.Read(f.ctx, Actor{User: "eve"}, "a")
	if over(); err != nil {
		t.Error(err)
	}
}
