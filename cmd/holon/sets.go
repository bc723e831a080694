package main

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holon/crdt/state"
)

// progresses say how far a rollout is, by kind.
var progresses = map[string]func(objectView) (text string, done bool, err error){
	"Deployment": deploymentProgress, "StatefulSet": setProgress, "DaemonSet": daemonProgress,
}

// setProgress says how far the rollout of a StatefulSet is, in kubectl's words.
func setProgress(o objectView) (text string, done bool, err error) {
	var s appsv1.StatefulSet
	if err := o.into(&s); err != nil {
		return "", false, err
	}
	wanted, n := wantedReplicas(s.Spec.Replicas), &s.Status
	switch r := s.Spec.UpdateStrategy.RollingUpdate; {
	case s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType:
		return "", false, fmt.Errorf("rollout status is only available for %s strategy type", appsv1.RollingUpdateStatefulSetStrategyType)
	case s.Generation > n.ObservedGeneration:
		return "Waiting for statefulset spec update to be observed...", false, nil
	case n.ReadyReplicas < wanted:
		return fmt.Sprintf("Waiting for %d pods to be ready...", wanted-n.ReadyReplicas), false, nil
	case r != nil && r.Partition != nil && *r.Partition > 0:
		if n.UpdatedReplicas < wanted-*r.Partition {
			return fmt.Sprintf("Waiting for partitioned roll out to finish: %d out of %d new pods have been updated...", n.UpdatedReplicas, wanted-*r.Partition), false, nil
		}
		return fmt.Sprintf("partitioned roll out complete: %d new pods have been updated...", n.UpdatedReplicas), true, nil
	case n.UpdateRevision != n.CurrentRevision:
		return fmt.Sprintf("waiting for statefulset rolling update to complete %d pods at revision %s...", n.UpdatedReplicas, n.UpdateRevision), false, nil
	}
	return fmt.Sprintf("statefulset rolling update complete %d pods at revision %s...", n.CurrentReplicas, n.CurrentRevision), true, nil
}

// daemonProgress says how far the rollout of a DaemonSet is, in kubectl's words.
func daemonProgress(o objectView) (text string, done bool, err error) {
	var d appsv1.DaemonSet
	if err := o.into(&d); err != nil {
		return "", false, err
	}
	n := &d.Status
	waiting := fmt.Sprintf("Waiting for daemon set %q rollout to finish: ", d.Name)
	switch {
	case d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType:
		return "", false, fmt.Errorf("rollout status is only available for %s strategy type", appsv1.RollingUpdateDaemonSetStrategyType)
	case d.Generation > n.ObservedGeneration:
		return "Waiting for daemon set spec update to be observed...", false, nil
	case n.UpdatedNumberScheduled < n.DesiredNumberScheduled:
		return waiting + fmt.Sprintf("%d out of %d new pods have been updated...", n.UpdatedNumberScheduled, n.DesiredNumberScheduled), false, nil
	case n.NumberAvailable < n.DesiredNumberScheduled:
		return waiting + fmt.Sprintf("%d of %d updated pods are available...", n.NumberAvailable, n.DesiredNumberScheduled), false, nil
	}
	return fmt.Sprintf("daemon set %q successfully rolled out", d.Name), true, nil
}

func describeStatefulSet(ctx context.Context, c *client, d *description, o objectView) error {
	var s appsv1.StatefulSet
	if err := o.into(&s); err != nil {
		return err
	}
	d.line(0, "Name:\t%s", s.Name)
	d.line(0, "Namespace:\t%s", s.Namespace)
	d.line(0, "CreationTimestamp:\t%s", timeText(s.CreationTimestamp.Time))
	d.line(0, "Selector:\t%s", metav1.FormatLabelSelector(s.Spec.Selector))
	d.labels(o)
	d.line(0, "Replicas:\t%d desired | %d total", wantedReplicas(s.Spec.Replicas), s.Status.Replicas)
	d.line(0, "Update Strategy:\t%s", s.Spec.UpdateStrategy.Type)
	if r := s.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil {
		d.line(1, "Partition:\t%d", *r.Partition)
	}
	d.line(0, "Pod Management:\t%s", s.Spec.PodManagementPolicy)
	d.line(0, "Revisions:\t%s current, %s update", s.Status.CurrentRevision, s.Status.UpdateRevision)
	return c.describePods(ctx, d, s.Namespace, s.Spec.Selector, &s.Spec.Template)
}

func describeDaemonSet(ctx context.Context, c *client, d *description, o objectView) error {
	var s appsv1.DaemonSet
	if err := o.into(&s); err != nil {
		return err
	}
	n := &s.Status
	d.line(0, "Name:\t%s", s.Name)
	d.line(0, "Namespace:\t%s", s.Namespace)
	d.line(0, "Selector:\t%s", metav1.FormatLabelSelector(s.Spec.Selector))
	d.line(0, "Node-Selector:\t%s", metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: s.Spec.Template.Spec.NodeSelector}))
	d.labels(o)
	d.line(0, "Desired Number of Nodes Scheduled:\t%d", n.DesiredNumberScheduled)
	d.line(0, "Current Number of Nodes Scheduled:\t%d", n.CurrentNumberScheduled)
	d.line(0, "Number of Nodes Scheduled with Up-to-date Pods:\t%d", n.UpdatedNumberScheduled)
	d.line(0, "Number of Nodes Scheduled with Available Pods:\t%d", n.NumberAvailable)
	d.line(0, "Number of Nodes Misscheduled:\t%d", n.NumberMisscheduled)
	return c.describePods(ctx, d, s.Namespace, s.Spec.Selector, &s.Spec.Template)
}

// describePods tells how the pods of a workload are, and what they are made from.
func (c *client) describePods(ctx context.Context, d *description, namespace string, selector *metav1.LabelSelector, t *corev1.PodTemplateSpec) error {
	counts, err := c.phasesOf(ctx, namespace, metav1.FormatLabelSelector(selector))
	if err != nil {
		return err
	}
	d.line(0, "Pods Status:\t%d Running / %d Waiting / %d Succeeded / %d Failed",
		counts[corev1.PodRunning], counts[corev1.PodPending], counts[corev1.PodSucceeded], counts[corev1.PodFailed])
	d.template(t)
	return nil
}

// slotName names a slot; those of DaemonSets are told by their homes.
func slotName(index int) string {
	if index >= state.ReplicasMax {
		return "Slot of its node"
	}
	return fmt.Sprintf("Slot %d", index)
}
