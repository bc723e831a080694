package rbac

import rbacv1 "k8s.io/api/rbac/v1"

var (
	readVerbs  = []string{"get", "list", "watch"}
	writeVerbs = []string{"create", "delete", "deletecollection", "patch", "update"}
)

// seen by whoever may view a namespace: all but Secrets, which would give away what their
// readers may do.
var viewed = []rbacv1.PolicyRule{
	{APIGroups: []string{""}, Verbs: readVerbs, Resources: []string{
		"configmaps", "endpoints", "events", "namespaces", "persistentvolumeclaims", "pods", "pods/log", "pods/status", "serviceaccounts", "services",
	}},
	{APIGroups: []string{"apps"}, Verbs: readVerbs, Resources: []string{
		"controllerrevisions", "daemonsets", "deployments", "deployments/scale", "replicasets", "replicasets/scale", "statefulsets", "statefulsets/scale",
	}},
	{APIGroups: []string{"batch"}, Verbs: readVerbs, Resources: []string{"cronjobs", "jobs"}},
	{APIGroups: []string{"discovery.k8s.io"}, Verbs: readVerbs, Resources: []string{"endpointslices"}},
	{APIGroups: []string{"policy"}, Verbs: readVerbs, Resources: []string{"poddisruptionbudgets"}},
	{APIGroups: []string{"metrics.k8s.io"}, Verbs: readVerbs, Resources: []string{"pods"}},
	{APIGroups: []string{"holon.dev"}, Verbs: []string{"get"}, Resources: []string{"status", "why"}},
}

// edited by whoever may edit a namespace.
var edited = []rbacv1.PolicyRule{
	{APIGroups: []string{""}, Verbs: readVerbs, Resources: []string{"secrets"}},
	{APIGroups: []string{""}, Verbs: writeVerbs, Resources: []string{
		"configmaps", "persistentvolumeclaims", "pods", "secrets", "serviceaccounts", "services",
	}},
	{APIGroups: []string{""}, Verbs: []string{"create", "get"}, Resources: []string{"pods/attach", "pods/exec", "pods/portforward"}},
	{APIGroups: []string{""}, Verbs: []string{"create"}, Resources: []string{"pods/eviction", "serviceaccounts/token"}},
	{APIGroups: []string{""}, Verbs: []string{"impersonate"}, Resources: []string{"serviceaccounts"}},
	{APIGroups: []string{"apps"}, Verbs: writeVerbs, Resources: []string{
		"daemonsets", "deployments", "deployments/scale", "replicasets", "statefulsets", "statefulsets/scale",
	}},
	{APIGroups: []string{"batch"}, Verbs: writeVerbs, Resources: []string{"cronjobs", "jobs"}},
	{APIGroups: []string{"policy"}, Verbs: writeVerbs, Resources: []string{"poddisruptionbudgets"}},
}

// administered by whoever runs a namespace: he says who else may use it.
var administered = []rbacv1.PolicyRule{
	{APIGroups: []string{"rbac.authorization.k8s.io"}, Verbs: append(append([]string{}, readVerbs...), writeVerbs...), Resources: []string{"rolebindings", "roles"}},
}

// BuiltIn are ClusterRoles that every cluster has, under the names that Kubernetes gives
// them. Nobody can change them.
var BuiltIn = map[string][]rbacv1.PolicyRule{
	"cluster-admin": {
		{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}},
		{NonResourceURLs: []string{"*"}, Verbs: []string{"*"}},
	},
	"admin": concat(viewed, edited, administered),
	"edit":  concat(viewed, edited),
	"view":  viewed,
}

func concat(lists ...[]rbacv1.PolicyRule) (all []rbacv1.PolicyRule) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// BasicRules are what everybody with a credential may ask: what the server is, what kinds
// there are, who he is and what he may do. Which objects there are it does not tell.
var BasicRules = []rbacv1.PolicyRule{
	{Verbs: []string{"create"}, APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"selfsubjectaccessreviews", "selfsubjectrulesreviews"}},
	{Verbs: []string{"create"}, APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"selfsubjectreviews"}},
	{Verbs: []string{"get"}, NonResourceURLs: []string{
		"/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/*", "/healthz", "/livez", "/readyz",
	}},
}

// Basic reports whether everybody with a credential may do something.
func Basic(r Request) bool { return ruled(BasicRules, r) }
