package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/remotecommand"
	"pgregory.net/rapid"
)

const kubeSystemPods = "/api/v1/namespaces/kube-system/pods"

// watches opens a watch that sees the pod that goesOn makes.
func (f *fixture) watches(client *http.Client, headers ...string) io.Reader {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.ctx, "GET", f.url+kubeSystemPods+"?watch=1", nil)
	check(f.t, err)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := client.Do(r)
	check(f.t, err)
	f.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		f.t.Fatalf("a watch is answered by %s", resp.Status)
	}
	return resp.Body
}

// end waits until watches have ended.
func (f *fixture) end(watches ...io.Reader) {
	f.t.Helper()
	for _, w := range watches {
		_, err := io.ReadAll(w) // returns
		check(f.t, err)
	}
}

// runs has a pod p of a UID run as an account.
func (f *fixture) runs(namespace, uid, account string) {
	f.t.Helper()
	check(f.t, f.cache.Apply([]Object{podOf(namespace, uid, account)}, nil))
}

func podOf(namespace, uid, account string) Object {
	return Object{Key: Key{Pods, namespace, "p"}, Source: Decoded{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "p", "namespace": namespace, "uid": uid},
		"spec": map[string]any{"serviceAccountName": account, "containers": []any{}},
	}}
}

// goesOn has something happen that a watch tells, and nobody else is known as open.
func (f *fixture) goesOn(watch io.Reader) {
	f.t.Helper()
	f.runs("kube-system", "1", "")
	if n, err := watch.Read(make([]byte, 1)); n != 1 || err != nil {
		f.t.Errorf("the watch of another has ended, too: %v", err)
	}
	o := &f.server.access.opened
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.of) != 1 {
		f.t.Errorf("%d requests are known as open", len(o.of))
	}
}

// TestAnOpenRequestEndsWithItsCredential: a watch does not outlive it by cluster time.
func TestAnOpenRequestEndsWithItsCredential(t *testing.T) {
	f := serve(t)
	f.backend.setTime(someday)
	watch := f.watches(f.with(f.credential(CredentialRequest{User: "eve", Groups: []string{AdminGroup}, TTLSeconds: 1})))
	kept := f.watches(f.with(f.credential(CredentialRequest{User: "eve", Groups: []string{AdminGroup}, TTLSeconds: 3600})))
	f.backend.setTime(someday.Add(time.Second))
	f.end(watch)
	f.goesOn(kept)
}

// TestAnOpenRequestEndsWithARevocation: of a credential, of a user, or of who acts as him;
// others go on.
func TestAnOpenRequestEndsWithARevocation(t *testing.T) {
	f := serve(t)
	open := func(user string, headers ...string) (Credential, io.Reader) {
		made := f.credential(CredentialRequest{User: user, Groups: []string{AdminGroup}})
		return made, f.watches(f.with(made), headers...)
	}
	first, lost := open("eve")
	_, user := open("bob")
	_, acting := open("bob", "Impersonate-User: ann", "Impersonate-Group: "+AdminGroup)
	_, kept := open("eve")
	f.do("POST", holonPath+"revocations", `{"metadata":{"name":"r"},"spec":{"serial":"`+first.Serial+`"}}`).want(t, 201)
	f.do("POST", holonPath+"revocations", `{"metadata":{"name":"b"},"spec":{"user":"bob"}}`).want(t, 201)
	f.end(lost, user, acting)
	f.goesOn(kept)
}

// TestAnOpenRequestEndsWithItsRight: who may watch no more, or act no more as somebody who
// may, does not.
func TestAnOpenRequestEndsWithItsRight(t *testing.T) {
	f := serve(t)
	f.bind("kube-system", "eve", "view", "eve")
	f.bind("kube-system", "ann", "view", "ann")
	f.do("POST", rbacPath+"clusterroles", `{"metadata":{"name":"ann"},"rules":[{"verbs":["impersonate"],"apiGroups":[""],"resources":["users"],"resourceNames":["ann"]}]}`).want(t, 201)
	f.do("POST", rbacPath+"clusterrolebindings", `{"metadata":{"name":"bob"},"roleRef":{"kind":"ClusterRole","name":"ann"},"subjects":[{"kind":"User","name":"bob"}]}`).want(t, 201)
	eve, bob, ann := f.watches(f.as("eve")), f.watches(f.as("bob"), "Impersonate-User: ann"), f.watches(f.as("ann"))
	f.do("DELETE", rbacPath+"namespaces/kube-system/rolebindings/eve", "").want(t, 200)
	f.do("DELETE", rbacPath+"clusterrolebindings/bob", "").want(t, 200)
	f.end(eve, bob)
	f.goesOn(ann)
}

