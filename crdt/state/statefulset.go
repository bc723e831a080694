package state

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Set reports whether w is a StatefulSet: the index of a slot is its ordinal, and the
// slot must not run twice in one view, so it is never handed over: the old run
// stops, then the new one starts.
func (w *Workload) Set() bool { return w.Key.Resource() == StatefulSets }

// OneName reports whether all runs of a slot bear one name: the API shows the one
// that counts in its view.
func (w *Workload) OneName() bool { return w.Bare() || w.Set() }

// SetPodName is the name of a StatefulSet's pod.
func SetPodName(set string, ordinal int) string { return set + "-" + strconv.Itoa(ordinal) }

func (w *Workload) fromStatefulSet(value map[string]any) error {
	var s appsv1.StatefulSet
	if err := Convert(value, &s); err != nil {
		return err
	}
	w.Replicas = 1
	if s.Spec.Replicas != nil {
		w.Replicas = int(*s.Spec.Replicas)
	}
	if o := s.Spec.Ordinals; o != nil {
		w.First = min(max(int(o.Start), 0), ReplicasMax)
	}
	w.Replicas = min(max(w.Replicas, 0), ReplicasMax-w.First)
	w.Template, w.Generation, w.Created = &s.Spec.Template, s.Generation, creation(value)
	w.readPolicy(s.Annotations)
	w.readRollout(s.Annotations, s.Spec.MinReadySeconds, s.Spec.RevisionHistoryLimit)
	var labels map[string]string
	if s.Spec.Selector != nil {
		labels = s.Spec.Selector.MatchLabels
	}
	w.readClaimTemplates(value, labels)
	w.InOrder = s.Spec.PodManagementPolicy != appsv1.ParallelPodManagement
	w.OnDelete = s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType
	w.MaxUnavailable = 1
	r := s.Spec.UpdateStrategy.RollingUpdate
	if r == nil {
		return nil
	}
	if r.Partition != nil {
		w.Partition = max(int(*r.Partition), 0)
	}
	if r.MaxUnavailable == nil {
		return nil
	}
	most, err := scaled(r.MaxUnavailable, w.Replicas, true)
	w.MaxUnavailable = max(most, 1)
	return err
}

// Bounds are how many slots of n a rollout may let run twice, or not at all.
func (w *Workload) Bounds(n int) (surge, unavailable int) {
	if !w.Daemon() {
		return w.MaxSurge, w.MaxUnavailable
	}
	of := func(v *intstr.IntOrString) int {
		if v == nil {
			return 0
		}
		share, _ := scaled(v, n, true) // it was read before
		return share
	}
	surge, unavailable = of(w.surge), of(w.unavailable)
	if surge == 0 {
		unavailable = max(unavailable, 1)
	}
	return surge, unavailable
}
