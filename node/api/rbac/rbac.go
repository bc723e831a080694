// Package rbac decides what a user may do, by the objects of rbac.authorization.k8s.io as
// one node has them (kubernetes.io/docs/reference/access-authn-authz/rbac). It only
// computes.
//
// Permissions are written on any side of a partition, so an object may come with several
// versions that nobody has settled yet. A grant counts only if every version of every
// object that it rests on gives it: who took a right away on one side is not overruled by
// who edited the same object on the other.
package rbac

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
)

// User is who asks.
type User struct {
	Name   string
	Groups []string
}

// MastersGroup may do everything; no object can take that away.
const MastersGroup = "system:masters"

// Request is what somebody asks for: an object, or a path that is none.
type Request struct {
	Verb                         string
	Group, Resource, Subresource string
	Namespace, Name              string
	Path                         string // of what is no object; excludes the rest but Verb
}

// Role holds the versions of the rules of a Role or a ClusterRole; mostly there is one.
type Role [][]rbacv1.PolicyRule

// Binding is one version of a RoleBinding or a ClusterRoleBinding.
type Binding struct {
	Ref      rbacv1.RoleRef
	Subjects []rbacv1.Subject
}

// Name of an object; Namespace is empty for those of the whole cluster.
type Name struct{ Namespace, Name string }

// Policy is all that is granted. It never changes once it is made.
type Policy struct {
	Roles    map[Name]Role // ClusterRoles without a namespace
	Bindings map[Name][]Binding
}

// Allows reports whether somebody may do something.
func (p *Policy) Allows(u User, r Request) bool {
	if slices.Contains(u.Groups, MastersGroup) {
		return true
	}
	for at, versions := range p.Bindings {
		if (at.Namespace == "" || at.Namespace == r.Namespace && r.Path == "") && p.grants(at.Namespace, versions, u, func(rules []rbacv1.PolicyRule) bool { return ruled(rules, r) }) {
			return true
		}
	}
	return false
}

// grants reports whether every version of a binding gives what allows looks for in rules.
func (p *Policy) grants(namespace string, versions []Binding, u User, allows func([]rbacv1.PolicyRule) bool) bool {
	if len(versions) == 0 {
		return false
	}
	for _, b := range versions {
		role := p.Find(namespace, b.Ref)
		if len(role) == 0 || !slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool { return isSubject(u, s, namespace) }) {
			return false
		}
		for _, rules := range role {
			if !allows(rules) {
				return false
			}
		}
	}
	return true
}

// Find gives the role that a binding of a namespace refers to; none if it is not here.
func (p *Policy) Find(namespace string, ref rbacv1.RoleRef) Role {
	switch ref.Kind {
	case "Role":
		if namespace == "" {
			return nil
		}
		return p.Roles[Name{namespace, ref.Name}]
	case "ClusterRole":
		if role, built := BuiltIn[ref.Name]; built {
			return Role{role}
		}
		return p.Roles[Name{Name: ref.Name}]
	}
	return nil
}

// AccountPrefix begins the user names of ServiceAccounts.
const AccountPrefix = "system:serviceaccount:"

func isSubject(u User, s rbacv1.Subject, namespace string) bool {
	switch s.Kind {
	case rbacv1.UserKind:
		return s.Name == u.Name
	case rbacv1.GroupKind:
		return slices.Contains(u.Groups, s.Name)
	case rbacv1.ServiceAccountKind:
		if s.Namespace != "" {
			namespace = s.Namespace
		}
		return namespace != "" && u.Name == AccountPrefix+namespace+":"+s.Name
	}
	return false
}

// RulesFor lists what somebody may do in a namespace, for those who ask what they may:
// of an object with several versions the first that all of them cover.
func (p *Policy) RulesFor(u User, namespace string) []rbacv1.PolicyRule {
	if slices.Contains(u.Groups, MastersGroup) {
		return BuiltIn["cluster-admin"]
	}
	var all []rbacv1.PolicyRule
	for at, versions := range p.Bindings {
		if at.Namespace != "" && at.Namespace != namespace || len(versions) == 0 {
			continue
		}
		role := p.Find(at.Namespace, versions[0].Ref)
		if len(role) == 0 {
			continue
		}
		for _, rule := range role[0] {
			if p.grants(at.Namespace, versions, u, func(rules []rbacv1.PolicyRule) bool { return covers(rules, rule) }) {
				all = append(all, rule)
			}
		}
	}
	return all
}

// Missing lists those of the rules that somebody who wants to grant them in a namespace
// does not have: nobody gives away more than he has.
func (p *Policy) Missing(u User, namespace string, rules []rbacv1.PolicyRule) (missing []rbacv1.PolicyRule) {
	if slices.Contains(u.Groups, MastersGroup) {
		return nil
	}
	own := p.RulesFor(u, namespace)
	for _, rule := range rules {
		if !covers(own, rule) {
			missing = append(missing, rule)
		}
	}
	return missing
}
