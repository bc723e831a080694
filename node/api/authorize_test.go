package api

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"testing"
)

// as is a client with a credential of its own.
func (f *fixture) as(user string, groups ...string) *http.Client {
	f.t.Helper()
	return f.with(f.credential(CredentialRequest{User: user, Groups: groups}))
}

func (f *fixture) credential(ask CredentialRequest) (c Credential) {
	f.t.Helper()
	body, err := json.Marshal(ask)
	check(f.t, err)
	a := f.do("POST", holonPath+"credentials", string(body)).want(f.t, 201)
	check(f.t, json.Unmarshal([]byte(a.body), &c))
	return c
}

func (f *fixture) with(c Credential) *http.Client {
	client := f.anonymous()
	if c.Token != "" {
		client.Transport = bearing{client.Transport, c.Token}
		return client
	}
	pair, err := tls.X509KeyPair(c.Cert, c.Key)
	check(f.t, err)
	client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{pair}
	return client
}

// bearing shows a token with each request.
type bearing struct {
	http.RoundTripper
	token string
}

func (b bearing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(r)
}

const rbacPath = "/apis/rbac.authorization.k8s.io/v1/"

func (f *fixture) bind(namespace, name, role, user string) {
	f.t.Helper()
	f.do("POST", rbacPath+"namespaces/"+namespace+"/rolebindings", `{"metadata":{"name":"`+name+`"},"roleRef":{"kind":"ClusterRole","name":"`+role+`"},
		"subjects":[{"kind":"User","name":"`+user+`"}]}`).want(f.t, 201)
}

func TestUsersMayWhatIsGranted(t *testing.T) {
	f := serve(t)
	eve := f.as("eve")
	f.doWith(eve, "GET", "/version", "").want(t, 200)
	f.doWith(eve, "GET", "/api/v1", "").want(t, 200)
	f.doWith(eve, "GET", "/api/v1/namespaces/default/pods", "").want(t, 403,
		`pods is forbidden: User \"eve\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"`)
	f.doWith(eve, "GET", "/testnet/", "").want(t, 403, `cannot get path`)
	f.bind("default", "eve", "view", "eve")
	f.doWith(eve, "GET", "/api/v1/namespaces/default/pods", "").want(t, 200)
	f.doWith(eve, "GET", "/api/v1/namespaces/default/pods?watch=true&timeoutSeconds=1", "").want(t, 200)
	f.doWith(eve, "GET", "/api/v1/namespaces/default", "").want(t, 200)
	f.doWith(eve, "GET", "/api/v1/namespaces/default/secrets", "").want(t, 403)
	f.doWith(eve, "GET", "/api/v1/pods", "").want(t, 403, "at the cluster scope")
	f.doWith(eve, "POST", "/api/v1/namespaces/default/configmaps", `{"metadata":{"name":"c"}}`).want(t, 403, "cannot create")
	f.doWith(eve, "POST", "/api/v1/namespaces/default/pods/p/exec?command=id", "").want(t, 403, "pods/exec")
	f.doWith(eve, "GET", holonPath+"tokens", "").want(t, 403)
	f.doWith(eve, "POST", holonPath+"credentials", `{"user":"ann"}`).want(t, 403)
	f.doWith(eve, "POST", holonPath+"leave", "").want(t, 403)
	f.doWith(eve, "GET", "/api/v1/namespaces/default/pods", "", "Impersonate-User: holon-admin").want(t, 403, "cannot impersonate")
	f.do("DELETE", rbacPath+"namespaces/default/rolebindings/eve", "").want(t, 200)
	f.doWith(eve, "GET", "/api/v1/namespaces/default/pods", "").want(t, 403)
}

// TestEvenAnIssuerMustBeAMaster: with a right to create credentials one would make oneself anybody.
func TestEvenAnIssuerMustBeAMaster(t *testing.T) {
	f := serve(t)
	f.do("POST", rbacPath+"clusterroles", `{"metadata":{"name":"all"},"rules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}]}`).want(t, 201)
	f.do("POST", rbacPath+"clusterrolebindings", `{"metadata":{"name":"eve"},"roleRef":{"kind":"ClusterRole","name":"all"},"subjects":[{"kind":"User","name":"eve"}]}`).want(t, 201)
	f.doWith(f.as("eve"), "POST", holonPath+"credentials", `{"user":"ann","groups":["system:masters"]}`).want(t, 403)
	f.doWith(f.as("ann", "system:masters"), "POST", holonPath+"credentials", `{"user":"bob"}`).want(t, 201)
	for _, bad := range []string{`{}`, `{"user":"system:node:n1"}`, `{"user":"a","groups":["system:nodes"]}`, `{"user":"a","groups":[""]}`, `no`} {
		f.do("POST", holonPath+"credentials", bad).want(t, 400)
	}
}

