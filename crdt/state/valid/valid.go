// Package valid says what Kubernetes would not accept of an object, and fills in
// what it would: the rules and defaults of Kubernetes 1.35 for the fields that
// holon honours. It is pure, so that a merge can be judged as a request is.
package valid

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// kind is what judging an object of one kind needs.
type kind struct {
	make   func() runtime.Object
	whole  func(runtime.Object) field.ErrorList
	update func(obj, old runtime.Object) field.ErrorList
}

// kinds by resource, "<plural>.<group>".
var kinds = map[string]kind{
	"namespaces":                        {make: of[corev1.Namespace], whole: on(Namespace)},
	"nodes":                             {make: of[corev1.Node], whole: on(Node), update: onUpdate(NodeUpdate)},
	"pods":                              {make: of[corev1.Pod], whole: on(Pod), update: onUpdate(PodUpdate)},
	"configmaps":                        {make: of[corev1.ConfigMap], whole: on(ConfigMap), update: onUpdate(ConfigMapUpdate)},
	"persistentvolumeclaims":            {make: of[corev1.PersistentVolumeClaim], whole: on(Claim), update: onUpdate(ClaimUpdate)},
	"priorityclasses.scheduling.k8s.io": {make: of[schedulingv1.PriorityClass], whole: on(PriorityClass), update: onUpdate(PriorityClassUpdate)},
	"leases.coordination.k8s.io":        {make: of[coordinationv1.Lease], whole: on(Lease)},
	"poddisruptionbudgets.policy":       {make: of[policyv1.PodDisruptionBudget], whole: on(PodDisruptionBudget)},
	"jobs.batch":                        {make: of[batchv1.Job], whole: on(Job), update: onUpdate(JobUpdate)},
	"cronjobs.batch":                    {make: of[batchv1.CronJob], whole: on(CronJob)},
	"statefulsets.apps":                 {make: of[appsv1.StatefulSet], whole: on(StatefulSet), update: onUpdate(StatefulSetUpdate)},
	"daemonsets.apps":                   {make: of[appsv1.DaemonSet], whole: on(DaemonSet), update: onUpdate(DaemonSetUpdate)},
	"deployments.apps":                  {make: of[appsv1.Deployment], whole: on(Deployment), update: onUpdate(DeploymentUpdate)},
}

func of[T any, P interface {
	*T
	runtime.Object
}]() runtime.Object {
	return P(new(T))
}

func on[T runtime.Object](f func(T) field.ErrorList) func(runtime.Object) field.ErrorList {
	return func(o runtime.Object) field.ErrorList { return f(o.(T)) }
}

func onUpdate[T runtime.Object](f func(obj, old T) field.ErrorList) func(obj, old runtime.Object) field.ErrorList {
	return func(obj, old runtime.Object) field.ErrorList { return f(obj.(T), old.(T)) }
}

// Object says what is wrong with an object of a resource, given as JSON data with
// its metadata; nil also for a resource that has no rules.
func Object(resource string, value map[string]any) error {
	return judge(resource, value, nil)
}

// Update says what is wrong with an object that takes the place of old.
func Update(resource string, value, old map[string]any) error {
	return judge(resource, value, old)
}

func judge(resource string, value, old map[string]any) error {
	k, ok := kinds[resource]
	if !ok {
		return nil
	}
	obj, err := k.read(value)
	if err != nil {
		return err
	}
	errs := k.whole(obj)
	if old != nil && k.update != nil {
		before, err := k.read(old)
		if err != nil {
			return err
		}
		errs = append(errs, k.update(obj, before)...)
	}
	return errs.ToAggregate()
}

func (k kind) read(value map[string]any) (runtime.Object, error) {
	obj := k.make()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(value, obj); err != nil {
		return nil, fmt.Errorf("not an object of this kind: %w", err)
	}
	return obj, nil
}
