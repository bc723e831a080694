package state

import (
	"fmt"
	"maps"
	"time"
)

// A face is the API's picture of something that is derived: a pod, a ReplicaSet,
// a workload's or a node's status. Faces are JSON objects (map[string]any) in
// Kubernetes' shape; building them needs no more than their arguments, with which
// they share nothing that can change, but for PodFace.Spec. Half of what they show was said by other
// nodes: whatever a node says, the object stays one that clients can decode.

// ownerRef points from a derived object to what it was derived from.
func ownerRef(apiVersion, kind, name, uid string) []any {
	return []any{map[string]any{
		"apiVersion": apiVersion, "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true,
	}}
}

func merge(into map[string]any, from map[string]string) {
	for k, v := range from {
		into[k] = v
	}
}

func condition(kind string, ok bool, reason, message string) map[string]any {
	status := "False"
	if ok {
		status = "True"
	}
	c := map[string]any{"type": kind, "status": status}
	if reason != "" {
		c["reason"] = reason
	}
	if message != "" {
		c["message"] = message
	}
	return c
}

// mergeConditions say what a merge has left to be decided; none if nothing is.
func mergeConditions(conflicts []Conflict, invalid string) []any {
	var list []any
	if len(conflicts) > 0 {
		message := conflicts[0].Field
		if more := len(conflicts) - 1; more > 0 {
			message += fmt.Sprintf(" and %d more", more)
		}
		list = append(list, condition("FieldConflict", true, "ConcurrentWrites", message+
			": written on two sides of a partition; see holon conflicts"))
	}
	if invalid != "" {
		list = append(list, condition("MergedInvalid", true, "LastValidRuns", "edits of two sides of a partition do not fit together, the last valid form runs: "+invalid))
	}
	return list
}

// timestamp sets a time that a node has said, unless it is none (RFC 3339).
func timestamp(into map[string]any, key, text string) {
	if _, err := time.Parse(time.RFC3339, text); err == nil {
		into[key] = text
	}
}

// words sets a field unless there is nothing to say.
func words(into map[string]any, key, text string) {
	if text != "" {
		into[key] = text
	}
}

// deepCopy copies JSON data.
func deepCopy(value any) any {
	switch v := value.(type) {
	case map[string]any:
		return copyObject(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = deepCopy(v[i])
		}
		return list
	}
	return value
}

// copyObject is deepCopy of an object; never nil.
func copyObject(from map[string]any) map[string]any {
	into := make(map[string]any, len(from))
	for k, v := range from {
		into[k] = deepCopy(v)
	}
	return into
}

// object is the object below a key, or a new one.
func object(parent map[string]any, key string) map[string]any {
	child, ok := parent[key].(map[string]any)
	if !ok {
		child = map[string]any{}
		parent[key] = child
	}
	return child
}

// kinds tells apiVersion and kind of each resource that the API shows.
var kinds = map[string][2]string{
	Namespaces: {"v1", "Namespace"}, Nodes: {"v1", "Node"}, Pods: {"v1", "Pod"}, ConfigMaps: {"v1", "ConfigMap"},
	Secrets: {"v1", "Secret"}, Services: {"v1", "Service"}, ServiceAccounts: {"v1", "ServiceAccount"},
	StatefulSets: {"apps/v1", "StatefulSet"}, DaemonSets: {"apps/v1", "DaemonSet"}, ControllerRevisions: {"apps/v1", "ControllerRevision"},
	Deployments: {"apps/v1", "Deployment"}, ReplicaSets: {"apps/v1", "ReplicaSet"},
	Claims: {"v1", "PersistentVolumeClaim"}, Volumes: {"v1", "PersistentVolume"}, StorageClasses: {"storage.k8s.io/v1", "StorageClass"},
	EndpointSlices: {"discovery.k8s.io/v1", "EndpointSlice"},
	Jobs:           {"batch/v1", "Job"}, CronJobs: {"batch/v1", "CronJob"},
	Budgets: {"policy/v1", "PodDisruptionBudget"}, PriorityClasses: {"scheduling.k8s.io/v1", "PriorityClass"},
	Roles: {"rbac.authorization.k8s.io/v1", "Role"}, RoleBindings: {"rbac.authorization.k8s.io/v1", "RoleBinding"},
	ClusterRoles: {"rbac.authorization.k8s.io/v1", "ClusterRole"}, ClusterRoleBindings: {"rbac.authorization.k8s.io/v1", "ClusterRoleBinding"},
	Leases:      {"coordination.k8s.io/v1", "Lease"},
	Revocations: {"holon.dev/v1", "Revocation"}, Snapshots: {"holon.dev/v1", "Snapshot"},
}

// WithMeta completes a stored object: its kind, name and UID are in its key and
// record, not in its registers. The stored value is not changed, but shared from
// the second level on: who changes more than the result's metadata copies before.
func WithMeta(key Key, uid string, stored map[string]any) map[string]any {
	v := maps.Clone(stored)
	if v == nil {
		v = map[string]any{}
	}
	if meta, ok := stored["metadata"].(map[string]any); ok {
		v["metadata"] = maps.Clone(meta)
	}
	return AddMeta(key, uid, v)
}

// AddMeta is WithMeta of an object that nobody else has: it is changed itself.
func AddMeta(key Key, uid string, v map[string]any) map[string]any {
	resource, namespace, name := key.Split()
	meta, ok := v["metadata"].(map[string]any)
	if !ok || meta == nil {
		meta = map[string]any{}
	}
	meta["name"], meta["uid"] = name, uid
	if namespace != "" {
		meta["namespace"] = namespace
	}
	v["metadata"] = meta
	v["apiVersion"], v["kind"] = kinds[resource][0], kinds[resource][1]
	return v
}

// KindOf gives apiVersion and kind of a resource that the API shows; both empty
// for others.
func KindOf(resource string) (apiVersion, kind string) {
	return kinds[resource][0], kinds[resource][1]
}
