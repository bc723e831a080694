package state

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// A face is the API's picture of something that is derived: a pod, a ReplicaSet,
// a workload's or a node's status. Faces are JSON objects (map[string]any) in
// Kubernetes' shape; building them needs no more than their arguments.

// OwnerRef points from a derived object to what it was derived from.
func ownerRef(apiVersion, kind, name, uid string) []any {
	return []any{map[string]any{
		"apiVersion": apiVersion, "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true,
	}}
}

// PodFace is what a pod shows.
type PodFace struct {
	Workload *Workload
	Slot     SlotID
	Run      RunID
	Revision string
	Name     string
	UID      string
	Node     string // empty: not placed
	HostIP   string
	NodeLost bool       // the node is out of reach in this view
	Status   *RunStatus // nil: the node has not reported it yet
	Template *corev1.PodTemplateSpec
	Spec     map[string]any // Template.Spec as JSON, shared; nil: made from Template
	Why      string         // why it is pending
	Labels   map[string]string
	Notes    map[string]string // annotations
}

// ReplicaSetName names the ReplicaSet that is derived for one template.
func ReplicaSetName(w *Workload, revision string) string { return w.Name + "-" + revision }

// ReplicaSetUID is the same on both sides of a partition.
func ReplicaSetUID(w *Workload, revision string) string {
	return DerivedUID("replicaset", w.UID.String(), revision).String()
}

// TemplateHashLabel is put on every pod of a Deployment, as Kubernetes does.
const TemplateHashLabel = "pod-template-hash"

// Value is the Pod object.
func (p *PodFace) Value() (map[string]any, error) {
	meta := map[string]any{"name": p.Name, "namespace": p.Workload.Namespace, "uid": p.UID}
	labels, notes := map[string]any{}, map[string]any{}
	if p.Template != nil {
		merge(labels, p.Template.Labels)
		merge(notes, p.Template.Annotations)
	}
	merge(labels, p.Labels)
	merge(notes, p.Notes)
	if !p.Workload.Bare() {
		labels[TemplateHashLabel] = p.Revision
		meta["generateName"] = ReplicaSetName(p.Workload, p.Revision) + "-"
		meta["ownerReferences"] = ownerRef("apps/v1", "ReplicaSet", ReplicaSetName(p.Workload, p.Revision), ReplicaSetUID(p.Workload, p.Revision))
	}
	notes["holon.dev/slot"], notes["holon.dev/run"] = p.Slot.String(), string(p.Run)
	meta["labels"], meta["annotations"] = labels, notes
	meta["creationTimestamp"] = p.Workload.Created
	if p.Status != nil && p.Status.Started != "" && !p.Workload.Bare() {
		meta["creationTimestamp"] = p.Status.Started
	}
	if p.Status != nil && p.Status.Stopping {
		meta["deletionTimestamp"] = meta["creationTimestamp"]
	}
	spec := map[string]any{}
	switch {
	case p.Spec != nil:
		spec = maps.Clone(p.Spec)
	case p.Template != nil:
		var err error
		if spec, err = Unstructured(p.Template.Spec); err != nil {
			return nil, err
		}
	}
	if p.Node != "" {
		spec["nodeName"] = p.Node
	}
	return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": p.status()}, nil
}

func merge(into map[string]any, from map[string]string) {
	for k, v := range from {
		into[k] = v
	}
}

