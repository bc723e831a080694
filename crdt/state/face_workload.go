package state

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// ReplicaSetName names the ReplicaSet that is derived for one template.
func ReplicaSetName(w *Workload, revision string) string { return w.Name + "-" + revision }

// ReplicaSetUID is the same on both sides of a partition.
func ReplicaSetUID(w *Workload, revision string) string {
	return DerivedUID("replicaset", w.UID.String(), revision).String()
}

// TemplateHashLabel is put on every pod of a Deployment, as Kubernetes does.
const TemplateHashLabel = "pod-template-hash"

// Counts are the figures of a workload's status, counted in slots.
type Counts struct {
	Wanted, Placed, Updated, Ready int
}

// DeploymentFace adds the derived status to a stored Deployment.
func DeploymentFace(w *Workload, n Counts) map[string]any {
	v := WithMeta(w.Key, w.ObjectUID.String(), copyObject(w.Object))
	least := w.Replicas - w.MaxUnavailable
	if w.Recreate {
		least = w.Replicas // what a rollout may take away is no measure then
	}
	available := n.Ready >= least
	progressing := condition("Progressing", true, "ReplicaSetUpdated", fmt.Sprintf("%d of %d replicas are updated", n.Updated, n.Wanted))
	if n.Updated >= n.Wanted && n.Ready >= n.Wanted {
		progressing = condition("Progressing", true, "NewReplicaSetAvailable", "every replica is updated and ready")
	}
	availability := condition("Available", available, "MinimumReplicasAvailable", "Deployment has minimum availability.")
	if !available {
		availability = condition("Available", false, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
	}
	status := map[string]any{
		"observedGeneration": w.Generation, "replicas": int64(n.Placed), "updatedReplicas": int64(n.Updated),
		"conditions": append([]any{availability, progressing}, mergeConditions(w.Conflicts, w.Invalid)...),
	}
	if n.Ready > 0 {
		status["readyReplicas"], status["availableReplicas"] = int64(n.Ready), int64(n.Ready)
	}
	if missing := n.Wanted - n.Ready; missing > 0 {
		status["unavailableReplicas"] = int64(missing)
	}
	v["status"] = status
	return v
}

// ReplicaSetFace is the ReplicaSet of one template of a Deployment.
func ReplicaSetFace(w *Workload, revision string, number int64, created string, template *corev1.PodTemplateSpec, n Counts) (map[string]any, error) {
	t, err := Unstructured(template)
	if err != nil {
		return nil, err
	}
	labels := func(of map[string]string) map[string]any {
		l := map[string]any{TemplateHashLabel: revision}
		merge(l, of)
		return l
	}
	object(t, "metadata")["labels"] = labels(template.Labels)
	meta := map[string]any{
		"name": ReplicaSetName(w, revision), "namespace": w.Namespace, "uid": ReplicaSetUID(w, revision),
		"labels": labels(template.Labels), "generation": int64(1),
		"annotations":     map[string]any{"deployment.kubernetes.io/revision": strconv.FormatInt(number, 10)},
		"ownerReferences": ownerRef("apps/v1", "Deployment", w.Name, w.ObjectUID.String()),
	}
	timestamp(meta, "creationTimestamp", w.Created)
	timestamp(meta, "creationTimestamp", created)
	status := map[string]any{"replicas": int64(n.Placed), "fullyLabeledReplicas": int64(n.Placed), "observedGeneration": int64(1)}
	if n.Ready > 0 {
		status["readyReplicas"], status["availableReplicas"] = int64(n.Ready), int64(n.Ready)
	}
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "ReplicaSet",
		"metadata": meta,
		"spec": map[string]any{
			"replicas": int64(n.Wanted), "selector": map[string]any{"matchLabels": labels(template.Labels)}, "template": t,
		},
		"status": status,
	}, nil
}
