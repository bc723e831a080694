package state

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A DaemonSet has a slot per node, and the index of that slot follows from the name of
// the node alone: whoever plans, on whichever side of a split, gives one node one slot,
// and two who make it at once make it under one key, with one home. Counting the nodes
// would give two sides that each admit a node one index for both.

// daemonBits is how wide the indices of daemon slots are. Of 1,000 nodes two have
// one index with a chance of one in 500 million; then the first by name has it.
const daemonBits = 48

// DaemonIndex is the index of the slots of DaemonSets on a node, above those that are
// counted.
func DaemonIndex(node string) int {
	sum := hash("daemon", node)
	index := 0
	for _, b := range sum[:daemonBits/8] {
		index = index<<8 | int(b)
	}
	return ReplicasMax + index
}

// slotIndexMax bounds the index of a slot.
const slotIndexMax = ReplicasMax + 1<<daemonBits

// Daemon reports whether w is a DaemonSet. Its slots never leave their nodes.
func (w *Workload) Daemon() bool { return w.Key.Resource() == DaemonSets }

func (w *Workload) fromDaemonSet(value map[string]any) error {
	var d appsv1.DaemonSet
	if err := Convert(value, &d); err != nil {
		return err
	}
	w.Template, w.Generation, w.Created = &d.Spec.Template, d.Generation, creation(value)
	w.readPolicy(d.Annotations)
	w.readRollout(d.Annotations, d.Spec.MinReadySeconds, d.Spec.RevisionHistoryLimit)
	w.StandIn = false // it would be a second one on the node of another
	w.OnDelete = d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType
	one := intstr.FromInt32(1)
	w.unavailable = &one
	if r := d.Spec.UpdateStrategy.RollingUpdate; r != nil {
		w.surge = r.MaxSurge
		if r.MaxUnavailable != nil {
			w.unavailable = r.MaxUnavailable
		}
	}
	for _, v := range []*intstr.IntOrString{w.surge, w.unavailable} {
		if v == nil {
			continue
		}
		if _, err := scaled(v, 1, true); err != nil {
			return fmt.Errorf("updateStrategy: %w", err)
		}
	}
	return nil
}
