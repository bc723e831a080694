package state

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// RevisionLabel is put on the pods of StatefulSets and DaemonSets, as Kubernetes does:
// the name of the ControllerRevision, or only its hash.
const RevisionLabel = "controller-revision-hash"

// RevisionName names the ControllerRevision of a template.
func RevisionName(w *Workload, revision string) string { return w.Name + "-" + revision }

func (p *PodFace) ofSet(meta, labels map[string]any) {
	labels[RevisionLabel] = RevisionName(p.Workload, p.Revision)
	labels["apps.kubernetes.io/pod-index"] = strconv.Itoa(p.Slot.Index)
	labels["statefulset.kubernetes.io/pod-name"] = p.Name
	meta["generateName"] = p.Workload.Name + "-"
	meta["ownerReferences"] = ownerRef("apps/v1", "StatefulSet", p.Workload.Name, p.Workload.ObjectUID.String())
}

// SetCounts are the figures of a StatefulSet's status, counted in slots, and the
// revision that those have which have not got the present one.
type SetCounts struct {
	Placed, Ready, Current, Updated int
	CurrentRevision                 string
}

// StatefulSetFace adds the derived status to a stored StatefulSet.
func StatefulSetFace(w *Workload, n SetCounts) map[string]any {
	status := map[string]any{
		"observedGeneration": w.Generation, "replicas": int64(n.Placed), "availableReplicas": int64(n.Ready), "collisionCount": int64(0),
		"currentRevision": RevisionName(w, n.CurrentRevision), "updateRevision": RevisionName(w, w.Revision),
	}
	return w.withStatus(status, map[string]int{"readyReplicas": n.Ready, "currentReplicas": n.Current, "updatedReplicas": n.Updated})
}

// withStatus is a stored workload with its derived status. Counts of nothing are left out,
// as Kubernetes does.
func (w *Workload) withStatus(status map[string]any, counts map[string]int) map[string]any {
	for field, count := range counts {
		if count > 0 {
			status[field] = int64(count)
		}
	}
	if list := mergeConditions(w.Conflicts, w.Invalid); len(list) > 0 {
		status["conditions"] = list
	}
	v := WithMeta(w.Key, w.ObjectUID.String(), copyObject(w.Object))
	v["status"] = status
	return v
}

// DaemonCounts are the figures of a DaemonSet's status, counted in nodes.
type DaemonCounts struct {
	Wanted, Placed, Ready, Updated, Misplaced int
}

// DaemonSetFace adds the derived status to a stored DaemonSet.
func DaemonSetFace(w *Workload, n DaemonCounts) map[string]any {
	status := map[string]any{
		"observedGeneration": w.Generation, "desiredNumberScheduled": int64(n.Wanted), "currentNumberScheduled": int64(n.Placed),
		"numberReady": int64(n.Ready), "numberMisscheduled": int64(n.Misplaced),
	}
	return w.withStatus(status, map[string]int{"numberAvailable": n.Ready, "numberUnavailable": n.Wanted - n.Ready, "updatedNumberScheduled": n.Updated})
}

// ControllerRevisionFace is a stored template as kubectl wants to undo to it: a patch
// that puts it in the place of the present one.
func ControllerRevisionFace(w *Workload, revision string, number int64, created string, template *corev1.PodTemplateSpec) (map[string]any, error) {
	t, err := Unstructured(template)
	if err != nil {
		return nil, err
	}
	t["$patch"] = "replace"
	labels := map[string]any{}
	merge(labels, template.Labels)
	labels["controller.kubernetes.io/hash"] = revision
	_, kind := KindOf(w.Key.Resource())
	meta := map[string]any{
		"name": RevisionName(w, revision), "namespace": w.Namespace, "labels": labels,
		"uid":             DerivedUID("controllerrevision", w.UID.String(), revision).String(),
		"ownerReferences": ownerRef("apps/v1", kind, w.Name, w.ObjectUID.String()),
	}
	if cause, ok := template.Annotations["kubernetes.io/change-cause"]; ok {
		meta["annotations"] = map[string]any{"kubernetes.io/change-cause": cause}
	}
	timestamp(meta, "creationTimestamp", w.Created)
	timestamp(meta, "creationTimestamp", created)
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "revision": number,
		"data": map[string]any{"spec": map[string]any{"template": t}},
	}, nil
}
