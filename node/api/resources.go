package api

import (
	"net/http"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"holon/crdt/state/valid"
)

// kind is all that the server knows about one kind of object. The handlers are
// the same for all kinds; what differs is in this table.
type kind struct {
	schema.GroupVersionKind
	plural, singular string
	short            []string
	categories       []string
	namespaced       bool
	verbs            []string
	// refuses says why a verb that Kubernetes has is missing here.
	refuses map[string]string
	// subresources by name: the kind they speak and their verbs.
	subresources []subresource
	// sealed objects are stored and cached sealed, and opened when somebody reads or
	// changes them.
	sealed bool
	// asked objects live on their nodes and are gathered when somebody looks.
	asked bool
	// gather makes the objects that a target is about when somebody looks; nil: the cache
	// has them.
	gather func(s *Server, w http.ResponseWriter, r *http.Request, t *target) ([]Object, error)

	make func() runtime.Object
	// review answers an object of a kind that is a question and is not kept; see
	// reviewKinds.
	review   func(*Server, user, runtime.Object)
	fields   fieldTable
	defaults func(runtime.Object)
	// carry leaves an updated object what the server has given the old one.
	carry func(obj, old runtime.Object)
	// validate checks a whole object, validateCreate what only the server may set,
	// validateUpdate what may not change.
	validate       func(runtime.Object) field.ErrorList
	validateCreate func(runtime.Object) field.ErrorList
	validateUpdate func(obj, old runtime.Object) field.ErrorList
	// advise says what will not be as the author may expect; nil: nothing.
	advise func(runtime.Object) []string
	// adviseCreate is said to whoever makes one; empty: nothing.
	adviseCreate string
	// selectable are the fields that a field selector may name, besides metadata.name and metadata.namespace.
	selectable []string
	columns    []metav1.TableColumnDefinition
	row        func(runtime.Object) []any
}

type subresource struct {
	name  string
	gvk   schema.GroupVersionKind
	verbs []string
}

// key is the kind as Key.Resource spells it.
func (k *kind) key() string { return k.groupResource().String() }

func (k *kind) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: k.Group, Resource: k.plural}
}

func (k *kind) can(verb string) bool { return slices.Contains(k.verbs, verb) }

// Verbs as discovery names them.
var (
	readVerbs = []string{"get", "list", "watch"}
	allVerbs  = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
)

// Resources as Key.Resource spells them.
const (
	Namespaces   = "namespaces"
	Nodes        = "nodes"
	Pods         = "pods"
	ConfigMaps   = "configmaps"
	Secrets      = "secrets"
	EventsOf     = "events"
	Deployments  = "deployments.apps"
	StatefulSets = "statefulsets.apps"
	DaemonSets   = "daemonsets.apps"
	ReplicaSets  = "replicasets.apps"
	Jobs         = "jobs.batch"
	Services     = "services"
	CronJobs     = "cronjobs.batch"
	Claims       = "persistentvolumeclaims"
	Volumes      = "persistentvolumes"
	Budgets      = "poddisruptionbudgets.policy"

	ServiceAccounts = "serviceaccounts"
	StorageClasses  = "storageclasses.storage.k8s.io"
	PriorityClasses = "priorityclasses.scheduling.k8s.io"

	Roles               = "roles.rbac.authorization.k8s.io"
	RoleBindings        = "rolebindings.rbac.authorization.k8s.io"
	ClusterRoles        = "clusterroles.rbac.authorization.k8s.io"
	ClusterRoleBindings = "clusterrolebindings.rbac.authorization.k8s.io"
	Revocations         = "revocations.holon.dev"
	Snapshots           = "snapshots.holon.dev"
)

func core(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Version: "v1", Kind: kind}
}

func apps(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: kind}
}

var scaleKind = schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}

// kinds is everything that is served, in the order of discovery.
var kinds = slices.Concat(ordinaryKinds, grantKinds, reviewKinds, []*kind{serviceKind, endpointSliceKind, serviceAccountKind, leaseKind, claimKind, volumeKind, storageClassKind, revocationKind, snapshotKind, conflictKind, nodeMetricsKind, podMetricsKind})

