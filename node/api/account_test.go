package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const accountsPath = "/api/v1/namespaces/default/serviceaccounts"

// account is a client with a token that the API has made for a ServiceAccount.
func (f *fixture) account(name, spec string) *http.Client {
	f.t.Helper()
	return f.with(Credential{Token: f.accountToken(name, spec)})
}

func (f *fixture) accountToken(name, spec string) string {
	f.t.Helper()
	var made authenticationv1.TokenRequest
	check(f.t, json.Unmarshal([]byte(f.do("POST", accountsPath+"/"+name+"/token", `{"spec":`+spec+`}`).want(f.t, 201).body), &made))
	return made.Status.Token
}

func TestTokensOfServiceAccounts(t *testing.T) {
	f := serve(t)
	f.backend.setTime(someday)
	f.do("POST", accountsPath, `{"metadata":{"name":"bot"}}`).want(t, 201)
	bot := f.account("bot", `{}`)
	f.whoami(bot).want(t, 201, `"username":"system:serviceaccount:default:bot"`, `["system:serviceaccounts","system:serviceaccounts:default","system:authenticated"]`)
	f.doWith(bot, "GET", "/api/v1/namespaces/default/pods", "").want(t, 403)
	f.do("POST", rbacPath+"namespaces/default/rolebindings", `{"metadata":{"name":"bot"},"roleRef":{"kind":"ClusterRole","name":"view"},
		"subjects":[{"kind":"ServiceAccount","name":"bot","namespace":"default"}]}`).want(t, 201)
	f.doWith(bot, "GET", "/api/v1/namespaces/default/pods", "").want(t, 200)
	f.backend.setTime(someday.Add(accountLife))
	f.whoami(bot).want(t, 401, "expired", "kubectl -n default create token bot")
	f.backend.setTime(someday)

	for _, bad := range []string{`{"expirationSeconds":599}`, `{"expirationSeconds":4294967297}`} {
		f.do("POST", accountsPath+"/bot/token", `{"spec":`+bad+`}`).want(t, 422)
	}
	f.do("POST", accountsPath+"/bot/token", `{"spec":{"boundObjectRef":{"kind":"Secret","apiVersion":"v1","name":"s"}}}`).want(t, 400, "bound to a pod or to nothing")
	f.do("POST", accountsPath+"/nobody/token", `{}`).want(t, 404)
	f.do("GET", accountsPath+"/bot/token", "").want(t, 405)
	f.do("GET", "/api/v1", "").want(t, 200, "serviceaccounts/token")

	// It ends with its ServiceAccount, and another one of that name is another.
	f.do("DELETE", accountsPath+"/bot", "").want(t, 200)
	f.whoami(bot).want(t, 401, "has ended with its ServiceAccount")
	f.do("POST", accountsPath, `{"metadata":{"name":"bot"}}`).want(t, 201)
	f.whoami(bot).want(t, 401, "has ended with its ServiceAccount")

	// What every namespace has is a ServiceAccount as any other.
	f.whoami(f.account("default", `{"expirationSeconds":600}`)).want(t, 201, "system:serviceaccount:default:default")
	f.backend.setTime(time.Time{})
	f.do("POST", accountsPath+"/default/token", `{}`).want(t, 503, "does not know what time it is")
}

// TestTypedClientsCreateTokens: what `kubectl create token` does.
func TestTypedClientsCreateTokens(t *testing.T) {
	f := serve(t)
	f.backend.setTime(someday)
	seconds := int64(1200)
	made, err := f.kube.CoreV1().ServiceAccounts("default").CreateToken(f.ctx, "default",
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	check(t, err)
	if !made.Status.ExpirationTimestamp.Equal(&metav1.Time{Time: someday.Add(20 * time.Minute)}) || made.Name != "default" || len(made.Spec.Audiences) != 1 {
		t.Errorf("%+v", made)
	}
	review, err := f.kube.AuthenticationV1().TokenReviews().Create(f.ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: made.Status.Token}}, metav1.CreateOptions{})
	check(t, err)
	if !review.Status.Authenticated || review.Status.User.Username != "system:serviceaccount:default:default" || review.Spec.Token != "" {
		t.Errorf("%+v", review)
	}
}