func TestNobodyEscalates(t *testing.T) {
	f := serve(t)
	f.bind("default", "eve", "admin", "eve")
	eve := f.as("eve")
	roles, bindings := rbacPath+"namespaces/default/roles", rbacPath+"namespaces/default/rolebindings"
	f.doWith(eve, "POST", roles, `{"metadata":{"name":"r"},"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]}`).want(t, 201)
	f.doWith(eve, "POST", roles, `{"metadata":{"name":"more"},"rules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}]}`).want(t, 403, "not currently held")
	f.doWith(eve, "PUT", roles+"/r", `{"metadata":{"name":"r"},"rules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}]}`).want(t, 403, "not currently held")
	f.doWith(eve, "PATCH", roles+"/r", `{"rules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}]}`, "Content-Type: application/merge-patch+json").want(t, 403)
	bind := func(role string) string {
		return `{"metadata":{"name":"b-` + role + `"},"roleRef":{"kind":"ClusterRole","name":"` + role + `"},"subjects":[{"kind":"User","name":"bob"}]}`
	}
	f.doWith(eve, "POST", bindings, bind("view")).want(t, 201)
	f.doWith(eve, "POST", bindings, bind("cluster-admin")).want(t, 403, "not currently held")
	f.doWith(eve, "POST", bindings, bind("absent")).want(t, 403, `cannot bind resource`)
	f.do("POST", rbacPath+"clusterroles", `{"metadata":{"name":"edit"},"rules":[]}`).want(t, 422, "every cluster has this role")
	f.do("PATCH", bindings+"/b-view", `{"roleRef":{"name":"admin"}}`, "Content-Type: application/merge-patch+json").want(t, 422, "cannot change roleRef")
}

// sided is an object that two sides of a partition have written.
type sided []map[string]any

func (s sided) Value(Key) map[string]any      { return s[0] }
func (s sided) Versions(Key) []map[string]any { return s }

func TestBothSidesMustGrant(t *testing.T) {
	f := serve(t)
	eve := f.as("eve")
	binding := func(who string) map[string]any {
		return map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": map[string]any{"name": "b", "namespace": "default", "uid": "1"},
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
			"subjects": []any{map[string]any{"kind": "User", "name": who}},
		}
	}
	key := Key{Resource: RoleBindings, Namespace: "default", Name: "b"}
	show := func(versions ...map[string]any) {
		check(t, f.cache.Apply([]Object{{Key: key, Source: sided(versions)}}, nil))
	}
	list := func(code int) { f.doWith(eve, "GET", "/api/v1/namespaces/default/pods", "").want(t, code) }
	show(binding("eve"))
	list(200)
	check(t, f.cache.Apply(nil, []Key{key}))
	show(binding("eve"), binding("ann"))
	list(403)
}

func TestRevocation(t *testing.T) {
	f := serve(t)
	a := f.do("POST", holonPath+"credentials", `{"user":"eve","groups":["system:masters"]}`).want(t, 201)
	var c Credential
	check(t, json.Unmarshal([]byte(a.body), &c))
	eve, other := f.with(c), f.as("eve", "system:masters")
	f.doWith(eve, "GET", "/api/v1/pods", "").want(t, 200)
	f.do("POST", holonPath+"revocations", `{"metadata":{"name":"r"},"spec":{"serial":"`+c.Serial+`","reason":"lost"}}`).want(t, 201)
	f.doWith(eve, "GET", "/api/v1/pods", "").want(t, 403, "is revoked: lost")
	f.doWith(eve, "GET", "/version", "").want(t, 403)
	f.doWith(other, "GET", "/api/v1/pods", "").want(t, 200)
	f.do("DELETE", holonPath+"revocations/r", "").want(t, 405, "stays so")
	f.do("GET", holonPath+"revocations", "", "Accept: application/json;as=Table;v=v1;g=meta.k8s.io").want(t, 200, c.Serial, "lost")
	f.do("POST", holonPath+"revocations", `{"metadata":{"name":"u"},"spec":{"user":"eve"}}`).want(t, 201)
	f.doWith(other, "GET", "/api/v1/pods", "").want(t, 403, "see revocation u")
	for _, bad := range []string{`{}`, `{"user":"a","serial":"1"}`, `{"user":"holon-admin"}`, `{"serial":"0X1"}`, `{"serial":"01"}`} {
		f.do("POST", holonPath+"revocations", `{"metadata":{"name":"bad"},"spec":`+bad+`}`).want(t, 422)
	}
}

func TestReviewsTellWhatOneMay(t *testing.T) {
	f := serve(t)
	f.bind("default", "eve", "view", "eve")
	eve := f.as("eve", "devs")
	can := func(client *http.Client, path, spec, want string) {
		t.Helper()
		f.doWith(client, "POST", path, `{"spec":`+spec+`}`).want(t, 201, want)
	}
	self := "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
	can(eve, self, `{"resourceAttributes":{"verb":"list","resource":"pods","namespace":"default"}}`, `"allowed":true`)
	can(eve, self, `{"resourceAttributes":{"verb":"delete","resource":"pods","namespace":"default"}}`, `"allowed":false`)
	can(eve, self, `{"nonResourceAttributes":{"verb":"get","path":"/version"}}`, `"allowed":true`)
	can(eve, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", `{"namespace":"default"}`, `"poddisruptionbudgets"`)
	can(eve, "/apis/authentication.k8s.io/v1/selfsubjectreviews", `{}`, `"username":"eve"`)
	other := "/apis/authorization.k8s.io/v1/subjectaccessreviews"
	ask := `{"user":"eve","resourceAttributes":{"verb":"list","resource":"pods","namespace":"default"}}`
	f.doWith(eve, "POST", other, `{"spec":`+ask+`}`).want(t, 403)
	can(f.http, other, ask, `"allowed":true`)
	can(f.http, "/apis/authorization.k8s.io/v1/namespaces/kube-system/localsubjectaccessreviews", ask, `"allowed":false`)
}
