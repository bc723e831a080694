package rbac

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"pgregory.net/rapid"
)

var (
	someVerbs  = []string{"get", "list", "create", "*"}
	someGroups = []string{"", "apps", "*"}
	someKinds  = []string{"pods", "pods/log", "deployments", "*/log", "*"}
	someNames  = []string{"a", "b"}
	somePaths  = []string{"/metrics", "/logs/*", "/logs/a", "*"}
)

func someRule() *rapid.Generator[rbacv1.PolicyRule] {
	return rapid.Custom(func(t *rapid.T) rbacv1.PolicyRule {
		pick := func(name string, of []string, least int) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(of), least, 2, rapid.ID[string]).Draw(t, name)
		}
		if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
			return rbacv1.PolicyRule{Verbs: pick("verbs", someVerbs, 1), NonResourceURLs: pick("paths", somePaths, 1)}
		}
		return rbacv1.PolicyRule{
			Verbs: pick("verbs", someVerbs, 1), APIGroups: pick("groups", someGroups, 1), Resources: pick("resources", someKinds, 1),
			ResourceNames: pick("names", someNames, 0),
		}
	})
}

// someRequests are all that the rules above can tell apart.
func someRequests() (all []Request) {
	for _, verb := range []string{"get", "list", "create", "other"} {
		for _, path := range []string{"/metrics", "/logs/a", "/logs/b", "/other"} {
			all = append(all, Request{Verb: verb, Path: path})
		}
		for _, group := range []string{"", "apps", "other"} {
			for _, resource := range []string{"pods", "deployments", "other"} {
				for _, sub := range []string{"", "log", "other"} {
					for _, name := range []string{"", "a", "b", "other"} {
						all = append(all, Request{Verb: verb, Group: group, Resource: resource, Subresource: sub, Name: name})
					}
				}
			}
		}
	}
	return all
}

// TestWhoCoversARuleMayDoAllOfIt: nobody grants by a rule what he may not do himself.
func TestWhoCoversARuleMayDoAllOfIt(t *testing.T) {
	requests := someRequests()
	rapid.Check(t, func(t *rapid.T) {
		own := rapid.SliceOfN(someRule(), 0, 4).Draw(t, "own")
		wanted := someRule().Draw(t, "wanted")
		if !covers(own, wanted) {
			return
		}
		for _, r := range requests {
			if ruled([]rbacv1.PolicyRule{wanted}, r) && !ruled(own, r) {
				t.Fatalf("%+v covers %+v, but only the latter allows %+v", own, wanted, r)
			}
		}
	})
}

// TestARuleCoversItself: whoever has a right can pass it on.
func TestARuleCoversItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := someRule().Draw(t, "rule")
		if !covers([]rbacv1.PolicyRule{rule}, rule) {
			t.Fatalf("%+v does not cover itself", rule)
		}
	})
}

func bound(role string, subjects ...rbacv1.Subject) Binding {
	return Binding{Ref: rbacv1.RoleRef{Kind: "ClusterRole", Name: role}, Subjects: subjects}
}

func person(name string) rbacv1.Subject { return rbacv1.Subject{Kind: "User", Name: name} }

