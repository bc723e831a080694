package state

import (
	"fmt"
	"strings"
)

// The resources that holon stores, as "<plural>.<group>" (the core group has no
// dot). The last six never leave the store: they are holon's own bookkeeping.
const (
	Namespaces          = "namespaces"
	Nodes               = "nodes"
	Pods                = "pods"
	ConfigMaps          = "configmaps"
	Secrets             = "secrets" // their values sealed, see SealedPath
	Deployments         = "deployments.apps"
	ReplicaSets         = "replicasets.apps" // derived, never stored
	StatefulSets        = "statefulsets.apps"
	DaemonSets          = "daemonsets.apps"
	ControllerRevisions = "controllerrevisions.apps" // derived, never stored
	Jobs                = "jobs.batch"
	CronJobs            = "cronjobs.batch"
	Budgets             = "poddisruptionbudgets.policy"

	Services        = "services"
	ServiceAccounts = "serviceaccounts"
	EndpointSlices  = "endpointslices.discovery.k8s.io" // derived, never stored

	Leases         = "leases.coordination.k8s.io"
	Claims         = "persistentvolumeclaims"
	Volumes        = "persistentvolumes"             // derived, never stored
	StorageClasses = "storageclasses.storage.k8s.io" // given, never stored

	PriorityClasses = "priorityclasses.scheduling.k8s.io"

	Roles               = "roles.rbac.authorization.k8s.io"
	RoleBindings        = "rolebindings.rbac.authorization.k8s.io"
	ClusterRoles        = "clusterroles.rbac.authorization.k8s.io"
	ClusterRoleBindings = "clusterrolebindings.rbac.authorization.k8s.io"
	Revocations         = "revocations.holon.dev" // of credentials, never deleted
	Snapshots           = "snapshots.holon.dev"   // that nodes keep copies for

	Members   = "members.holon.dev"   // one per admitted peer, named by peer ID
	Slots     = "slots.holon.dev"     // one per slot, named <workload UID>-<index>
	Revisions = "revisions.holon.dev" // one per pod template, named <workload UID>-<hash>
	Tokens    = "tokens.holon.dev"    // join tokens, named by token ID
	DataKeys  = "datakeys.holon.dev"  // data keys wrapped for each member, named by key ID
	PodMeta   = "podmeta.holon.dev"   // labels and annotations written on a derived pod, named by pod UID
)

// Names of objects that each namespace is given, without anybody storing them.
const (
	DefaultAccount = "default"          // the ServiceAccount of pods that name none
	RootCA         = "kube-root-ca.crt" // the ConfigMap with the CA of the API
	RootCAKey      = "ca.crt"           // under which it is there
)

// Key names a record: "<resource>/<namespace>/<name>", with an empty namespace
// for cluster-wide kinds. None of the three may contain a slash.
type Key string

// MakeKey joins the three parts of a key.
func MakeKey(resource, namespace, name string) Key {
	return Key(resource + "/" + namespace + "/" + name)
}

// Split returns the three parts of k.
func (k Key) Split() (resource, namespace, name string) {
	resource, rest, _ := strings.Cut(string(k), "/")
	namespace, name, _ = strings.Cut(rest, "/")
	return resource, namespace, name
}

// Resource is the first part of k.
func (k Key) Resource() string {
	resource, _, _ := strings.Cut(string(k), "/")
	return resource
}

// Within says whether k begins with another key, whose name is the beginning of a name.
func (k Key) Within(prefix Key) bool { return strings.HasPrefix(string(k), string(prefix)) }

// Internal says whether k is of holon's own bookkeeping, which no user wrote.
func (k Key) Internal() bool {
	_, shown := kinds[k.Resource()]
	return strings.HasSuffix(k.Resource(), ".holon.dev") && !shown
}

// Lasting says that an object of this key is never deleted. So no account of dots proves that it
// was: a database that was rolled back in secret issues some again, and whoever knows
// them as others' would purge, with everybody's consent, a member (seed 9231 of the
// histories).
func Lasting(k Key) bool { return k.Resource() == Members }

// Validate reports what is wrong with a key that came from outside.
func (k Key) Validate() error {
	parts := strings.Split(string(k), "/")
	if len(parts) != 3 || parts[0] == "" || parts[2] == "" {
		return fmt.Errorf("key %q is not <resource>/<namespace>/<name>", string(k))
	}
	if len(k) > KeyBytesMax {
		return fmt.Errorf("key of %d bytes is longer than %d", len(k), KeyBytesMax)
	}
	return nil
}

// KeyBytesMax bounds a key: three names of at most 253 bytes (RFC 1123) and room
// for the group.
const KeyBytesMax = 1024
