package api

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"holon/crdt/state"
	"holon/crdt/state/valid"
	"holon/node/api/rbac"
)

func rbacKind(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: rbacv1.GroupName, Version: "v1", Kind: kind}
}

// grantKinds say who may do what.
var grantKinds = []*kind{
	{
		GroupVersionKind: rbacKind("Role"), plural: "roles", singular: "role", namespaced: true, verbs: allVerbs,
		make: func() runtime.Object { return &rbacv1.Role{} }, fields: roleFields, validate: on(valid.Role),
		columns: roleColumns, row: row(func(r *rbacv1.Role) []any { return []any{r.Name, created(r.CreationTimestamp)} }),
	},
	{
		GroupVersionKind: rbacKind("RoleBinding"), plural: "rolebindings", singular: "rolebinding", namespaced: true, verbs: allVerbs,
		make: func() runtime.Object { return &rbacv1.RoleBinding{} }, fields: bindingFields, defaults: by(valid.DefaultRoleBinding),
		validate: on(valid.RoleBinding), validateUpdate: onUpdate(valid.RoleBindingUpdate),
		columns: bindingColumns, row: row(func(b *rbacv1.RoleBinding) []any {
			return bindingRow(b.Name, b.RoleRef, b.CreationTimestamp, b.Subjects)
		}),
	},
	{
		GroupVersionKind: rbacKind("ClusterRole"), plural: "clusterroles", singular: "clusterrole", verbs: allVerbs,
		make: func() runtime.Object { return &rbacv1.ClusterRole{} }, fields: clusterRoleFields, validate: on(validClusterRole),
		columns: roleColumns, row: row(func(r *rbacv1.ClusterRole) []any { return []any{r.Name, created(r.CreationTimestamp)} }),
	},
	{
		GroupVersionKind: rbacKind("ClusterRoleBinding"), plural: "clusterrolebindings", singular: "clusterrolebinding", verbs: allVerbs,
		make: func() runtime.Object { return &rbacv1.ClusterRoleBinding{} }, fields: bindingFields, defaults: by(valid.DefaultClusterRoleBinding),
		validate: on(valid.ClusterRoleBinding), validateUpdate: onUpdate(valid.ClusterRoleBindingUpdate),
		columns: bindingColumns, row: row(func(b *rbacv1.ClusterRoleBinding) []any {
			return bindingRow(b.Name, b.RoleRef, b.CreationTimestamp, b.Subjects)
		}),
	},
}

// roleRules are atomic lists: what is below rules and subjects is checked by valid.
var (
	roleFields = merged(
		fieldRules{honoured: []string{"metadata", "rules"}, filled: []string{"apiVersion", "kind"}}.at(""), metadataRules.at("metadata"))
	clusterRoleFields = merged(
		fieldRules{
			honoured: []string{"metadata", "rules"}, filled: []string{"apiVersion", "kind"},
			refused: map[string]string{"aggregationRule": "holon does not aggregate ClusterRoles: write the rules into this one"},
		}.at(""), metadataRules.at("metadata"))
	bindingFields = merged(
		fieldRules{
			honoured: []string{"metadata", "subjects", "roleRef", "roleRef.apiGroup", "roleRef.kind", "roleRef.name"},
			filled:   []string{"apiVersion", "kind"},
		}.at(""), metadataRules.at("metadata"))
)

// validClusterRole keeps the names of the roles that are always there.
func validClusterRole(r *rbacv1.ClusterRole) field.ErrorList {
	errs := valid.ClusterRole(r)
	if _, built := rbac.BuiltIn[r.Name]; built {
		errs = append(errs, field.Forbidden(field.NewPath("metadata", "name"), "every cluster has this role, and nobody changes it: take another name"))
	}
	return errs
}

