package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holon/node/api"
)

// resource is one kind of object and how its names are spelled.
type resource struct {
	Group, Version   string
	Plural, Singular string
	Kind             string
	Short            []string
	Namespaced       bool
	// Type is an empty value of the Go type, nil for kinds that only the server
	// knows: they are merged as plain JSON.
	Type any
}

// builtin are the kinds that holon's API serves. Others are asked of the server.
var builtin = []resource{
	{"", "v1", "pods", "pod", "Pod", []string{"po"}, true, corev1.Pod{}},
	{"apps", "v1", "deployments", "deployment", "Deployment", []string{"deploy"}, true, appsv1.Deployment{}},
	{"apps", "v1", "replicasets", "replicaset", "ReplicaSet", []string{"rs"}, true, appsv1.ReplicaSet{}},
	{"batch", "v1", "jobs", "job", "Job", nil, true, batchv1.Job{}},
	{"batch", "v1", "cronjobs", "cronjob", "CronJob", []string{"cj"}, true, batchv1.CronJob{}},
	{"apps", "v1", "statefulsets", "statefulset", "StatefulSet", []string{"sts"}, true, appsv1.StatefulSet{}},
	{"apps", "v1", "daemonsets", "daemonset", "DaemonSet", []string{"ds"}, true, appsv1.DaemonSet{}},
	{"apps", "v1", "controllerrevisions", "controllerrevision", "ControllerRevision", nil, true, appsv1.ControllerRevision{}},
	{"policy", "v1", "poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget", []string{"pdb"}, true, policyv1.PodDisruptionBudget{}},
	{"scheduling.k8s.io", "v1", "priorityclasses", "priorityclass", "PriorityClass", []string{"pc"}, false, schedulingv1.PriorityClass{}},
	{"", "v1", "configmaps", "configmap", "ConfigMap", []string{"cm"}, true, corev1.ConfigMap{}},
	{"", "v1", "secrets", "secret", "Secret", nil, true, corev1.Secret{}},
	{"", "v1", "services", "service", "Service", []string{"svc"}, true, corev1.Service{}},
	{"", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", []string{"sa"}, true, corev1.ServiceAccount{}},
	{"", "v1", "namespaces", "namespace", "Namespace", []string{"ns"}, false, corev1.Namespace{}},
	{"", "v1", "nodes", "node", "Node", []string{"no"}, false, corev1.Node{}},
	{"rbac.authorization.k8s.io", "v1", "roles", "role", "Role", nil, true, rbacv1.Role{}},
	{"rbac.authorization.k8s.io", "v1", "rolebindings", "rolebinding", "RoleBinding", nil, true, rbacv1.RoleBinding{}},
	{"rbac.authorization.k8s.io", "v1", "clusterroles", "clusterrole", "ClusterRole", nil, false, rbacv1.ClusterRole{}},
	{"rbac.authorization.k8s.io", "v1", "clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding", nil, false, rbacv1.ClusterRoleBinding{}},
	{"coordination.k8s.io", "v1", "leases", "lease", "Lease", nil, true, coordinationv1.Lease{}},
	{"holon.dev", "v1", "revocations", "revocation", "Revocation", nil, false, api.Revocation{}},
	{"holon.dev", "v1", "snapshots", "snapshot", "Snapshot", []string{"snap"}, false, api.Snapshot{}},
	{"", "v1", "events", "event", "Event", []string{"ev"}, true, corev1.Event{}},
}

// allKinds is what `get all` means.
var allKinds = []string{"pods", "deployments", "replicasets", "statefulsets", "daemonsets"}

// groupResource is the plural with its group: "deployments.apps", "pods".
func (r resource) groupResource() string { return withGroup(r.Plural, r.Group) }

// name is how an object is named in output: "deployment.apps/web".
func (r resource) name(object string) string { return withGroup(r.Singular, r.Group) + "/" + object }

func withGroup(s, group string) string {
	if group == "" {
		return s
	}
	return s + "." + group
}

func (r resource) apiVersion() string {
	return schema.GroupVersion{Group: r.Group, Version: r.Version}.String()
}

// path is the URL path of an object, or of the collection if name is empty, or
// of all namespaces if namespace is empty as well.
func (r resource) path(namespace, name string) string {
	p := "/apis/" + r.Group + "/" + r.Version
	if r.Group == "" {
		p = "/api/" + r.Version
	}
	if r.Namespaced && namespace != "" {
		p += "/namespaces/" + url.PathEscape(namespace)
	}
	p += "/" + r.Plural
	if name != "" {
		p += "/" + url.PathEscape(name)
	}
	return p
}

// matches says whether word names the resource: "po", "Pod", "deployments.apps",
// "deployment.v1.apps".
func (r resource) matches(word string) bool {
	head, group, dotted := strings.Cut(strings.ToLower(word), ".")
	if head != r.Plural && head != r.Singular && head != strings.ToLower(r.Kind) && !slices.Contains(r.Short, head) {
		return false
	}
	return !dotted || group == r.Group || group == r.Version+"."+r.Group || (r.Group == "" && group == r.Version)
}

func builtinResource(word string) (resource, bool) {
	for _, r := range builtin {
		if r.matches(word) {
			return r, true
		}
	}
	return resource{}, false
}

// mustBuiltin is for the kinds that this program itself names.
func mustBuiltin(word string) resource {
	r, ok := builtinResource(word)
	if !ok {
		panic("not a builtin kind: " + word)
	}
	return r
}

// resourceByWord resolves a word that the user typed.
func (c *client) resourceByWord(ctx context.Context, word string) (resource, error) {
	if r, ok := builtinResource(word); ok {
		return r, nil
	}
	served, err := c.discover(ctx)
	if err != nil {
		return resource{}, err
	}
	var known []string
	for _, r := range served {
		if r.matches(word) {
			return r.resource, nil
		}
		known = append(known, append(r.Short, r.Plural, r.Singular)...)
	}
	for _, r := range builtin {
		known = append(known, append(r.Short, r.Plural, r.Singular)...)
	}
	return resource{}, usagef("unknown kind %q%s", word, didYouMean(strings.ToLower(word), known))
}

// resourceByKind resolves the apiVersion and kind of a manifest.
func (c *client) resourceByKind(ctx context.Context, apiVersion, kind string) (resource, error) {
	match := func(r resource) bool { return r.apiVersion() == apiVersion && r.Kind == kind }
	if i := slices.IndexFunc(builtin, match); i >= 0 {
		return builtin[i], nil
	}
	served, err := c.discover(ctx)
	if err != nil {
		return resource{}, err
	}
	if i := slices.IndexFunc(served, func(r discovered) bool { return match(r.resource) }); i >= 0 {
		r := served[i]
		if r.refused { // said before anything is sent
			return r.resource, c.get(ctx, r.path("", ""), nil, &metav1.PartialObjectMetadataList{})
		}
		return r.resource, nil
	}
	for _, r := range builtin {
		if strings.EqualFold(r.Kind, kind) {
			return resource{}, fmt.Errorf("kind %q in apiVersion %q is unknown, did you mean %s of %s?", kind, apiVersion, r.Kind, r.apiVersion())
		}
	}
	return resource{}, fmt.Errorf("kind %q in apiVersion %q is not served by %s", kind, apiVersion, c.where)
}

// discovered is a kind that the server knows; a refused one by name only, and who asks
// for it is told in words why there is none.
type discovered struct {
	resource
	refused bool
}

// discover asks the server for every kind it knows.
func (c *client) discover(ctx context.Context) ([]discovered, error) {
	var groups metav1.APIGroupList
	if err := c.get(ctx, "/apis", nil, &groups); err != nil {
		return nil, err
	}
	versions := []schema.GroupVersion{{Version: "v1"}}
	for _, g := range groups.Groups {
		gv, err := schema.ParseGroupVersion(g.PreferredVersion.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("%s lists a bad API group: %w", c.where, err)
		}
		versions = append(versions, gv)
	}
	var all []discovered
	for _, gv := range versions {
		path := "/apis/" + gv.String()
		if gv.Group == "" {
			path = "/api/v1"
		}
		var list metav1.APIResourceList
		if err := c.get(ctx, path, nil, &list); err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			if strings.Contains(r.Name, "/") {
				continue // a subresource
			}
			all = append(all, discovered{resource{
				Group: gv.Group, Version: gv.Version, Plural: r.Name, Singular: orElse(r.SingularName, strings.ToLower(r.Kind)),
				Kind: r.Kind, Short: r.ShortNames, Namespaced: r.Namespaced,
			}, len(r.Verbs) == 0})
		}
	}
	return all, nil
}
