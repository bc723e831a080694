package state

import "strconv"

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
	Placed, Ready, Available, Current, Updated int
	CurrentRevision                            string
}

// StatefulSetFace adds the derived status to a stored StatefulSet.
func StatefulSetFace(w *Workload, n SetCounts) map[string]any {
	status := map[string]any{
		"observedGeneration": w.Generation, "replicas": int64(n.Placed), "availableReplicas": int64(n.Available), "collisionCount": int64(0),
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
	Wanted, Placed, Ready, Available, Updated, Misplaced int
}

// DaemonSetFace adds the derived status to a stored DaemonSet.
func DaemonSetFace(w *Workload, n DaemonCounts) map[string]any {
	status := map[string]any{
		"observedGeneration": w.Generation, "desiredNumberScheduled": int64(n.Wanted), "currentNumberScheduled": int64(n.Placed),
		"numberReady": int64(n.Ready), "numberMisscheduled": int64(n.Misplaced),
	}
	return w.withStatus(status, map[string]int{"numberAvailable": n.Available, "numberUnavailable": n.Wanted - n.Available, "updatedNumberScheduled": n.Updated})
}

// ControllerRevisionFace is a stored template as kubectl wants to undo to it: a patch
// that puts it in the place of the present one.
func ControllerRevisionFace(w *Workload, r *Revision) (map[string]any, error) {
	t, err := Unstructured(r.Template)
	if err != nil {
		return nil, err
	}
	t["$patch"] = "replace"
	labels := map[string]any{}
	merge(labels, r.Template.Labels)
	labels["controller.kubernetes.io/hash"] = r.Hash
	_, kind := KindOf(w.Key.Resource())
	meta := map[string]any{
		"name": RevisionName(w, r.Hash), "namespace": w.Namespace, "labels": labels,
		"uid":             DerivedUID("controllerrevision", w.UID.String(), r.Hash).String(),
		"ownerReferences": ownerRef("apps/v1", kind, w.Name, w.ObjectUID.String()),
	}
	if r.Cause != "" {
		meta["annotations"] = map[string]any{CauseAnnotation: r.Cause}
	}
	timestamp(meta, "creationTimestamp", w.Created)
	timestamp(meta, "creationTimestamp", r.Created)
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "revision": r.Number,
		"data": map[string]any{"spec": map[string]any{"template": t}},
	}, nil
}
