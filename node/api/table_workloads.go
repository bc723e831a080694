package api

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	restarts, ready, lastRestart := 0, 0, metav1.Time{}
	for _, c := range p.Status.ContainerStatuses {
		restarts += int(c.RestartCount)
		if c.Ready && c.State.Running != nil {
			ready++
		}
		if t := c.LastTerminationState.Terminated; t != nil && lastRestart.Before(&t.FinishedAt) {
			lastRestart = t.FinishedAt
		}
	}
	restarted := fmt.Sprint(restarts)
	if restarts > 0 && !lastRestart.IsZero() {
		restarted = fmt.Sprintf("%d (%s ago)", restarts, age(lastRestart))
	}
	return []any{
		p.Name, fmt.Sprintf("%d/%d", ready, len(p.Spec.Containers)), podReason(p), restarted, age(p.CreationTimestamp),
		orNone(p.Status.PodIP), orNone(p.Spec.NodeName), orNone(p.Status.NominatedNodeName), "<none>",
	}
}

// podReason is the STATUS column: the most telling of phase, reason and what the
// containers report, as kubectl's own printer decides it.
func podReason(p *corev1.Pod) string {
	reason := or(p.Status.Reason, string(p.Status.Phase))
	running := false
	for i := len(p.Status.ContainerStatuses) - 1; i >= 0; i-- {
		c := p.Status.ContainerStatuses[i]
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "":
			reason = c.State.Waiting.Reason
		case c.State.Terminated != nil:
			reason = terminatedReason(c.State.Terminated)
		case c.Ready && c.State.Running != nil:
			running = true
		}
	}
	if reason == "Completed" && running {
		reason = "NotReady"
		if podReady(p) {
			reason = "Running"
		}
	}
	if p.DeletionTimestamp != nil && !podFinished(p) {
		return "Terminating"
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

func podReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func podFinished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}