func (p *PodFace) status() map[string]any {
	s := p.Status
	if s == nil {
		s = &RunStatus{Phase: Pending}
	}
	status := map[string]any{"phase": string(s.Phase), "qosClass": "Burstable"}
	ready := s.Ready && !p.NodeLost
	reason, message := "", ""
	switch {
	case p.NodeLost:
		reason, message = "NodeUnreachable", p.Node+" is out of reach; this is what was last seen"
	case s.Refused != "":
		reason, message = s.Refused, p.Node+" does not admit this pod"
	case !ready && s.Phase != Succeeded:
		reason, message = "ContainersNotReady", s.Message
	}
	scheduled := condition("PodScheduled", p.Node != "", "", "")
	if p.Node == "" {
		scheduled = condition("PodScheduled", false, "Unschedulable", p.Why)
	}
	status["conditions"] = []any{
		scheduled, condition("Initialized", true, "", ""),
		condition("ContainersReady", ready, reason, message), condition("Ready", ready, reason, message),
	}
	if p.NodeLost || s.Refused != "" {
		status["reason"], status["message"] = reason, message
	}
	if s.IP != "" {
		status["podIP"], status["podIPs"] = s.IP, []any{map[string]any{"ip": s.IP}}
	}
	if p.HostIP != "" {
		status["hostIP"], status["hostIPs"] = p.HostIP, []any{map[string]any{"ip": p.HostIP}}
	}
	if s.Started != "" {
		status["startTime"] = s.Started
	}
	if len(s.Containers) > 0 {
		list := make([]any, len(s.Containers))
		for i := range s.Containers {
			list[i] = s.Containers[i].value(p.NodeLost)
		}
		status["containerStatuses"] = list
	}
	return status
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

func (s *ContainerStatus) value(lost bool) map[string]any {
	detail := map[string]any{}
	set := func(key, value string) {
		if value != "" {
			detail[key] = value
		}
	}
	set("reason", s.Reason)
	set("message", s.Message)
	switch s.State {
	case "running":
		detail = map[string]any{}
		set("startedAt", s.Started)
	case "terminated":
		set("startedAt", s.Started)
		set("finishedAt", s.Finished)
		detail["exitCode"] = int64(s.ExitCode)
	}
	v := map[string]any{
		"name": s.Name, "image": s.Image, "imageID": s.Image, "ready": s.Ready && !lost, "started": s.State == "running",
		"restartCount": int64(s.Restarts), "state": map[string]any{s.State: detail},
	}
	if s.ID != "" {
		v["containerID"] = "holon://" + s.ID
	}
	return v
}

// StrayFace is the picture of a run whose workload is gone and which is on its
// way out.
func StrayFace(node string, s *RunStatus, lost bool) map[string]any {
	p := PodFace{
		Workload: &Workload{Key: MakeKey(Pods, s.Namespace, s.Name), Namespace: s.Namespace, Name: s.Name, Created: s.Started},
		Slot:     s.Slot, Run: s.Run, Revision: s.Revision, Name: s.Name, UID: PodUID(s.Slot, s.Run).String(), Node: node, NodeLost: lost, Status: s,
	}
	v, err := p.Value()
	if err != nil {
		panic(fmt.Sprintf("state: a pod without a template does not encode: %v", err))
	}
	meta := v["metadata"].(map[string]any)
	meta["deletionTimestamp"] = meta["creationTimestamp"]
	containers := []any{}
	for i := range s.Containers {
		containers = append(containers, map[string]any{"name": s.Containers[i].Name, "image": s.Containers[i].Image})
	}
	v["spec"].(map[string]any)["containers"] = containers
	return v
}

// Counts are the figures of a workload's status, counted in slots.
type Counts struct {
	Wanted, Placed, Updated, Ready int
}

// DeploymentFace adds the derived status to a stored Deployment.
func DeploymentFace(w *Workload, n Counts) map[string]any {
	v := WithMeta(w.Key, w.UID.String(), w.Object)
	available := n.Ready >= w.Replicas-w.MaxUnavailable
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
		"conditions": []any{availability, progressing},
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
	labels := map[string]any{}
	merge(labels, template.Labels)
	labels[TemplateHashLabel] = revision
	meta, _ := t["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
	}
	meta["labels"] = labels
	t["metadata"] = meta
	if created == "" {
		created = w.Created
	}
	status := map[string]any{"replicas": int64(n.Placed), "fullyLabeledReplicas": int64(n.Placed), "observedGeneration": int64(1)}
	if n.Ready > 0 {
		status["readyReplicas"], status["availableReplicas"] = int64(n.Ready), int64(n.Ready)
	}
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "ReplicaSet",
		"metadata": map[string]any{
			"name": ReplicaSetName(w, revision), "namespace": w.Namespace, "uid": ReplicaSetUID(w, revision),
			"labels": labels, "generation": int64(1), "creationTimestamp": created,
			"annotations":     map[string]any{"deployment.kubernetes.io/revision": strconv.FormatInt(number, 10)},
			"ownerReferences": ownerRef("apps/v1", "Deployment", w.Name, w.UID.String()),
		},
		"spec": map[string]any{
			"replicas": int64(n.Wanted), "selector": map[string]any{"matchLabels": labels}, "template": t,
		},
		"status": status,
	}, nil
}

