package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holon/crdt/state"
)

func describeDeployment(ctx context.Context, c *client, d *description, o objectView) error {
	var dep appsv1.Deployment
	if err := o.into(&dep); err != nil {
		return err
	}
	d.line(0, "Name:\t%s", dep.Name)
	d.line(0, "Namespace:\t%s", dep.Namespace)
	d.line(0, "CreationTimestamp:\t%s", timeText(dep.CreationTimestamp.Time))
	d.labels(o)
	d.line(0, "Selector:\t%s", metav1.FormatLabelSelector(dep.Spec.Selector))
	s := dep.Status
	d.line(0, "Replicas:\t%d desired | %d updated | %d total | %d available | %d unavailable",
		o.numberOr(1, "spec", "replicas"), s.UpdatedReplicas, s.Replicas, s.AvailableReplicas, s.UnavailableReplicas)
	d.line(0, "StrategyType:\t%s", orElse(string(dep.Spec.Strategy.Type), "RollingUpdate"))
	if r := dep.Spec.Strategy.RollingUpdate; r != nil && r.MaxUnavailable != nil && r.MaxSurge != nil {
		d.line(0, "RollingUpdateStrategy:\t%s max unavailable, %s max surge", r.MaxUnavailable, r.MaxSurge)
	}
	d.template(&dep.Spec.Template)
	var conditions [][]string
	for _, c := range s.Conditions {
		conditions = append(conditions, []string{string(c.Type), string(c.Status), orElse(c.Reason, "-"), c.Message})
	}
	d.conditions(conditions)
	return c.describeReplicaSets(ctx, d, &dep)
}

// describeReplicaSets tells the ReplicaSet of the current template from older ones.
func (c *client) describeReplicaSets(ctx context.Context, d *description, dep *appsv1.Deployment) error {
	var list appsv1.ReplicaSetList
	if err := c.get(ctx, mustBuiltin("replicasets").path(dep.Namespace, ""), nil, &list); err != nil {
		return err
	}
	own := slices.DeleteFunc(list.Items, func(r appsv1.ReplicaSet) bool { return !metav1.IsControlledBy(&r, dep) })
	const revision = "deployment.kubernetes.io/revision"
	newest, older := "<none>", []string{}
	for _, r := range own {
		text := fmt.Sprintf("%s (%d/%d replicas created)", r.Name, r.Status.Replicas, wantedReplicas(r.Spec.Replicas))
		if sameTemplate(&r, dep) || r.Annotations[revision] != "" && r.Annotations[revision] == dep.Annotations[revision] {
			newest = text
			continue
		}
		if r.Status.Replicas > 0 || wantedReplicas(r.Spec.Replicas) > 0 {
			older = append(older, text)
		}
	}
	if newest == "<none>" && len(older) == 1 {
		newest, older = older[0], nil
	}
	d.line(0, "OldReplicaSets:\t%s", orElse(strings.Join(older, ", "), "<none>"))
	d.line(0, "NewReplicaSet:\t%s", newest)
	return nil
}

func wantedReplicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// sameTemplate compares what runs: the images and commands.
func sameTemplate(r *appsv1.ReplicaSet, dep *appsv1.Deployment) bool {
	return slices.EqualFunc(state.Containers(&r.Spec.Template.Spec), state.Containers(&dep.Spec.Template.Spec), func(x, y corev1.Container) bool {
		return x.Name == y.Name && x.Image == y.Image && slices.Equal(x.Command, y.Command) && slices.Equal(x.Args, y.Args)
	})
}

func (d *description) template(t *corev1.PodTemplateSpec) {
	d.line(0, "Pod Template:")
	d.base++
	defer func() { d.base-- }()
	d.pairs(0, "Labels", t.Labels, "=")
	if len(t.Annotations) > 0 {
		d.pairs(0, "Annotations", t.Annotations, ": ")
	}
	d.containers(&t.Spec, nil, nil)
	d.volumes(t.Spec.Volumes)
	d.placement(&t.Spec)
}

func describeReplicaSet(ctx context.Context, c *client, d *description, o objectView) error {
	var r appsv1.ReplicaSet
	if err := o.into(&r); err != nil {
		return err
	}
	d.line(0, "Name:\t%s", r.Name)
	d.line(0, "Namespace:\t%s", r.Namespace)
	selector := metav1.FormatLabelSelector(r.Spec.Selector)
	d.line(0, "Selector:\t%s", selector)
	d.labels(o)
	if owner := metav1.GetControllerOf(&r); owner != nil {
		d.line(0, "Controlled By:\t%s/%s", owner.Kind, owner.Name)
	}
	d.line(0, "Replicas:\t%d current / %d desired", r.Status.Replicas, wantedReplicas(r.Spec.Replicas))
	counts, err := c.phasesOf(ctx, r.Namespace, selector)
	if err != nil {
		return err
	}
	d.line(0, "Pods Status:\t%d Running / %d Waiting / %d Succeeded / %d Failed",
		counts[corev1.PodRunning], counts[corev1.PodPending], counts[corev1.PodSucceeded], counts[corev1.PodFailed])
	d.template(&r.Spec.Template)
	return nil
}

func (c *client) phasesOf(ctx context.Context, namespace, selector string) (map[corev1.PodPhase]int, error) {
	var pods corev1.PodList
	err := c.get(ctx, mustBuiltin("pods").path(namespace, ""), url.Values{"labelSelector": {selector}}, &pods)
	counts := map[corev1.PodPhase]int{}
	for _, p := range pods.Items {
		counts[p.Status.Phase]++
	}
	return counts, err
}