// TestAnOpenRequestEndsWithItsServiceAccount: also when there is another one of its name at
// once, and with the pod that its token is bound to.
func TestAnOpenRequestEndsWithItsServiceAccount(t *testing.T) {
	f := serve(t)
	f.backend.setTime(someday)
	f.do("POST", rbacPath+"namespaces/kube-system/rolebindings", `{"metadata":{"name":"all"},"roleRef":{"kind":"ClusterRole","name":"view"},
		"subjects":[{"kind":"Group","name":"system:serviceaccounts"}]}`).want(t, 201)
	for _, name := range []string{"gone", "made-again", "robot"} {
		f.do("POST", accountsPath, `{"metadata":{"name":"`+name+`"}}`).want(t, 201)
	}
	f.runs("default", "1", "robot")
	gone, again := f.watches(f.account("gone", `{}`)), f.watches(f.account("made-again", `{}`))
	pod := f.watches(f.account("robot", `{"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"p"}}`))
	kept := f.watches(f.account("robot", `{}`))

	f.do("DELETE", accountsPath+"/gone", "").want(t, 200)
	o, _ := f.cache.Get(Key{ServiceAccounts, "default", "made-again"})
	value := map[string]any{"metadata": map[string]any{"name": "made-again", "namespace": "default", "uid": "another"}}
	check(t, f.cache.Apply([]Object{{Key: o.Key, Source: Decoded(value)}}, nil))
	f.runs("default", "2", "robot")
	f.end(gone, again, pod)
	f.goesOn(kept)
}

// TestWhoIsEndedIsToldWhy: a command says it, and a log is not taken for a whole one.
func TestWhoIsEndedIsToldWhy(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 1), create)
	check(t, err)
	made := f.credential(CredentialRequest{User: "eve", Groups: []string{AdminGroup}, Token: true})
	config := *f.config
	config.TLSClientConfig.CertData, config.TLSClientConfig.KeyData = nil, nil
	config.BearerToken = made.Token
	eve := *f
	eve.config = &config
	ended := map[string]chan error{}
	for name, e := range executors(t, &eve, &corev1.PodExecOptions{Command: []string{"wait"}}) {
		end := make(chan error, 1)
		ended[name] = end
		go func() {
			end <- e.StreamWithContext(f.ctx, remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard})
		}()
	}
	log := make(chan error, 1)
	ended["log"] = log
	r, err := http.NewRequestWithContext(f.ctx, "GET", f.url+"/api/v1/namespaces/default/pods/web-0-00/log?follow=true", nil)
	check(t, err)
	resp, err := f.with(made).Do(r)
	check(t, err)
	go func() {
		_, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		log <- err
	}()
	for o := &f.server.access.opened; ; time.Sleep(time.Millisecond) {
		o.mu.Lock()
		n := len(o.of)
		o.mu.Unlock()
		if n == len(ended) {
			break
		}
	}
	f.do("POST", holonPath+"revocations", `{"metadata":{"name":"r"},"spec":{"user":"eve","reason":"she left"}}`).want(t, 201)
	for name, end := range ended {
		if err := <-end; err == nil || name != "log" && !strings.Contains(err.Error(), "is revoked: she left") {
			t.Errorf("%s ends with %v", name, err)
		}
	}
}

// standing is what one node knows in TestWhatIsOpenIsWhatWouldBeLetIn, kept twice: in a cache,
// and as what a person would say of it.
type standing struct {
	t       *rapid.T
	cache   *Cache
	now     time.Time
	known   bool
	revoked map[string]bool   // user or serial
	bound   map[string]bool   // users who may
	uids    map[string]string // of the ServiceAccounts a and b and of the pod p
	next    int
}

func (s *standing) apply(objects []Object, deletes ...Key) {
	if err := s.cache.Apply(objects, deletes); err != nil {
		s.t.Fatal(err)
	}
}

func (s *standing) uid() string {
	s.next++
	return fmt.Sprint("uid", s.next)
}

// revoke ends a credential, or all of a user.
func (s *standing) revoke(field, what string) {
	s.revoked[what] = true
	value := Decoded{"metadata": map[string]any{"name": what, "uid": s.uid()}, "spec": map[string]any{field: what}}
	s.apply([]Object{{Key: Key{Revocations, "", what}, Source: value}})
}

// bind gives a user the right to read logs, or takes it.
func (s *standing) bind(user string, may bool) {
	s.bound[user] = may
	k := Key{ClusterRoleBindings, "", user}
	if !may {
		s.apply(nil, k)
		return
	}
	s.apply([]Object{{Key: k, Source: Decoded{
		"metadata": map[string]any{"name": user}, "roleRef": map[string]any{"kind": "ClusterRole", "name": "reader"},
		"subjects": []any{map[string]any{"kind": "User", "name": user}},
	}}})
}

