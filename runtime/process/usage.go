package process

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"holon/runtime"
)

// tick is the unit of time in /proc, on every architecture that Go knows.
const tick = time.Second / 100

// Usage implements runtime.Runtime. A container is the processes below its shim, with
// or without control groups. The shim is their subreaper, so that the time of all that
// have ended is with somebody who lives. Its memory is what they map; what they have read
// of files is the host's cache. What Exec runs is the daemon's child and not in it.
func (r *Runtime) Usage(context.Context) ([]runtime.PodUsage, error) {
	type measured struct {
		shim processID
		use  *runtime.ContainerUsage
	}
	byPod := map[runtime.RunID][]measured{}
	r.mu.Lock()
	for id, p := range r.pods {
		for _, c := range p.containers {
			if a := c.newest; p.ready && a != nil && a.state.Phase == running {
				byPod[id] = append(byPod[id], measured{a.shim, &runtime.ContainerUsage{Name: c.spec.Name, Attempt: a.number}})
			}
		}
	}
	r.mu.Unlock()

	tree := readTree()
	var out []runtime.PodUsage
	for id, containers := range byPod {
		u := runtime.PodUsage{ID: id}
		for _, c := range containers {
			if tree.measure(c.shim, c.use) {
				u.Containers = append(u.Containers, *c.use)
			}
		}
		if len(u.Containers) > 0 {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b runtime.PodUsage) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out, nil
}

// processTree is who was there, and whose children.
type processTree struct {
	all      map[int]procStat
	children map[int][]int
}

func readTree() processTree {
	t := processTree{map[int]procStat{}, map[int][]int{}}
	processes(func(s procStat) {
		t.all[s.PID] = s
		t.children[s.parent] = append(t.children[s.parent], s.PID)
	})
	return t
}

// measure adds up what is below a shim, and reports whether that is there.
func (t processTree) measure(shim processID, use *runtime.ContainerUsage) bool {
	root := t.all[shim.PID]
	if root.processID != shim || root.state == 'Z' {
		return false
	}
	ticks := root.waited
	for below := slices.Clone(t.children[shim.PID]); len(below) > 0; {
		s := t.all[below[0]]
		below = append(below[1:], t.children[s.PID]...)
		ticks += s.own + s.waited
		use.Memory += memoryOf(s.PID)
	}
	use.CPU = int64(ticks) * int64(tick)
	return true
}

// memoryOf is what a process holds of memory, its part of what it shares with others
// included. Of another user's, whose maps the kernel does not show, it is what belongs to
// no file. 0 if it is gone.
func memoryOf(pid int) int64 {
	maps, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid)) // proc_pid_smaps(5)
	for line := range strings.Lines(string(maps)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "Pss: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	var size, resident, shared int64
	pages, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if _, err := fmt.Sscan(string(pages), &size, &resident, &shared); err != nil {
		return 0
	}
	return (resident - shared) * int64(os.Getpagesize())
}
