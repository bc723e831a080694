package core

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"holon/crdt/state"
	"holon/runtime"
)

// A pod says how much it may put into its empty directories on disk: into each (sizeLimit),
// and its containers into all together (limits of ephemeral-storage). Who exceeds that is
// evicted, whether there is room or not. What containers write beside them is not counted.

// dirsShun is for how long a node does not take back what has filled its disk: another one
// takes it, if there is one.
const dirsShun = 30 * time.Second

// dirBounds are what a pod may put into its empty directories on disk.
type dirBounds struct {
	volumes []string // those that have to be measured
	each    map[string]resource.Quantity
	all     *resource.Quantity // nil: no bound
}

func dirBoundsOf(spec *corev1.PodSpec) (b dirBounds) {
	for i := range spec.Containers {
		if limit, ok := spec.Containers[i].Resources.Limits[corev1.ResourceEphemeralStorage]; ok {
			if b.all == nil {
				b.all = &resource.Quantity{}
			}
			b.all.Add(limit)
		}
	}
	b.each = map[string]resource.Quantity{}
	for i := range spec.Volumes {
		v := &spec.Volumes[i]
		if v.EmptyDir == nil || v.EmptyDir.Medium != corev1.StorageMediumDefault {
			continue
		}
		limit := v.EmptyDir.SizeLimit
		if limit != nil && limit.Sign() > 0 { // 0 is no bound
			b.each[v.Name] = *limit
		}
		if _, bound := b.each[v.Name]; bound || b.all != nil {
			b.volumes = append(b.volumes, v.Name)
		}
	}
	return b
}

// exceeded says, in the kubelet's words, which bound is exceeded; empty: none. A volume
// whose size is not known is taken for empty.
func (b *dirBounds) exceeded(sizes map[string]int64) string {
	sum := int64(0)
	for _, volume := range b.volumes {
		limit, bound := b.each[volume]
		if bound && limit.CmpInt64(sizes[volume]) < 0 {
			return fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q.", volume, limit.String())
		}
		sum += sizes[volume]
	}
	if b.all != nil && b.all.CmpInt64(sum) < 0 {
		return fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s.", b.all)
	}
	return ""
}

// boundedDirs are those of the runs here that have to be measured.
func (c *Core) boundedDirs() (dirs []Dirs) {
	for _, id := range sortedKeys(c.runner.runs) {
		r := c.runner.runs[id]
		if _, here := c.runner.seen[id]; !here || !r.goesOn() {
			continue
		}
		if b := dirBoundsOf(&r.template.Spec); len(b.volumes) > 0 {
			dirs = append(dirs, Dirs{Run: runtime.RunID(id), Volumes: b.volumes})
		}
	}
	return dirs
}

// judgeDirs ends the runs whose directories have become too large: each for itself.
func (c *Core) judgeDirs(dirs map[runtime.RunID]map[string]int64) {
	for _, id := range sortedKeys(dirs) {
		r := c.runner.runs[state.RunID(id)]
		if r == nil || !r.goesOn() {
			continue
		}
		b := dirBoundsOf(&r.template.Spec)
		if why := b.exceeded(dirs[id]); why != "" {
			c.evictRun(r, eviction{message: why, until: c.now + dirsShun})
		}
	}
}
