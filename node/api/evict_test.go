package api

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"holon/crdt/state"
)

// What clients do with the answer to an eviction: they try again after 429, take 404
// for done, and give up on the rest.
func TestEvictionAnswersInKubernetesWords(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 1), create)
	check(t, err)
	pods, err := f.kube.CoreV1().Pods("default").List(f.ctx, list)
	check(t, err)
	pod := pods.Items[0]
	evict := func(name string, opts *metav1.DeleteOptions) error {
		return f.kube.PolicyV1().Evictions("default").Evict(f.ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, DeleteOptions: opts})
	}
	check(t, evict(pod.Name, nil))
	check(t, evict(pod.Name, &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}, Preconditions: &metav1.Preconditions{UID: &pod.UID}}))
	other := pod.UID + "x"
	for _, c := range []struct {
		name string
		opts *metav1.DeleteOptions
		fail error
		is   func(error) bool
		says string
	}{
		{"none", nil, nil, apierrors.IsNotFound, `pods "none" not found`},
		{pod.Name, &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &other}}, nil, apierrors.IsConflict, "UID in precondition"},
		{pod.Name, nil, &BudgetError{"web", 3, 2}, apierrors.IsTooManyRequests, "Cannot evict pod as it would violate the pod's disruption budget."},
		{pod.Name, nil, fmt.Errorf("%w: no room", ErrStays), apierrors.IsTooManyRequests, "the pod stays where it is: no room"},
		{pod.Name, nil, fmt.Errorf("%w: web says so", ErrTwice), apierrors.IsForbidden, "web says so"},
		{pod.Name, nil, ErrNotDurable, apierrors.IsServiceUnavailable, "cannot store"},
	} {
		f.backend.fail = c.fail
		if err := evict(c.name, c.opts); err == nil || !c.is(err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v", c.fail, err)
		}
	}
	f.backend.fail = &BudgetError{"web", 3, 2}
	cause, ok := apierrors.StatusCause(evict(pod.Name, nil), policyv1.DisruptionBudgetCause)
	if want := "The disruption budget web needs 3 healthy pods and has 2 currently"; !ok || cause.Message != want {
		t.Errorf("cause %+v, want %q", cause, want)
	}
	var status apierrors.APIStatus
	if err := evict(pod.Name, nil); !errors.As(err, &status) || status.Status().Details.RetryAfterSeconds != 0 {
		t.Errorf("a client is told when to come back: %v", err)
	}
}

func TestBudgetsAreServed(t *testing.T) {
	f := serve(t)
	budgets := f.kube.PolicyV1().PodDisruptionBudgets("default")
	one, most := intstr.FromInt32(1), intstr.FromString("30%")
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: policyv1.PodDisruptionBudgetSpec{
		MaxUnavailable: &most, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
	}}
	made, err := budgets.Create(f.ctx, budget, create)
	check(t, err)
	made.Spec.MinAvailable = &one
	if _, err := budgets.Update(f.ctx, made, update); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "minAvailable and maxUnavailable cannot be both set") {
		t.Errorf("both: %v", err)
	}
	made.Spec.MaxUnavailable = nil
	_, err = budgets.Update(f.ctx, made, update)
	check(t, err)
	resources, err := f.kube.Discovery().ServerResourcesForGroupVersion("v1")
	check(t, err)
	for _, r := range resources.APIResources {
		if r.Name == "pods/eviction" && r.Kind == "Eviction" && r.Group == "policy" && r.Version == "v1" {
			return // kubectl drain looks for it
		}
	}
	t.Errorf("discovery does not show evictions: %+v", resources.APIResources)
}

// TestAnEvictedPodIsShownAsThat, whatever its containers have left behind.
func TestAnEvictedPodIsShownAsThat(t *testing.T) {
	p := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{
		{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "Error"}}},
	}}}
	for reason, want := range map[string]string{"": "Error", state.Evicted: "Evicted"} {
		p.Status.Reason = reason
		if got := (&podTold{}).ofMains(p); got != want {
			t.Errorf("with reason %q it is shown as %s, want %s", reason, got, want)
		}
	}
}
