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
	c.runner.sweepAt = 0
	for _, id := range sortedKeys(c.runner.strangers) {
		pod := c.runner.seen[id]
		slot, err := state.ParseSlotID(pod.Slot)
		known := err == nil && (c.index.retired[slot.Workload] || c.index.workloads[slot.Workload] != nil)
		if known && c.waitsForTemplate(slot, id) {
			continue
		}
		alone := len(c.members.byName) <= 1
		if patience := c.booted + c.cfg.OrphanGrace; !known && (c.now < patience || c.sync.done == 0 && !alone) {
			c.runner.sweepAt = max(patience, c.now+time.Second)
			continue
		}
		c.fact(true, "", "OrphanRemoved", "pod %s/%s (run %s) belongs to no slot of this node; stopping it", pod.Namespace, pod.Name, id)
		r := &run{id: id, stopped: true, restart: map[string]*backoff{}, template: c.strangersTemplate(id), workload: &state.Workload{Namespace: pod.Namespace, Name: pod.Name, Key: state.MakeKey(state.Pods, pod.Namespace, pod.Name)}}
		r.needs = *c.needsOfStranger(id)
		c.runner.put(r, state.Slot{})
		c.order(r, Order{Kind: Stop, Grace: graceDefault})
	}
}

// strangersTemplate is what a pod without a run was made from, as far as the records
// tell: that of its run, or else any of its workload, or else an empty one. By it
// the pod's room is booked until it is gone.
func (c *Core) strangersTemplate(id state.RunID) *corev1.PodTemplateSpec {
	found := &corev1.PodTemplateSpec{}
	slot, err := state.ParseSlotID(c.runner.seen[id].Slot)
	if err != nil {
		return found
	}
	revisions := slices.Collect(maps.Keys(c.index.revisions[slot.Workload]))
	if w := c.index.workloads[slot.Workload]; w != nil {
		revisions = append(revisions, w.Revision)
	}
	slices.Sort(revisions)
	nonce := c.index.slots[slot.Workload][slot.Index].Run.Nonce
	for _, hash := range revisions {
		if t := c.index.template(slot.Workload, hash); t != nil {
			found = t
			if state.MakeRunID(slot, hash, c.cfg.Node, nonce) == id {
				return t
			}
		}
	}
	return found
}

// waitsForTemplate reports whether a run may be wanted here but cannot be judged
// yet, because the record of its slot or of its template is on its way.
func (c *Core) waitsForTemplate(id state.SlotID, run state.RunID) bool {
	w := c.index.workloads[id.Workload]
	s, ok := c.index.slots[id.Workload][id.Index]
	if w == nil || !c.wants(w, id.Index) {
		return false
	}
	if !ok {
		return true // the slot's record is on its way
	}
	prev := state.MakeRunID(id, s.Run.Prev, c.cfg.Node, s.Run.Nonce)
	return c.index.template(w.UID, s.Run.Revision) == nil || run == prev && c.index.template(w.UID, s.Run.Prev) == nil
}
