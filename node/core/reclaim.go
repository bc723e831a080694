package core

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"holon/crdt/state"
	"holon/runtime"
)

// Where memory is short, one run is ended after the other, the kubelet's way: first who
// uses more than it asks for, of these the least urgent, of these who uses the most above
// what it asks for. Every node of a machine feels the same, and nobody agrees with
// anybody; so whoever keeps to what it asks for goes only for somebody more urgent here,
// and never if nobody else in reach serves in its place: then the kernel has the last
// word. See ARCHITECTURE.md under Pressure.

// evictedGrace is how long an evicted run may take to end: what it has is needed.
const evictedGrace = time.Second

// burden is what a run weighs on its node.
type burden struct {
	run           *run
	used, request int64  // bytes of memory
	most          string // its container that uses the most, in words
	priority      int32
	daemon        bool // nobody else runs it
	last          bool // no other run of its workload is ready in reach
}

func (b *burden) exceeds() bool { return b.used > b.request }

// goes reports whether a run may be ended at all; priority is that of the most urgent here.
func (b *burden) goes(priority int32) bool {
	return b.used > 0 && (b.exceeds() || b.priority < priority && !b.last)
}

// compareBurdens puts first who is ended first.
func compareBurdens(a, b *burden) int {
	yes := map[bool]int{true: 1}
	return cmp.Or(
		cmp.Compare(yes[a.daemon], yes[b.daemon]), cmp.Compare(yes[b.exceeds()], yes[a.exceeds()]),
		cmp.Compare(a.priority, b.priority), cmp.Compare(b.used-b.request, a.used-a.request), cmp.Compare(a.run.id, b.run.id),
	)
}

// evictable lists the burdens that may be ended, the first one first.
func evictable(all []*burden) []*burden {
	if len(all) == 0 {
		return nil
	}
	urgent := slices.MaxFunc(all, func(a, b *burden) int { return cmp.Compare(a.priority, b.priority) }).priority
	all = slices.DeleteFunc(all, func(b *burden) bool { return !b.goes(urgent) })
	slices.SortFunc(all, compareBurdens)
	return all
}

// measured judges what pods use.
func (c *Core) measured(ev Measured) {
	c.judgeDirs(ev.Dirs)
	if c.short() {
		c.reclaim(ev.Pods)
	}
}

// reclaim ends one run. No other is ended before a sample has shown what that brings.
func (c *Core) reclaim(pods []runtime.PodUsage) {
	p := &c.pressure
	victims := evictable(c.burdens(pods))
	if c.cfg.Ablate != PaceRule {
		victims = victims[:min(len(victims), 1)]
	}
	for _, b := range victims {
		p.memory.low, p.lookAt = false, c.now+lookEvery
		c.evictRun(b.run, eviction{message: fmt.Sprintf("The node was low on resource: memory. Threshold quantity: %s, available: %s. %s",
			quantity(memoryLow), quantity(c.host.Spare.Memory.Free), b.most)})
	}
}

// quantity spells an amount in whole KiB.
func quantity(bytes int64) string {
	return resource.NewQuantity(bytes&^1023, resource.BinarySI).String()
}

// burdens are those of the runs that go on here.
func (c *Core) burdens(pods []runtime.PodUsage) (all []*burden) {
	for i := range pods {
		r := c.runner.runs[state.RunID(pods[i].ID)]
		if r == nil || !r.goesOn() {
			continue
		}
		b := &burden{
			run: r, request: c.needsOf(r).requests.Memory, priority: c.index.priorities.of(&r.template.Spec),
			daemon: r.workload.Daemon(), last: !c.servedBeside(r),
		}
		most := int64(-1)
		for _, used := range pods[i].Containers {
			if b.used += used.Memory; used.Memory > most {
				most = used.Memory
				b.most = fmt.Sprintf("Container %s was using %s, and its pod asks for %s.", used.Name, quantity(used.Memory), quantity(b.request))
			}
		}
		all = append(all, b)
	}
	return all
}

// goesOn reports whether a run is here to stay.
func (r *run) goesOn() bool {
	return r.wanted && r.admitted && !r.kept && !r.evicted && r.template != nil
}

// servedBeside reports whether another run of a run's workload is ready in reach.
func (c *Core) servedBeside(r *run) bool {
	for node, runs := range c.status.runs[r.slot.ID.Workload] {
		for _, o := range runs {
			if o.Run != r.id && c.ready(node, o.Run) {
				return true
			}
		}
	}
	return false
}

// evictRun ends a run before its time. A Pod of nobody has failed for good, and so has
// this attempt at a Job. All else is only turned away: its slot is refused here, and runs
// elsewhere.
func (c *Core) evictRun(r *run, e eviction) {
	w := c.index.workloads[r.slot.ID.Workload]
	if w == nil {
		return // deleted: it stops
	}
	var err error
	switch {
	case w.Bare():
		err = c.set(w.Key, w.ObjectUID, map[string][]byte{state.PodEvicted: state.EncodeRegister(e.message), state.PodEnded: state.EncodeRegister(state.Failed)})
	case w.Job != nil:
		a := state.Attempt{Node: c.cfg.Node, Nonce: r.slot.Run.Nonce, Finished: c.display(), Evicted: e.message}
		err = c.set(w.Key, w.ObjectUID, map[string][]byte{state.AttemptPath(r.slot.ID.Index, r.id): state.EncodeRegister(a)})
	default:
		r.refused, r.message = state.Evicted, e.message
	}
	if err != nil {
		c.fact(true, w.Key, "ResultNotWritten", "%v", err)
		return
	}
	n := &c.runner
	r.evicted, r.retryAt = true, 0
	n.stirred[r.id], n.dirty, c.status.dirty = true, true, true
	if before, ok := c.pressure.evicted[r.slot.ID]; ok && before.until == 0 {
		e.until = 0 // its other run, in an update, went for want of memory
	}
	if c.cfg.Ablate != ShunRule {
		c.pressure.evicted[r.slot.ID] = e
	}
	c.fact(true, r.about(), state.Evicted, "%s", e.message)
}