// put makes a ServiceAccount or the pod, in the place of one of that name; gone: no other.
func (s *standing) put(name string, gone bool) {
	o := podOf("default", s.uid(), "")
	if name != "p" {
		o.Key = Key{ServiceAccounts, "default", name}
	}
	if gone {
		delete(s.uids, name)
		s.apply(nil, o.Key)
		return
	}
	s.uids[name] = uidOf(o.Value())
	s.apply([]Object{o})
}

// may is what has to hold for somebody to be let in.
func (s *standing) may(who Actor) bool {
	good := !s.revoked[who.User] && !s.revoked[who.Serial] && !s.revoked[who.By] && s.bound[who.User]
	if who.Until != 0 {
		good = good && s.known && s.now.Unix() < who.Until && s.now.Add(clockGrace).Unix() >= who.From
	}
	if b := who.Bound; b != nil {
		is := func(b BoundName) bool { return b.UID != "" && b.UID == s.uids[b.Name] }
		good = good && is(b.Account) && (b.Pod == nil || is(*b.Pod))
	}
	return good
}

// change makes one of the things happen that decide who may what.
func (s *standing) change() {
	user := rapid.SampledFrom([]string{"ann", "eve"}).Draw(s.t, "user")
	switch rapid.IntRange(0, 9).Draw(s.t, "change") {
	case 0:
		s.revoke("user", user)
	case 1:
		s.revoke("serial", rapid.SampledFrom([]string{"1", "2"}).Draw(s.t, "serial"))
	case 2, 3:
		s.bind(user, rapid.Bool().Draw(s.t, "may"))
	case 4, 5:
		s.put(rapid.SampledFrom([]string{"a", "b", "p"}).Draw(s.t, "name"), rapid.Bool().Draw(s.t, "gone"))
	case 6, 7:
		s.now = someday.Add(time.Duration(rapid.IntRange(-20, 90).Draw(s.t, "minutes")) * time.Minute)
	case 8:
		s.known = !s.known
	}
}

// actor is somebody with a credential that may be good.
func (s *standing) actor() Actor {
	who := Actor{User: rapid.SampledFrom([]string{"ann", "eve"}).Draw(s.t, "who"), Serial: rapid.SampledFrom([]string{"1", "2", "3"}).Draw(s.t, "with"), By: rapid.SampledFrom([]string{"", "eve"}).Draw(s.t, "by")}
	if rapid.Bool().Draw(s.t, "expires") {
		who.From = someday.Unix()
		who.Until = who.From + int64(rapid.IntRange(1, 60).Draw(s.t, "life"))*60
	}
	if rapid.Bool().Draw(s.t, "account's") {
		account := rapid.SampledFrom([]string{"a", "b"}).Draw(s.t, "account")
		who.Bound = &Bound{Namespace: "default", Account: BoundName{account, s.uids[account]}}
		if rapid.Bool().Draw(s.t, "pod's") {
			who.Bound.Pod = &BoundName{"p", s.uids["p"]}
		}
	}
	return who
}

// TestWhatIsOpenIsWhatWouldBeLetIn: whatever happens, a session is let in, and goes on, as
// long as its user may: with each change those end that may no more, and no others.
func TestWhatIsOpenIsWhatWouldBeLetIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &standing{t: t, cache: NewCache(1, 1, nil), now: someday, known: true, revoked: map[string]bool{}, bound: map[string]bool{}, uids: map[string]string{}}
		s.apply([]Object{{Key: Key{ClusterRoles, "", "reader"}, Source: Decoded{
			"metadata": map[string]any{"name": "reader"},
			"rules":    []any{map[string]any{"verbs": []any{"get"}, "apiGroups": []any{""}, "resources": []any{"pods/log"}}},
		}}})
		for _, name := range []string{"a", "b", "p"} {
			s.put(name, false)
		}
		s.bind("ann", true)
		s.bind("eve", true)
		a := NewAccess(s.cache, func() (time.Time, bool) { return s.now, s.known })
		open := map[context.Context]Actor{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			who := s.actor()
			session, over, err := a.Use(t.Context(), who, "default", "p", "log")
			defer over()
			if (err == nil) != s.may(who) {
				t.Fatalf("%+v is answered by %v", who, err)
			}
			if err == nil {
				open[session] = who
			}
			s.change()
			again := a.review()
			for session, who := range open {
				if why := Over(session); (why == nil) != s.may(who) {
					t.Fatalf("the session of %+v ended with %v", who, why)
				} else if why != nil {
					delete(open, session)
				} else if left := time.Unix(who.Until, 0).Sub(s.now); who.Until != 0 && (again > left || again > clockEvery) {
					t.Fatalf("a session of %v to go is judged again after %v", left, again)
				}
			}
			if len(a.opened.of) != len(open) {
				t.Fatalf("%d sessions are known, and %d open", len(a.opened.of), len(open))
			}
		}
	})
}