func TestGrants(t *testing.T) {
	p := &Policy{
		Roles: map[Name]Role{
			{"shop", "logs"}: {{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods/log"}}}},
		},
		Bindings: map[Name][]Binding{
			{"shop", "eve views"}: {bound("view", person("eve"))},
			{"shop", "devs edit"}: {bound("edit", rbacv1.Subject{Kind: "Group", Name: "devs"})},
			{"", "ann"}:           {bound("cluster-admin", person("ann"))},
			{"shop", "robot"}:     {{Ref: rbacv1.RoleRef{Kind: "Role", Name: "logs"}, Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "robot"}}}},
			{"shop", "nobody"}:    {{Ref: rbacv1.RoleRef{Kind: "Role", Name: "absent"}, Subjects: []rbacv1.Subject{person("bob")}}},
			{"", "not a role"}:    {{Ref: rbacv1.RoleRef{Kind: "Role", Name: "logs"}, Subjects: []rbacv1.Subject{person("bob")}}},
		},
	}
	eve, dev, ann, bob := User{Name: "eve"}, User{"dan", []string{"devs"}}, User{Name: "ann"}, User{Name: "bob"}
	robot := User{Name: "system:serviceaccount:shop:robot"}
	pods := func(verb, namespace string) Request {
		return Request{Verb: verb, Resource: "pods", Namespace: namespace}
	}
	logs := Request{Verb: "get", Resource: "pods", Subresource: "log", Namespace: "shop", Name: "x"}
	for _, c := range []struct {
		who  User
		what Request
		want bool
	}{
		{eve, pods("list", "shop"), true},
		{eve, pods("list", "other"), false},
		{eve, pods("list", ""), false},
		{eve, pods("delete", "shop"), false},
		{eve, Request{Verb: "get", Resource: "secrets", Namespace: "shop", Name: "x"}, false},
		{eve, logs, true},
		{dev, pods("delete", "shop"), true},
		{dev, Request{Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "rolebindings", Namespace: "shop"}, false},
		{ann, pods("delete", ""), true},
		{ann, Request{Verb: "get", Path: "/testnet/"}, true},
		{bob, pods("get", "shop"), false},
		{robot, logs, true},
		{robot, pods("get", "shop"), false},
		{User{"x", []string{MastersGroup}}, pods("delete", "shop"), true},
	} {
		if got := p.Allows(c.who, c.what); got != c.want {
			t.Errorf("%+v may %+v: %v", c.who, c.what, got)
		}
	}
}

// TestEveryVersionMustGrant: while a role or a binding is in conflict, a right counts only if
// each side gave it.
func TestEveryVersionMustGrant(t *testing.T) {
	eve := User{Name: "eve"}
	read := []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}
	both := []rbacv1.PolicyRule{{Verbs: []string{"get", "delete"}, APIGroups: []string{""}, Resources: []string{"pods"}}}
	ask := func(verb string) Request { return Request{Verb: verb, Resource: "pods", Namespace: "shop"} }
	binding := func(who ...rbacv1.Subject) Binding { return bound("pods", who...) }
	p := &Policy{
		Roles:    map[Name]Role{{"", "pods"}: {both, read}},
		Bindings: map[Name][]Binding{{"", "b"}: {binding(person("eve"))}},
	}
	if !p.Allows(eve, ask("get")) || p.Allows(eve, ask("delete")) {
		t.Error("a right that one version of the role took away counts, or one that both give does not")
	}
	if got := p.RulesFor(eve, "shop"); len(got) != 0 {
		t.Errorf("a rule that only one version has is shown: %v", got)
	}
	p.Bindings[Name{"", "b"}] = []Binding{binding(person("eve")), binding(person("ann"))}
	if p.Allows(eve, ask("get")) {
		t.Error("a binding counts for one whom one of its versions does not name")
	}
}

func TestNobodyGivesAwayMoreThanHeHas(t *testing.T) {
	p := &Policy{Bindings: map[Name][]Binding{{"shop", "b"}: {bound("admin", person("eve"))}}}
	if missing := p.Missing(User{Name: "eve"}, "shop", BuiltIn["edit"]); len(missing) > 0 {
		t.Errorf("an admin of a namespace cannot let others edit it: %v", missing)
	}
	if missing := p.Missing(User{Name: "eve"}, "other", BuiltIn["view"]); len(missing) == 0 {
		t.Error("she grants in a namespace in which she is nobody")
	}
	if missing := p.Missing(User{Name: "eve"}, "", BuiltIn["cluster-admin"]); len(missing) == 0 {
		t.Error("she makes herself an admin of the cluster")
	}
}