// builtInRoles are the ClusterRoles that are always there, as objects.
func builtInRoles() ([]Object, error) {
	var all []Object
	for _, name := range slices.Sorted(maps.Keys(rbac.BuiltIn)) {
		key := Key{Resource: ClusterRoles, Name: name}
		value, err := toMap(&rbacv1.ClusterRole{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
			ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(state.DerivedUID("clusterrole", name).String())},
			Rules:      rbac.BuiltIn[name],
		})
		if err != nil {
			return nil, err
		}
		all = append(all, Object{Key: key, Source: Decoded(value)})
	}
	return all, nil
}

var (
	roleColumns    = []metav1.TableColumnDefinition{nameColumn, column("Created At")}
	bindingColumns = []metav1.TableColumnDefinition{nameColumn, column("Role"), column("Age"), wide("Users"), wide("Groups"), wide("ServiceAccounts")}
)

func created(t metav1.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func bindingRow(name string, ref rbacv1.RoleRef, born metav1.Time, subjects []rbacv1.Subject) []any {
	by := map[string][]string{}
	for _, s := range subjects {
		who := s.Name
		if s.Kind == rbacv1.ServiceAccountKind {
			who = s.Namespace + "/" + s.Name
		}
		by[s.Kind] = append(by[s.Kind], who)
	}
	list := func(kind string) string { return strings.Join(by[kind], ", ") }
	return []any{name, ref.Kind + "/" + ref.Name, age(born), list(rbacv1.UserKind), list(rbacv1.GroupKind), list(rbacv1.ServiceAccountKind)}
}

// mayGrant refuses to whoever writes a role or a binding what he does not have himself,
// unless he may escalate, or bind that role (as Kubernetes).
func (s *Server) mayGrant(ctx context.Context, k *kind, key Key, obj runtime.Object) error {
	if k.Group != rbacv1.GroupName {
		return nil
	}
	u := userOfContext(ctx)
	policy, _ := s.access.current()
	ask := rbac.Request{Verb: "escalate", Group: k.Group, Resource: k.plural, Namespace: key.Namespace, Name: key.Name}
	var rules []rbacv1.PolicyRule
	switch o := obj.(type) {
	case *rbacv1.Role:
		rules = o.Rules
	case *rbacv1.ClusterRole:
		rules = o.Rules
	case *rbacv1.RoleBinding:
		rules, ask = granted(policy, key, o.RoleRef)
	case *rbacv1.ClusterRoleBinding:
		rules, ask = granted(policy, key, o.RoleRef)
	}
	if policy.Allows(u.User, ask) {
		return nil
	}
	if missing := policy.Missing(u.User, key.Namespace, rules); len(missing) > 0 {
		return forbiddenGrant(k, key, u.Name, missing)
	}
	if ask.Verb == "bind" && rules == nil {
		return forbidden(u.Name, ask) // what the role will say one day, nobody knows
	}
	return nil
}

// granted is what a binding gives, and the right to give it whatever it is.
func granted(p *rbac.Policy, key Key, ref rbacv1.RoleRef) ([]rbacv1.PolicyRule, rbac.Request) {
	ask := rbac.Request{Verb: "bind", Group: rbacv1.GroupName, Resource: strings.ToLower(ref.Kind) + "s", Name: ref.Name}
	if ref.Kind == "Role" {
		ask.Namespace = key.Namespace
	}
	var rules []rbacv1.PolicyRule
	for _, version := range p.Find(key.Namespace, ref) {
		rules = append(rules, version...)
	}
	return rules, ask
}

func forbiddenGrant(k *kind, key Key, user string, missing []rbacv1.PolicyRule) error {
	words := make([]string, 0, len(missing))
	for _, rule := range missing {
		words = append(words, fmt.Sprintf("%v of %v in %v%v", rule.Verbs, rule.Resources, rule.APIGroups, rule.NonResourceURLs))
	}
	return apierrors.NewForbidden(k.groupResource(), key.Name, fmt.Errorf("user %q is attempting to grant RBAC permissions not currently held: %s", user, strings.Join(words, "; ")))
}