// kinds tells apiVersion and kind of each resource that the API shows.
var kinds = map[string][2]string{
	Namespaces: {"v1", "Namespace"}, Nodes: {"v1", "Node"}, Pods: {"v1", "Pod"}, ConfigMaps: {"v1", "ConfigMap"},
	Deployments: {"apps/v1", "Deployment"}, ReplicaSets: {"apps/v1", "ReplicaSet"},
}

// WithMeta completes a stored object: its kind, name and UID are in its key and
// record, not in its registers. The stored value is not changed.
func WithMeta(key Key, uid string, stored map[string]any) map[string]any {
	v := maps.Clone(stored)
	if v == nil {
		v = map[string]any{}
	}
	resource, namespace, name := key.Split()
	old, _ := stored["metadata"].(map[string]any)
	meta := maps.Clone(old)
	if meta == nil {
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

// NodeView is what a view holds of a node, for its face.
type NodeView struct {
	Node        Node
	Status      *NodeStatus // nil: never heard of
	Live        bool
	Peer        string
	Labels      map[string]string
	Unreachable string // why, if it is not live
}

// NodeFace is the Node object.
func NodeFace(n NodeView) map[string]any {
	v := WithMeta(MakeKey(Nodes, "", n.Node.Name), n.Node.UID.String(), n.Node.Object)
	meta := v["metadata"].(map[string]any)
	labels := map[string]any{}
	merge(labels, n.Labels)
	meta["labels"] = labels
	notes, _ := meta["annotations"].(map[string]any)
	notes = maps.Clone(notes)
	if notes == nil {
		notes = map[string]any{}
	}
	notes["holon.dev/peer"] = n.Peer
	s := n.Status
	if s == nil {
		s = &NodeStatus{}
	}
	if s.Server != "" {
		notes["holon.dev/server"] = s.Server
	}
	meta["annotations"] = notes
	spec, _ := v["spec"].(map[string]any)
	spec = maps.Clone(spec)
	if spec == nil {
		spec = map[string]any{}
	}
	if !n.Live {
		taints, _ := spec["taints"].([]any)
		spec["taints"] = append(slices.Clone(taints), map[string]any{"key": corev1.TaintNodeUnreachable, "effect": "NoExecute"})
	}
	v["spec"] = spec
	room := map[string]any{
		"cpu": strconv.FormatInt(s.Allocatable.CPU, 10) + "m", "memory": strconv.FormatInt(s.Allocatable.Memory/1024, 10) + "Ki", "pods": strconv.FormatInt(s.Allocatable.Pods, 10),
	}
	addresses := []any{map[string]any{"type": "Hostname", "address": n.Node.Name}}
	if s.HostIP != "" {
		addresses = append([]any{map[string]any{"type": "InternalIP", "address": s.HostIP}}, addresses...)
	}
	v["status"] = map[string]any{
		"capacity": room, "allocatable": maps.Clone(room), "addresses": addresses, "conditions": nodeConditions(n, s),
		"nodeInfo": map[string]any{
			"kubeletVersion": s.HolonVersion, "containerRuntimeVersion": s.Runtime + "://" + s.Version, "operatingSystem": s.OS,
			"architecture": s.Arch, "kernelVersion": s.Kernel, "osImage": s.OS, "kubeProxyVersion": "", "machineID": "", "systemUUID": "", "bootID": strconv.FormatUint(s.Epoch, 10),
		},
	}
	return v
}

func nodeConditions(n NodeView, s *NodeStatus) []any {
	if !n.Live {
		return []any{map[string]any{"type": "Ready", "status": "Unknown", "reason": "NodeUnreachable", "message": n.Unreachable}}
	}
	if len(s.Conditions) == 0 {
		return []any{map[string]any{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "the node has not reported yet"}}
	}
	list := make([]any, len(s.Conditions))
	for i, c := range s.Conditions {
		list[i] = condition(c.Type, c.True, c.Reason, c.Message)
	}
	return list
}

// KindOf gives apiVersion and kind of a resource that the API shows; both empty
// for others.
func KindOf(resource string) (apiVersion, kind string) {
	return kinds[resource][0], kinds[resource][1]
}