// TestATokenIsForItsAudience: one for another program opens nothing here, and the review says
// for whom it is.
func TestATokenIsForItsAudience(t *testing.T) {
	f := serve(t)
	f.backend.setTime(someday)
	token := f.accountToken("default", `{"audiences":["vault"]}`)
	f.whoami(f.with(Credential{Token: token})).want(t, 401, "for nobody else")
	review := func(audiences string, want ...string) {
		t.Helper()
		f.do("POST", "/apis/authentication.k8s.io/v1/tokenreviews", `{"spec":{"token":"`+token+`","audiences":[`+audiences+`]}}`).want(t, 201, want...).wantNot(t, token)
	}
	review(`"vault","other"`, `"authenticated":true`, `"audiences":["vault"]`, "system:serviceaccounts:default")
	review(`"other"`, "for nobody else")
	review(``, "for nobody else")
	f.backend.setTime(someday.Add(2 * accountLife))
	review(`"vault"`, "expired")
	f.backend.setTime(someday)
	f.do("POST", holonPath+"revocations", `{"metadata":{"name":"r"},"spec":{"user":"system:serviceaccount:default:default","reason":"stolen"}}`).want(t, 201)
	review(`"vault"`, "is revoked: stolen")
	f.doWith(f.as("eve"), "POST", "/apis/authentication.k8s.io/v1/tokenreviews", `{}`).want(t, 403)
}

// TestATokenEndsWithItsPod: one for a pod is bound to its UID, and only to a pod that runs as
// the account.
func TestATokenEndsWithItsPod(t *testing.T) {
	f := serve(t)
	f.backend.setTime(someday)
	pod := func(uid, account string) {
		value := map[string]any{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "p", "namespace": "default", "uid": uid},
			"spec": map[string]any{"serviceAccountName": account, "containers": []any{}},
		}
		check(t, f.cache.Apply([]Object{{Key: Key{Pods, "default", "p"}, Source: Decoded(value)}}, nil))
	}
	pod("1", "")
	ask := AccountTokenRequest{Namespace: "default", Account: "default", Pod: "p", PodUID: "1"}
	made, err := f.server.issuer.AccountToken(ask)
	check(t, err)
	in := f.with(Credential{Token: made.Token})
	f.whoami(in).want(t, 201)
	pod("2", "")
	f.whoami(in).want(t, 401, "has ended with its pod p")
	if _, err := f.server.issuer.AccountToken(ask); err == nil || !strings.Contains(err.Error(), "another one") {
		t.Errorf("a token for a pod that is gone: %v", err)
	}
	f.whoami(f.account("default", `{"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"p"}}`)).want(t, 201)
	pod("2", "bot")
	f.do("POST", accountsPath+"/default/token", `{"spec":{"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"p"}}}`).want(t, 422, "runs as the ServiceAccount bot")
}

// TestOnlyATokenOfAnAccountHasItsName: though who signs is believed, a name of Kubernetes' own
// comes with what it is bound to.
func TestOnlyATokenOfAnAccountHasItsName(t *testing.T) {
	f := serve(t)
	f.backend.setTime(someday)
	uid := func() string {
		o, _ := f.cache.Get(Key{ServiceAccounts, "default", "default"})
		return uidOf(o.Value())
	}()
	bound := &Bound{Namespace: "default", Account: BoundName{"default", uid}}
	for why, c := range map[string]struct {
		claims claims
		code   int
	}{
		"as it is made":    {claims{Subject: "system:serviceaccount:default:default", Account: bound}, 201},
		"bound to nothing": {claims{Subject: "system:serviceaccount:default:default"}, 401},
		"another name":     {claims{Subject: "system:serviceaccount:kube-system:default", Account: bound}, 401},
		"a user's name":    {claims{Subject: "eve", Account: bound}, 401},
		"groups":           {claims{Subject: "system:serviceaccount:default:default", Account: bound, Groups: []string{AdminGroup}}, 401},
		"a node":           {claims{Subject: "system:node:n1"}, 401},
		"no UID":           {claims{Subject: "system:serviceaccount:default:x", Account: &Bound{Namespace: "default", Account: BoundName{Name: "x"}}}, 401},
	} {
		c.claims.Issuer, c.claims.Audience, c.claims.Serial = apiAudience, []string{apiAudience}, "1"
		if got := f.whoami(f.with(Credential{Token: must2(f.ca.sign(&c.claims))})); got.code != c.code {
			t.Errorf("%s: %d %s", why, got.code, got.body)
		}
	}
}