var ordinaryKinds = []*kind{
	{
		GroupVersionKind: core("Namespace"), plural: "namespaces", singular: "namespace", short: []string{"ns"},
		verbs:    []string{"create", "delete", "get", "list", "patch", "update", "watch"},
		make:     func() runtime.Object { return &corev1.Namespace{} },
		fields:   namespaceFields,
		validate: on(valid.Namespace), selectable: []string{"status.phase"},
		columns: namespaceColumns, row: row(namespaceRow),
	},
	{
		GroupVersionKind: core("Node"), plural: "nodes", singular: "node", short: []string{"no"},
		verbs: []string{"get", "list", "patch", "update", "watch"},
		refuses: map[string]string{
			"create": "a node joins with a token: holon token create, then holon up --join TOKEN there",
			"delete": "a node leaves by itself: run holon node leave there",
		},
		make:     func() runtime.Object { return &corev1.Node{} },
		fields:   nodeFields,
		validate: on(valid.Node), validateUpdate: onUpdate(valid.NodeUpdate), advise: adviceOn(adviseNode),
		selectable: []string{"spec.unschedulable"},
		columns:    nodeColumns, row: row(nodeRow),
	},
	{
		GroupVersionKind: core("Pod"), plural: "pods", singular: "pod", short: []string{"po"},
		categories: []string{"all"}, namespaced: true, verbs: allVerbs,
		subresources: []subresource{
			{"log", core("Pod"), []string{"get"}},
			{"exec", core("PodExecOptions"), []string{"create", "get"}},
			{"attach", core("PodAttachOptions"), []string{"create", "get"}},
			{"portforward", core("PodPortForwardOptions"), []string{"create", "get"}},
			{"eviction", evictionKind, []string{"create"}},
		},
		make:     func() runtime.Object { return &corev1.Pod{} },
		fields:   podFields,
		defaults: by(valid.DefaultPod), validate: on(valid.Pod), validateCreate: on(valid.PodCreate), validateUpdate: onUpdate(valid.PodUpdate),
		selectable: []string{
			"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
			"status.phase", "status.podIP", "status.nominatedNodeName",
		},
		advise:  adviceOn(func(p *corev1.Pod) []string { return adviseOnSecrets(&p.Spec, "spec") }),
		columns: podColumns, row: row(podRow),
	},
	{
		GroupVersionKind: core("ConfigMap"), plural: "configmaps", singular: "configmap", short: []string{"cm"},
		namespaced: true, verbs: allVerbs,
		make:     func() runtime.Object { return &corev1.ConfigMap{} },
		fields:   configMapFields,
		validate: on(valid.ConfigMap), validateUpdate: onUpdate(valid.ConfigMapUpdate),
		columns: configMapColumns, row: row(configMapRow),
	},
	{
		GroupVersionKind: core("Secret"), plural: "secrets", singular: "secret",
		namespaced: true, verbs: allVerbs, sealed: true,
		make:     func() runtime.Object { return &corev1.Secret{} },
		fields:   secretFields,
		defaults: by(valid.DefaultSecret), validate: on(valid.Secret), validateUpdate: onUpdate(valid.SecretUpdate),
		advise: adviceOn(adviseSecret), selectable: []string{"type"},
		columns: secretColumns, row: row(secretRow),
	},
	{
		GroupVersionKind: core("Event"), plural: "events", singular: "event", short: []string{"ev"},
		namespaced: true, verbs: readVerbs, asked: true,
		refuses: map[string]string{"create": "Events come from the nodes"},
		make:    func() runtime.Object { return &corev1.Event{} },
		selectable: []string{
			"involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
			"involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
			"reason", "reportingComponent", "source", "type",
		},
		columns: eventColumns, row: row(eventRow),
	},
	{
		GroupVersionKind: apps("Deployment"), plural: "deployments", singular: "deployment", short: []string{"deploy"},
		categories: []string{"all"}, namespaced: true, verbs: allVerbs,
		subresources: []subresource{{"scale", scaleKind, []string{"get", "patch", "update"}}},
		make:         func() runtime.Object { return &appsv1.Deployment{} },
		fields:       deploymentFields,
		defaults:     by(valid.DefaultDeployment), validate: on(valid.Deployment), validateUpdate: onUpdate(valid.DeploymentUpdate),
		advise: adviceOn(func(d *appsv1.Deployment) []string {
			return adviseTemplate(&d.Spec.Template)
		}),
		columns: deploymentColumns, row: row(deploymentRow),
	},
	statefulSetKind, daemonSetKind,
	{
		GroupVersionKind: schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"},
		plural:           "jobs", singular: "job",
		categories: []string{"all"}, namespaced: true, verbs: allVerbs,
		make:     func() runtime.Object { return &batchv1.Job{} },
		fields:   jobFields,
		defaults: by(valid.DefaultJob), validate: on(valid.Job), validateUpdate: onUpdate(valid.JobUpdate),
		advise: adviceOn(func(j *batchv1.Job) []string {
			return slices.Concat(valid.AdviseTemplate(j.Spec.Template.Annotations), adviseOnSecrets(&j.Spec.Template.Spec, "spec.template.spec"))
		}),
		columns: jobColumns, row: row(jobRow),
	},
	cronJobKind,
	{
		GroupVersionKind: schema.GroupVersionKind{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
		plural:           "poddisruptionbudgets", singular: "poddisruptionbudget", short: []string{"pdb"},
		namespaced: true, verbs: allVerbs,
		make:     func() runtime.Object { return &policyv1.PodDisruptionBudget{} },
		fields:   budgetFields,
		validate: on(valid.PodDisruptionBudget),
		columns:  budgetColumns, row: row(budgetRow),
	},
	{
		GroupVersionKind: schema.GroupVersionKind{Group: "scheduling.k8s.io", Version: "v1", Kind: "PriorityClass"},
		plural:           "priorityclasses", singular: "priorityclass", short: []string{"pc"},
		verbs:    allVerbs,
		make:     func() runtime.Object { return &schedulingv1.PriorityClass{} },
		fields:   priorityFields,
		validate: on(valid.PriorityClass), validateUpdate: onUpdate(valid.PriorityClassUpdate),
		columns: priorityColumns, row: row(priorityRow),
	},
	{
		GroupVersionKind: apps("ReplicaSet"), plural: "replicasets", singular: "replicaset", short: []string{"rs"},
		categories: []string{"all"}, namespaced: true, verbs: readVerbs,
		refuses: map[string]string{
			"create": "holon derives ReplicaSets from Deployments; create a Deployment",
			"update": "holon derives ReplicaSets from Deployments; change the Deployment",
			"patch":  "holon derives ReplicaSets from Deployments; change the Deployment",
			"delete": "holon derives ReplicaSets from Deployments; delete the Deployment",
		},
		make:       func() runtime.Object { return &appsv1.ReplicaSet{} },
		selectable: []string{"status.replicas"},
		columns:    replicaSetColumns, row: row(replicaSetRow),
	},
	controllerRevisionKind,
}

// on, onUpdate, by and row give functions of concrete types the shape of the table.
func on[T runtime.Object](f func(T) field.ErrorList) func(runtime.Object) field.ErrorList {
	return func(o runtime.Object) field.ErrorList { return f(o.(T)) }
}

func onUpdate[T runtime.Object](f func(obj, old T) field.ErrorList) func(obj, old runtime.Object) field.ErrorList {
	return func(obj, old runtime.Object) field.ErrorList { return f(obj.(T), old.(T)) }
}

func adviceOn[T runtime.Object](f func(T) []string) func(runtime.Object) []string {
	return func(o runtime.Object) []string { return f(o.(T)) }
}

// adviseNode warns of a drain that `kubectl uncordon` has suspended only.
func adviseNode(n *corev1.Node) []string {
	if _, drains := n.Annotations[valid.DrainAnnotation]; drains && !n.Spec.Unschedulable {
		return []string{"the annotation " + valid.DrainAnnotation + " is kept, and drains the node again once it is cordoned; `holon uncordon` removes it"}
	}
	return nil
}

func by[T runtime.Object](f func(T)) func(runtime.Object) {
	return func(o runtime.Object) { f(o.(T)) }
}

func row[T runtime.Object](f func(T) []any) func(runtime.Object) []any {
	return func(o runtime.Object) []any { return f(o.(T)) }
}

// kindOf finds a kind by its group, version and plural.
func kindOf(group, version, plural string) *kind {
	for _, k := range kinds {
		if k.Group == group && k.Version == version && k.plural == plural {
			return k
		}
	}
	return nil
}

// kindNamed finds a kind as people spell it: plural, singular, short, with or
// without its group.
func kindNamed(name string) *kind {
	for _, k := range kinds {
		if name == k.key() || name == k.plural || name == k.singular || slices.Contains(k.short, name) {
			return k
		}
	}
	return nil
}
