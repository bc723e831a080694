package schema

// Resources are the kinds that the table covers, by Go type: those that holon
// stores and those that it will.
var Resources = map[string]string{
	"deployments.apps":                       "k8s.io/api/apps/v1.Deployment",
	"replicasets.apps":                       "k8s.io/api/apps/v1.ReplicaSet",
	"statefulsets.apps":                      "k8s.io/api/apps/v1.StatefulSet",
	"daemonsets.apps":                        "k8s.io/api/apps/v1.DaemonSet",
	"pods":                                   "k8s.io/api/core/v1.Pod",
	"configmaps":                             "k8s.io/api/core/v1.ConfigMap",
	"secrets":                                "k8s.io/api/core/v1.Secret",
	"namespaces":                             "k8s.io/api/core/v1.Namespace",
	"nodes":                                  "k8s.io/api/core/v1.Node",
	"services":                               "k8s.io/api/core/v1.Service",
	"serviceaccounts":                        "k8s.io/api/core/v1.ServiceAccount",
	"persistentvolumeclaims":                 "k8s.io/api/core/v1.PersistentVolumeClaim",
	"jobs.batch":                             "k8s.io/api/batch/v1.Job",
	"cronjobs.batch":                         "k8s.io/api/batch/v1.CronJob",
	"roles.rbac.authorization.k8s.io":        "k8s.io/api/rbac/v1.Role",
	"rolebindings.rbac.authorization.k8s.io": "k8s.io/api/rbac/v1.RoleBinding",
	"clusterroles.rbac.authorization.k8s.io": "k8s.io/api/rbac/v1.ClusterRole",
	"clusterrolebindings.rbac.authorization.k8s.io": "k8s.io/api/rbac/v1.ClusterRoleBinding",
	"poddisruptionbudgets.policy":                   "k8s.io/api/policy/v1.PodDisruptionBudget",
	"priorityclasses.scheduling.k8s.io":             "k8s.io/api/scheduling/v1.PriorityClass",
	"leases.coordination.k8s.io":                    "k8s.io/api/coordination/v1.Lease",
}

// Own are the kinds of holon's own that can be changed: their metadata is that of all kinds,
// and their spec changes as a whole.
var Own = []string{"snapshots.holon.dev"}

// Groups are the types that holon keeps together although Kubernetes would merge
// their fields: half of one change and half of another is nonsense there. The
// value says why.
var Groups = map[string]string{
	"k8s.io/api/core/v1.Probe":                      "a handler with the other side's port or thresholds tests nothing",
	"k8s.io/api/core/v1.Lifecycle":                  "a hook has one handler",
	"k8s.io/api/core/v1.ResourceRequirements":       "a request above the other side's limit is invalid",
	"k8s.io/api/core/v1.VolumeResourceRequirements": "as ResourceRequirements",
	"k8s.io/api/core/v1.Volume":                     "a volume has one source",
	"k8s.io/api/core/v1.ContainerPort":              "one port: its number, host port and name belong together",
	"k8s.io/api/core/v1.ServicePort":                "one port",
	"k8s.io/api/core/v1.EnvVar":                     "value or valueFrom, never both",
	"k8s.io/api/core/v1.TopologySpreadConstraint":   "one constraint",
	"k8s.io/api/core/v1.Affinity":                   "its terms are read together",
	"k8s.io/api/core/v1.SeccompProfile":             "a profile of one type",
	"k8s.io/api/core/v1.AppArmorProfile":            "a profile of one type",
	"k8s.io/api/apps/v1.DeploymentStrategy":         "rollingUpdate goes with its type; surge and unavailable may not both be 0",
	"k8s.io/api/apps/v1.StatefulSetUpdateStrategy":  "rollingUpdate goes with its type",
	"k8s.io/api/apps/v1.DaemonSetUpdateStrategy":    "rollingUpdate goes with its type",
	"k8s.io/api/batch/v1.PodFailurePolicy":          "its rules are read in order",
	"k8s.io/api/batch/v1.SuccessPolicy":             "its rules are read in order",
	"k8s.io/api/core/v1.SessionAffinityConfig":      "goes with sessionAffinity",
	"k8s.io/api/coordination/v1.LeaseSpec":          "who holds it, since when and for how long: one claim",
}

// Lists are the fields whose list holon keys otherwise than Kubernetes does.
var Lists = map[string]List{
	// Kubernetes' API server alone writes it and needs no merge. Here two sides of
	// a split apply under different managers, and neither may undo the other.
	"k8s.io/apimachinery/pkg/apis/meta/v1.ObjectMeta.managedFields": {
		Keys: "manager,operation,apiVersion,subresource", Whole: true,
	},
}

// List replaces the markers of one list.
type List struct {
	Keys  string // of the elements, separated by commas
	Whole bool   // the elements are kept together
}