func TestImpersonation(t *testing.T) {
	f := serve(t)
	self := "/apis/authentication.k8s.io/v1/selfsubjectreviews"
	as := func(client *http.Client, code int, want string, headers ...string) {
		t.Helper()
		f.doWith(client, "POST", self, `{}`, headers...).want(t, code, want)
	}
	as(f.http, 201, `"groups":["system:authenticated"],"username":"eve"`, "Impersonate-User: eve")
	as(f.http, 201, `"groups":["devs","system:authenticated"],"username":"eve"`, "Impersonate-User: eve", "Impersonate-Group: devs")
	as(f.http, 201, `["system:serviceaccounts","system:serviceaccounts:default","system:authenticated"]`, "Impersonate-User: system:serviceaccount:default:bot")
	f.do("GET", "/api/v1/pods", "", "Impersonate-User: eve").want(t, 403, `User \"eve\" cannot list`)
	for _, bad := range [][]string{
		{"Impersonate-Group: devs"}, {"Impersonate-User: system:anonymous"}, {"Impersonate-User: eve", "Impersonate-Uid: 1"},
		{"Impersonate-User: eve", "Impersonate-Extra-Scopes: x"}, {"Impersonate-User: " + strings.Repeat("x", userNameMax+1)},
	} {
		as(f.http, 400, "", bad...)
	}

	eve := f.as("eve")
	as(eve, 403, `cannot impersonate resource \"users\"`, "Impersonate-User: ann")
	f.do("POST", rbacPath+"clusterroles", `{"metadata":{"name":"ann"},"rules":[{"verbs":["impersonate"],"apiGroups":[""],"resources":["users","groups"],"resourceNames":["ann","devs","system:masters"]}]}`).want(t, 201)
	f.do("POST", rbacPath+"clusterrolebindings", `{"metadata":{"name":"eve"},"roleRef":{"kind":"ClusterRole","name":"ann"},"subjects":[{"kind":"User","name":"eve"}]}`).want(t, 201)
	as(eve, 201, `"groups":["devs","system:authenticated"],"username":"ann"`, "Impersonate-User: ann", "Impersonate-Group: devs")
	as(eve, 403, `cannot impersonate resource \"users\"`, "Impersonate-User: bob")
	as(eve, 403, `cannot impersonate resource \"groups\"`, "Impersonate-User: ann", "Impersonate-Group: ops")
	as(eve, 403, `cannot impersonate resource \"serviceaccounts\"`, "Impersonate-User: system:serviceaccount:default:bot")
	as(eve, 403, "only who is of the group system:masters", "Impersonate-User: ann", "Impersonate-Group: system:masters")
	as(f.as("ann", AdminGroup), 201, "system:masters", "Impersonate-User: ann", "Impersonate-Group: system:masters")

	// A revocation reaches him whom he acts as, and who acts.
	f.do("POST", holonPath+"revocations", `{"metadata":{"name":"u"},"spec":{"user":"ann"}}`).want(t, 201)
	as(eve, 403, `user \"ann\" is revoked`, "Impersonate-User: ann")
	f.do("POST", holonPath+"revocations", `{"metadata":{"name":"e"},"spec":{"user":"eve"}}`).want(t, 201)
	as(eve, 403, `user \"eve\" is revoked`, "Impersonate-User: bob")
}

// TestReviewsKnowWhoIsRevoked: nobody is told that somebody may who may nothing any more.
func TestReviewsKnowWhoIsRevoked(t *testing.T) {
	f := serve(t)
	f.bind("default", "eve", "view", "eve")
	ask := `{"spec":{"user":"eve","resourceAttributes":{"verb":"list","resource":"pods","namespace":"default"}}}`
	f.do("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", ask).want(t, 201, `"allowed":true`)
	f.do("POST", holonPath+"revocations", `{"metadata":{"name":"e"},"spec":{"user":"eve"}}`).want(t, 201)
	f.do("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", ask).want(t, 201, `"allowed":false`, `"denied":true`, "is revoked")
}
