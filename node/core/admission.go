package core

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/runtime"
)

// needs is what a run takes of a node: a function of its template and of whether
// pods share the node's address.
type needs struct {
	template      *corev1.PodTemplateSpec // nil: not known yet
	hostPortsOnly bool
	requests      state.Resources
	ports         []state.HostPort
}

// taken is what the runs that are in take of this node.
type taken struct {
	used  state.Resources
	ports []state.HostPort
}

func (c *Core) needsOf(r *run) *needs {
	shared := c.host.Runtime.HostPortsOnly
	if n := &r.needs; n.template != r.template || n.hostPortsOnly != shared {
		*n = needs{r.template, shared, state.Requests(&r.template.Spec), state.HostPorts(&r.template.Spec, shared)}
	}
	return &r.needs
}

func (t *taken) book(n *needs) {
	t.used = t.used.Add(n.requests)
	t.ports = append(t.ports, n.ports...)
}

// needsOfStranger is what a pod without a run takes: what it was booked with when it was
// made, and else what the records tell of such a pod.
func (c *Core) needsOfStranger(id state.RunID) *needs {
	n := c.needsOf(&run{template: c.strangersTemplate(id)})
	if kept := c.runner.seen[id].Requests; kept != (runtime.Requests{}) {
		n.requests.CPU, n.requests.Memory = kept.CPU, kept.Memory
	}
	return n
}

// admit lets runs in by priority and age, those that are in already first, against this
// node's room and ports, and refuses the rest with a typed reason.
func (c *Core) admit() {
	n := &c.runner
	for id := range n.outside {
		if _, here := n.seen[id]; here {
			n.letIn(n.runs[id])
		}
	}
	waiting := c.waiting()
	if len(waiting) == 0 || c.host.Runtime.Name == "" || n.lastSeen == 0 {
		return // or its room is not known yet, or who is in it already
	}
	in := c.taken()
	for _, r := range waiting {
		reason := c.refusal(c.needsOf(r), &in)
		if e, evicted := c.pressure.evicted[r.slot.ID]; evicted {
			reason, r.message = state.Evicted, e.message
		}
		if reason != r.refused {
			c.status.dirty = true
			// Who is refused hands nothing over: whether it is wanted is judged again (seed
			// 3307 of the histories).
			n.unsure[r.slot.ID.Workload], n.dirty = true, true
			c.wake(c.now)
			if reason != "" && reason != state.Evicted { // which was said
				c.fact(true, r.about(), reason, "%s does not admit slot %d of %s", c.cfg.Node, r.slot.ID.Index, r.workload.Key)
			}
		}
		if r.refused = reason; reason == "" {
			n.letIn(r)
			in.book(c.needsOf(r))
		}
	}
}

func (n *runner) letIn(r *run) {
	r.admitted, r.refused = true, ""
	delete(n.outside, r.id)
	n.stirred[r.id] = true
}

// letGo gives the room of a run back of which nothing is here and nothing was ordered:
// there is nothing to stop, and nobody has to wait until it is.
func (n *runner) letGo(r *run) {
	if _, here := n.seen[r.id]; !here && r.ensured == 0 && !r.busy {
		r.admitted, n.outside[r.id] = false, true
	}
}

// taken sums up what is in, pods without a run included: they take room as well,
// until it is known whether they belong here.
func (c *Core) taken() (in taken) {
	for id := range c.runner.strangers {
		in.book(c.needsOfStranger(id))
	}
	for _, r := range c.runner.runs {
		if r.admitted && !r.kept {
			in.book(c.needsOf(r))
		}
	}
	return in
}

// waiting lists the runs to be let in, the most urgent first, then the oldest. One whose predecessor is
// on its way out waits for the end of that: it may need the same port or file, and
// it must not be refused for what its own predecessor still holds.
func (c *Core) waiting() (waiting []*run) {
	n, urgency := &c.runner, &c.index.priorities
	for id := range n.outside {
		if r := n.runs[id]; r.wanted && r.retryAt == 0 && !n.leaving(r.slot.ID) {
			waiting = append(waiting, r)
		}
	}
	slices.SortFunc(waiting, func(a, b *run) int {
		return cmp.Or(cmp.Compare(urgency.of(&b.template.Spec), urgency.of(&a.template.Spec)), a.slot.Born.Compare(b.slot.Born), cmp.Compare(a.slot.ID.Index, b.slot.ID.Index), cmp.Compare(a.id, b.id))
	})
	return waiting
}

// leaving reports whether a run of a slot is on its way out here.
func (n *runner) leaving(slot state.SlotID) bool {
	for _, r := range n.of[slot.Workload] {
		if r.slot.ID == slot && !r.wanted && (r.admitted || r.stopped) {
			return true
		}
	}
	return false
}

// refusal says why this node does not take a run beside those that are in; "": it
// does.
func (c *Core) refusal(n *needs, in *taken) string {
	want, free := n.requests, c.host.Allocatable.Sub(in.used)
	switch {
	case want.CPU > 0 && want.CPU > free.CPU:
		return "OutOfcpu"
	case want.Memory > 0 && want.Memory > free.Memory:
		return "OutOfmemory"
	case want.Pods > free.Pods:
		return "OutOfpods"
	}
	for _, p := range n.ports {
		if slices.ContainsFunc(in.ports, p.Collides) {
			return string(runtime.PortTaken)
		}
	}
	return ""
}
