package state

import (
	"fmt"
	"maps"
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

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
	Spec     map[string]any // Template.Spec as JSON, shared from the second level on; nil: made from Template
	Priority int32
	Why      string // why it is pending
	Labels   map[string]string
	Notes    map[string]string // annotations
}

// Value is the Pod object.
func (p *PodFace) Value() (map[string]any, error) {
	meta := map[string]any{"name": p.Name, "namespace": p.Workload.Namespace, "uid": p.UID}
	meta["labels"], meta["annotations"] = p.Marks(meta)
	timestamp(meta, "creationTimestamp", p.Workload.Created)
	if p.Status != nil && !p.Workload.Bare() {
		timestamp(meta, "creationTimestamp", p.Status.Started)
		timestamp(meta, "creationTimestamp", p.Status.Created)
	}
	if p.Status != nil && p.Status.Stopping {
		terminating(meta)
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
	if len(p.Workload.ClaimTemplates) > 0 && p.Template != nil {
		if err := p.ofClaims(spec); err != nil {
			return nil, err
		}
	}
	if p.Node != "" {
		spec["nodeName"] = p.Node
	}
	if p.Priority != 0 {
		spec["priority"] = int64(p.Priority)
	}
	return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": p.status()}, nil
}

// Marks are the labels and annotations of the Pod object; what else it has of its owner
// goes to meta.
func (p *PodFace) Marks(meta map[string]any) (labels, notes map[string]any) {
	labels, notes = map[string]any{}, map[string]any{}
	if p.Template != nil {
		merge(labels, p.Template.Labels)
		merge(notes, p.Template.Annotations)
	}
	merge(labels, p.Labels)
	merge(notes, p.Notes)
	p.owned(meta, labels, notes)
	notes["holon.dev/slot"], notes["holon.dev/run"] = p.Slot.String(), string(p.Run)
	return labels, notes
}

// owned adds what a pod has of its owner.
func (p *PodFace) owned(meta, labels, notes map[string]any) {
	w := p.Workload
	switch {
	case w.Bare():
	case w.Job != nil:
		p.ofJob(meta, labels, notes)
	case w.Set():
		p.ofSet(meta, labels)
	case w.Daemon():
		labels[RevisionLabel] = p.Revision
		meta["generateName"] = w.Name + "-"
		meta["ownerReferences"] = ownerRef("apps/v1", "DaemonSet", w.Name, w.ObjectUID.String())
	default:
		labels[TemplateHashLabel] = p.Revision
		meta["generateName"] = ReplicaSetName(w, p.Revision) + "-"
		meta["ownerReferences"] = ownerRef("apps/v1", "ReplicaSet", ReplicaSetName(w, p.Revision), ReplicaSetUID(w, p.Revision))
	}
}

// terminating marks a pod that is on its way out. Since when is not known; that
// it is so is what clients look at.
func terminating(meta map[string]any) {
	timestamp(meta, "deletionTimestamp", "1970-01-01T00:00:00Z")
	if created, ok := meta["creationTimestamp"]; ok {
		meta["deletionTimestamp"] = created
	}
}

func (p *PodFace) status() map[string]any {
	s := p.Status
	if s == nil {
		s = &RunStatus{Phase: Pending}
	}
	status := map[string]any{"phase": string(s.Phase), "conditions": append(p.conditions(s), p.ofMerge()...)}
	if p.Template != nil {
		status["qosClass"] = string(qosClass(&p.Template.Spec))
	}
	if reason, message := p.trouble(s); reason != "" {
		status["reason"], status["message"] = reason, message
	}
	if s.IP != "" {
		status["podIP"], status["podIPs"] = s.IP, []any{map[string]any{"ip": s.IP}}
	}
	if p.HostIP != "" {
		status["hostIP"], status["hostIPs"] = p.HostIP, []any{map[string]any{"ip": p.HostIP}}
	}
	timestamp(status, "startTime", s.Started)
	timestamp(status, "startTime", s.Created)
	p.containers(status, "initContainerStatuses", s.Init)
	p.containers(status, "containerStatuses", s.Containers)
	return status
}

func (p *PodFace) containers(status map[string]any, field string, of []ContainerStatus) {
	if len(of) == 0 {
		return
	}
	list := make([]any, len(of))
	for i := range of {
		list[i] = of[i].value(p.NodeLost)
	}
	status[field] = list
}

// trouble is what concerns the whole pod; kubectl shows its reason as STATUS.
func (p *PodFace) trouble(s *RunStatus) (reason, message string) {
	switch {
	case p.Workload.Evicted != "": // for good, wherever that was
		return Evicted, p.Workload.Evicted
	case p.NodeLost && p.Workload.Template != nil && p.Workload.Keeps():
		return "NodeUnreachable", p.Node + " is out of reach; this is what was last seen. VolumeOnUnreachableNode: its volume is there, so it waits for it"
	case p.NodeLost:
		return "NodeUnreachable", p.Node + " is out of reach; this is what was last seen"
	case p.evicted(s) != "":
		return Evicted, p.evicted(s)
	case s.Refused != "":
		return s.Refused, p.Node + " does not admit this pod"
	}
	return "", ""
}

// evicted is why the node has ended this run before its time; empty: it has not.
func (p *PodFace) evicted(s *RunStatus) string {
	if s.Refused == Evicted {
		return s.Message
	}
	if p.Workload.Job != nil {
		if a := p.Workload.Job.Ended(p.Run); a != nil {
			return a.Evicted
		}
	}
	return ""
}

func (p *PodFace) conditions(s *RunStatus) []any {
	if p.Node == "" {
		return []any{condition("PodScheduled", false, "Unschedulable", p.Why)}
	}
	ready := s.Ready && !p.NodeLost
	reason, message := p.trouble(s)
	switch {
	case reason != "" || ready:
	case s.Phase == Succeeded:
		reason = "PodCompleted"
	default:
		reason, message = "ContainersNotReady", s.Message
		if unready := p.unready(s); len(unready) > 0 && message == "" {
			message = fmt.Sprintf("containers with unready status: %v", unready)
		}
	}
	initialized := condition("Initialized", true, "", "")
	if s.Initializing {
		initialized = condition("Initialized", false, "ContainersNotInitialized", fmt.Sprintf("containers with incomplete status: %v", s.incomplete()))
	}
	return []any{
		condition("PodScheduled", true, "", ""), initialized,
		condition("ContainersReady", ready, reason, message), condition("Ready", ready, reason, message),
	}
}

// incomplete names the init containers that others wait for: a plain one is ready when it
// has ended well, a sidecar has done its part when it has started.
func (s *RunStatus) incomplete() (names []string) {
	for i := range s.Init {
		if c := &s.Init[i]; !c.Ready && (c.State != "running" || c.Starting) {
			names = append(names, c.Name)
		}
	}
	return names
}

// unready names the containers that are not ready.
func (p *PodFace) unready(s *RunStatus) (names []string) {
	for i := range s.Init {
		if sidecar := p.Template != nil && i < len(p.Template.Spec.InitContainers) && Sidecar(&p.Template.Spec.InitContainers[i]); sidecar && !s.Init[i].Ready {
			names = append(names, s.Init[i].Name)
		}
	}
	for i := range s.Containers {
		if !s.Containers[i].Ready {
			names = append(names, s.Containers[i].Name)
		}
	}
	return names
}

// ofMerge are the conditions of a bare pod's own record.
func (p *PodFace) ofMerge() []any {
	if !p.Workload.Bare() {
		return nil
	}
	return mergeConditions(p.Workload.Conflicts, p.Workload.Invalid)
}

// qosClass is Kubernetes' class of a pod: Guaranteed if every container has
// limits for cpu and memory and asks for no less, BestEffort if none says anything.
func qosClass(spec *corev1.PodSpec) corev1.PodQOSClass {
	asks, guaranteed := false, len(spec.Containers) > 0
	for _, c := range Containers(spec) {
		r := &c.Resources
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := positive(r.Requests, name), positive(r.Limits, name)
			asks = asks || request != nil || limit != nil
			guaranteed = guaranteed && limit != nil && (request == nil || request.Cmp(*limit) == 0)
		}
	}
	switch {
	case !asks:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

func positive(list corev1.ResourceList, name corev1.ResourceName) *resource.Quantity {
	if q, ok := list[name]; ok && q.Sign() > 0 {
		return &q
	}
	return nil
}

func (s *ContainerStatus) value(lost bool) map[string]any {
	kind, detail := s.State, map[string]any{}
	switch kind {
	case "running":
		timestamp(detail, "startedAt", s.Started)
	case "terminated":
		ended := s.Ended()
		detail = ended.value()
	default:
		kind = "waiting"
		words(detail, "reason", s.Reason)
		words(detail, "message", s.Message)
	}
	v := map[string]any{
		"name": s.Name, "image": s.Image, "imageID": s.Image, "ready": s.Ready && !lost, "started": kind == "running" && !s.Starting,
		"restartCount": within32(s.Restarts), "state": map[string]any{kind: detail},
	}
	if s.Last != (Termination{}) {
		v["lastState"] = map[string]any{"terminated": s.Last.value()}
	}
	words(v, "containerID", containerID(s.ID))
	return v
}

func (t *Termination) value() map[string]any {
	v := map[string]any{"exitCode": within32(t.ExitCode)}
	words(v, "reason", t.Reason)
	words(v, "message", t.Message)
	timestamp(v, "startedAt", t.Started)
	timestamp(v, "finishedAt", t.Finished)
	words(v, "containerID", containerID(t.ID))
	return v
}

func containerID(id string) string {
	if id == "" {
		return ""
	}
	return "holon://" + id
}

// within32 keeps what a node has said within Kubernetes' int32.
func within32(n int) int64 { return int64(min(max(n, math.MinInt32), math.MaxInt32)) }

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
	terminating(object(v, "metadata"))
	object(v, "spec")["containers"] = strays(s.Containers)
	if len(s.Init) > 0 {
		object(v, "spec")["initContainers"] = strays(s.Init)
	}
	return v
}

func strays(of []ContainerStatus) []any {
	containers := []any{}
	for i := range of {
		containers = append(containers, map[string]any{"name": of[i].Name, "image": of[i].Image})
	}
	return containers
}
