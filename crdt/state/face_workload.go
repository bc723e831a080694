package state

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// Revision is a template that a workload has or had.
type Revision struct {
	Hash     string // RevisionHash(Template)
	Number   int64  // counts the templates of this workload, for the user
	Template *corev1.PodTemplateSpec
	Created  string // RFC 3339, display only
	Cause    string // see CauseAnnotation
}

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
	Wanted, Placed, Updated, Ready, Available int
}

// Done reports whether every slot has the present template and is available.
func (n Counts) Done() bool { return n.Updated >= n.Wanted && n.Available >= n.Wanted }

// RevisionAnnotation numbers the templates of a Deployment, CauseAnnotation is the user's
// word of why there is a new one.
const (
	RevisionAnnotation = "deployment.kubernetes.io/revision"
	CauseAnnotation    = "kubernetes.io/change-cause"
)

// Rollout is where a Deployment is on its way to the present template.
type Rollout struct {
	Counts
	Number  int64 // of the present template; 0: it is not stored yet
	Stalled bool  // it has got no further for longer than its deadline
}

// DeploymentFace adds the derived status to a stored Deployment.
func DeploymentFace(w *Workload, n Rollout) map[string]any {
	v := WithMeta(w.Key, w.ObjectUID.String(), copyObject(w.Object))
	if n.Number > 0 {
		object(object(v, "metadata"), "annotations")[RevisionAnnotation] = strconv.FormatInt(n.Number, 10)
	}
	least := w.Replicas - w.MaxUnavailable
	if w.Recreate {
		least = w.Replicas // what a rollout may take away is no measure then
	}
	available := n.Available >= least
	progressing := condition("Progressing", true, "ReplicaSetUpdated", fmt.Sprintf("%d of %d replicas are updated", n.Updated, n.Wanted))
	switch {
	case w.Paused && !w.Deleting:
		progressing = condition("Progressing", false, "DeploymentPaused", "Deployment is paused")
		progressing["status"] = "Unknown"
	case n.Done():
		progressing = condition("Progressing", true, "NewReplicaSetAvailable", "every replica is updated and ready")
	case n.Stalled:
		progressing = condition("Progressing", false, "ProgressDeadlineExceeded",
			fmt.Sprintf("ReplicaSet %q has timed out progressing: %d of %d replicas are updated, %d available, and that has not changed for %v",
				ReplicaSetName(w, w.Revision), n.Updated, n.Wanted, n.Available, w.Deadline))
	}
	availability := condition("Available", available, "MinimumReplicasAvailable", "Deployment has minimum availability.")
	if !available {
		availability = condition("Available", false, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
	}
	status := map[string]any{
		"observedGeneration": w.Generation, "replicas": int64(n.Placed), "updatedReplicas": int64(n.Updated),
		"conditions": append([]any{availability, progressing}, mergeConditions(w.Conflicts, w.Invalid)...),
	}
	n.fill(status)
	if missing := n.Wanted - n.Available; missing > 0 {
		status["unavailableReplicas"] = int64(missing)
	}
	v["status"] = status
	return v
}

// fill adds the counts that Kubernetes leaves out where there is nothing to count.
func (n Counts) fill(status map[string]any) {
	if n.Ready > 0 {
		status["readyReplicas"] = int64(n.Ready)
	}
	if n.Available > 0 {
		status["availableReplicas"] = int64(n.Available)
	}
}

// ReplicaSetFace is the ReplicaSet of one template of a Deployment.
func ReplicaSetFace(w *Workload, r *Revision, n Counts) (map[string]any, error) {
	t, err := Unstructured(r.Template)
	if err != nil {
		return nil, err
	}
	labels := func(of map[string]string) map[string]any {
		l := map[string]any{TemplateHashLabel: r.Hash}
		merge(l, of)
		return l
	}
	object(t, "metadata")["labels"] = labels(r.Template.Labels)
	notes := map[string]any{RevisionAnnotation: strconv.FormatInt(r.Number, 10)}
	if r.Cause != "" {
		notes[CauseAnnotation] = r.Cause
	}
	meta := map[string]any{
		"name": ReplicaSetName(w, r.Hash), "namespace": w.Namespace, "uid": ReplicaSetUID(w, r.Hash),
		"labels": labels(r.Template.Labels), "generation": int64(1),
		"annotations":     notes,
		"ownerReferences": ownerRef("apps/v1", "Deployment", w.Name, w.ObjectUID.String()),
	}
	timestamp(meta, "creationTimestamp", w.Created)
	timestamp(meta, "creationTimestamp", r.Created)
	status := map[string]any{"replicas": int64(n.Placed), "fullyLabeledReplicas": int64(n.Placed), "observedGeneration": int64(1)}
	n.fill(status)
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "ReplicaSet",
		"metadata": meta,
		"spec": map[string]any{
			"replicas": int64(n.Wanted), "selector": map[string]any{"matchLabels": labels(r.Template.Labels)}, "template": t,
		},
		"status": status,
	}, nil
}
