package api

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holon/crdt/state"
)

var deploymentColumns = []metav1.TableColumnDefinition{
	nameColumn, column("Ready"), column("Up-to-date"), column("Available"), column("Age"),
	wide("Containers"), wide("Images"), wide("Selector"),
}

func deploymentRow(d *appsv1.Deployment) []any {
	names, images := containersOf(&d.Spec.Template)
	return []any{
		d.Name, fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, deref(d.Spec.Replicas)), int64(d.Status.UpdatedReplicas),
		int64(d.Status.AvailableReplicas), age(d.CreationTimestamp), names, images, metav1.FormatLabelSelector(d.Spec.Selector),
	}
}

var replicaSetColumns = []metav1.TableColumnDefinition{
	nameColumn, column("Desired"), column("Current"), column("Ready"), column("Age"),
	wide("Containers"), wide("Images"), wide("Selector"),
}

func replicaSetRow(r *appsv1.ReplicaSet) []any {
	names, images := containersOf(&r.Spec.Template)
	return []any{
		r.Name, int64(deref(r.Spec.Replicas)), int64(r.Status.Replicas), int64(r.Status.ReadyReplicas),
		age(r.CreationTimestamp), names, images, metav1.FormatLabelSelector(r.Spec.Selector),
	}
}

func containersOf(t *corev1.PodTemplateSpec) (names, images string) {
	var n, i []string
	for _, c := range t.Spec.Containers {
		n, i = append(n, c.Name), append(i, c.Image)
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

var podColumns = []metav1.TableColumnDefinition{
	nameColumn, column("Ready"), column("Status"), column("Restarts"), column("Age"),
	wide("IP"), wide("Node"), wide("Nominated Node"), wide("Readiness Gates"),
}

func podRow(p *corev1.Pod) []any {
	told := tellPod(p)
	restarted := fmt.Sprint(told.restarts)
	if told.restarts > 0 && !told.last.IsZero() {
		restarted = fmt.Sprintf("%d (%s ago)", told.restarts, age(told.last))
	}
	return []any{
		p.Name, fmt.Sprintf("%d/%d", told.ready, len(state.Serving(&p.Spec))), told.reason, restarted, age(p.CreationTimestamp),
		orNone(p.Status.PodIP), orNone(p.Spec.NodeName), orNone(p.Status.NominatedNodeName), "<none>",
	}
}

// podTold is what a row tells of a pod, as kubectl's own printer decides it. Its reason is
// the most telling of phase, reason and what the containers report.
type podTold struct {
	reason          string
	ready, restarts int
	last            metav1.Time // restart
}

func (t *podTold) count(c *corev1.ContainerStatus) {
	t.restarts += int(c.RestartCount)
	if ended := c.LastTerminationState.Terminated; ended != nil && t.last.Before(&ended.FinishedAt) {
		t.last = ended.FinishedAt
	}
}

func tellPod(p *corev1.Pod) podTold {
	var t podTold
	if reason, sidecars := tellInit(p); reason == "" || hasCondition(p, corev1.PodInitialized) {
		t = sidecars
		t.reason = t.ofMains(p)
	} else {
		t = sidecars
		t.restarts, t.last, t.reason = 0, metav1.Time{}, reason
		for i := range p.Status.InitContainerStatuses {
			t.count(&p.Status.InitContainerStatuses[i])
		}
	}
	if p.DeletionTimestamp != nil && !podFinished(p) {
		t.reason = "Terminating"
	}
	return t
}

// tellInit says how the first init container that holds up the others is, and what there
// is to tell of sidecars.
func tellInit(p *corev1.Pod) (reason string, sidecars podTold) {
	for i := range p.Status.InitContainerStatuses {
		c := &p.Status.InitContainerStatuses[i]
		sidecar := i < len(p.Spec.InitContainers) && state.Sidecar(&p.Spec.InitContainers[i])
		if sidecar {
			sidecars.count(c)
		}
		ended, waits := c.State.Terminated, c.State.Waiting
		switch {
		case reason != "" || ended != nil && ended.ExitCode == 0:
		case sidecar && c.Started != nil && *c.Started:
			if c.Ready {
				sidecars.ready++
			}
		case ended != nil:
			reason = "Init:" + terminatedReason(ended)
		case waits != nil && waits.Reason != "" && waits.Reason != "PodInitializing":
			reason = "Init:" + waits.Reason
		default:
			reason = fmt.Sprintf("Init:%d/%d", i, len(p.Spec.InitContainers))
		}
	}
	return reason, sidecars
}

// ofMains counts the main containers and says how the pod is by them.
func (t *podTold) ofMains(p *corev1.Pod) string {
	reason := or(p.Status.Reason, string(p.Status.Phase))
	running := false
	for i := len(p.Status.ContainerStatuses) - 1; i >= 0; i-- {
		c := &p.Status.ContainerStatuses[i]
		t.count(c)
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "":
			reason = c.State.Waiting.Reason
		case c.State.Terminated != nil:
			reason = terminatedReason(c.State.Terminated)
		case c.Ready && c.State.Running != nil:
			running = true
			t.ready++
		}
	}
	if p.Status.Reason == state.Evicted {
		return state.Evicted // however its containers took it
	}
	if reason == "Completed" && running {
		reason = "NotReady"
		if hasCondition(p, corev1.PodReady) {
			reason = "Running"
		}
	}
	return reason
}

func terminatedReason(t *corev1.ContainerStateTerminated) string {
	switch {
	case t.Reason != "":
		return t.Reason
	case t.Signal != 0:
		return fmt.Sprintf("Signal:%d", t.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", t.ExitCode)
}

func hasCondition(p *corev1.Pod, kind corev1.PodConditionType) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func podFinished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}
