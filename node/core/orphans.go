package core

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
)

// sweepOrphans stops pods that have no run: left by a former life of this node,
// or of a slot that is gone. A pod whose workload this node has never heard of is
// left alone for a while and until a peer has been asked: nothing is deleted
// because information is missing.
func (c *Core) sweepOrphans() {
	for _, id := range slices.Sorted(maps.Keys(c.runner.seen)) {
		if c.runner.runs[id] != nil {
			continue
		}
		pod := c.runner.seen[id]
		slot, err := state.ParseSlotID(pod.Slot)
		known := err == nil && (c.index.retired[slot.Workload] || c.index.workloads[slot.Workload] != nil)
		if known && c.waitsForTemplate(slot, id) {
			continue
		}
		alone := len(c.members.byName) <= 1
		if patience := c.booted + c.cfg.OrphanGrace; !known && (c.now < patience || c.sync.done == 0 && !alone) {
			c.wake(max(patience, c.now+time.Second))
			continue
		}
		c.fact(true, "", "OrphanRemoved", "pod %s/%s (run %s) belongs to no slot of this node; stopping it", pod.Namespace, pod.Name, id)
		r := &run{id: id, stopped: true, restart: map[string]*backoff{}, template: &corev1.PodTemplateSpec{}, workload: &state.Workload{Namespace: pod.Namespace, Name: pod.Name, Key: state.MakeKey(state.Pods, pod.Namespace, pod.Name)}}
		c.runner.runs[id] = r
		c.order(r, Order{Kind: Stop, Grace: graceDefault})
	}
}

// waitsForTemplate reports whether a run may be wanted here but cannot be judged
// yet, because the record of its slot or of its template is on its way.
func (c *Core) waitsForTemplate(id state.SlotID, run state.RunID) bool {
	w := c.index.workloads[id.Workload]
	s, ok := c.index.slots[id.Workload][id.Index]
	if w == nil || id.Index >= w.Replicas {
		return false
	}
	if !ok {
		return true // the slot's record is on its way
	}
	prev := state.MakeRunID(id, s.Run.Prev, c.cfg.Node, s.Run.Nonce)
	return c.index.template(w.UID, s.Run.Revision) == nil || run == prev && c.index.template(w.UID, s.Run.Prev) == nil
}
