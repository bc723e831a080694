package core

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt"
	"holon/crdt/state"
)

// priorities are the classes that are known here.
type priorities struct {
	classes map[string]state.PriorityClass
	preset  int32 // of pods that name no class
}

func (p *priorities) put(name string, class state.PriorityClass, there bool) {
	if delete(p.classes, name); there {
		p.classes[name] = class
	}
	p.preset = 0
	first := true
	for _, c := range p.classes { // of several defaults the least, as in Kubernetes
		if c.Default && (first || c.Value < p.preset) {
			p.preset, first = c.Value, false
		}
	}
}

// of is the priority of a pod. One whose class is not known (yet) has the least that a
// pod without a class may have: it takes nothing from anybody by mistake.
func (p *priorities) of(spec *corev1.PodSpec) int32 {
	name := spec.PriorityClassName
	if name == "" {
		return p.preset
	}
	if value, ok := state.SystemPriority(name); ok {
		return value
	}
	if c, ok := p.classes[name]; ok {
		return c.Value
	}
	return min(p.preset, 0)
}

// byUrgency orders workloads by priority, the greatest first: who comes first is placed
// first.
func byUrgency[V any](c *Core, set map[crdt.UID]V) []crdt.UID {
	x, uids := &c.index, sortedUIDs(set)
	priority := make(map[crdt.UID]int32, len(uids))
	for _, uid := range uids {
		if w := x.workloads[uid]; w != nil {
			priority[uid] = x.priorities.of(&w.Template.Spec)
		}
	}
	slices.SortStableFunc(uids, func(a, b crdt.UID) int { return cmp.Compare(priority[b], priority[a]) })
	return uids
}

func (x *index) reindexPriority(key state.Key, rec *crdt.Record) error {
	class, ok, err := state.DecodePriorityClass(key, rec)
	if err != nil {
		return err
	}
	_, _, name := key.Split()
	x.priorities.put(name, class, ok)
	x.dirtyAll = true
	return nil
}
