package core

import (
	"cmp"
	"slices"

	"holon/crdt/state"
	"holon/runtime"
)

// admit lets runs in by age, those that are in already first, against this
// node's room and ports, and refuses the rest with a typed reason.
func (c *Core) admit() {
	var waiting []*run
	used, ports := state.Resources{}, []state.HostPort(nil)
	hostPortsOnly := c.host.Runtime.HostPortsOnly
	book := func(r *run) {
		used = used.Add(state.Requests(&r.template.Spec))
		ports = append(ports, state.HostPorts(&r.template.Spec, hostPortsOnly)...)
	}
	for _, id := range sortedKeys(c.runner.runs) {
		r := c.runner.runs[id]
		if _, here := c.runner.seen[id]; here {
			r.admitted = true
		}
		switch {
		case r.admitted:
			r.refused = ""
			book(r)
		case r.wanted && r.retryAt == 0 && !c.leaving(r.slot.ID):
			waiting = append(waiting, r)
		}
	}
	slices.SortFunc(waiting, func(a, b *run) int {
		return cmp.Or(a.slot.Born.Compare(b.slot.Born), cmp.Compare(a.slot.ID.Index, b.slot.ID.Index), cmp.Compare(a.id, b.id))
	})
	for _, r := range waiting {
		if c.host.Runtime.Name == "" || c.runner.lastSeen == 0 {
			continue // its room is not known yet, or who is in it already
		}
		reason := c.refusal(r, used, ports)
		if reason != r.refused {
			c.status.dirty = true
			if reason != "" {
				c.fact(true, r.about(), reason, "%s does not admit slot %d of %s", c.cfg.Node, r.slot.ID.Index, r.workload.Key)
			}
		}
		r.refused = reason
		if reason == "" {
			r.admitted = true
			book(r)
		}
	}
}

// leaving reports whether an earlier run of a slot is on its way out here. Its
// successor waits for the end of it: it may need the same port or file, and it
// must not be refused for what its own predecessor still holds.
func (c *Core) leaving(slot state.SlotID) bool {
	for _, r := range c.runner.runs {
		if r.slot.ID == slot && !r.wanted && (r.admitted || r.stopped) {
			return true
		}
	}
	return false
}

func (c *Core) refusal(r *run, used state.Resources, ports []state.HostPort) string {
	want, free := state.Requests(&r.template.Spec), c.host.Allocatable.Sub(used)
	switch {
	case want.CPU > 0 && want.CPU > free.CPU:
		return "OutOfcpu"
	case want.Memory > 0 && want.Memory > free.Memory:
		return "OutOfmemory"
	case want.Pods > free.Pods:
		return "OutOfpods"
	}
	for _, p := range state.HostPorts(&r.template.Spec, c.host.Runtime.HostPortsOnly) {
		if slices.ContainsFunc(ports, p.Collides) {
			return string(runtime.PortTaken)
		}
	}
	return ""
}
