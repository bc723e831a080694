package hosts

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Traces is what hosts leave on the machine while they live, and must not leave
// when they are closed.
type Traces struct {
	dir       string
	processes []entry
	spaces    []string // namespaces of the hosts and of the wire
	cgroups   []string
}

// Traces looks at what must be gone after Close.
func (f *Fabric) Traces() (Traces, error) {
	t := Traces{dir: f.cfg.Dir}
	all, err := processes(f.Hosts...)
	if err != nil {
		return t, err
	}
	for _, mine := range all {
		t.processes = append(t.processes, mine...)
		for _, e := range mine {
			t.cgroups = append(t.cgroups, podCgroups(e.pid)...)
		}
	}
	firsts := []*process{f.first}
	for _, h := range f.Hosts {
		groups, err := h.cgroups()
		if err != nil {
			return t, err
		}
		t.cgroups = append(t.cgroups, groups...)
		firsts = append(firsts, h.first)
	}
	for _, p := range firsts {
		if p.running() {
			t.spaces = append(t.spaces, spaces(p.pid)...)
		}
	}
	return t, nil
}

func spaces(pid int) []string {
	var found []string
	for _, kind := range []string{"net", "mnt", "pid"} {
		if space, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind)); err == nil {
			found = append(found, space)
		}
	}
	return found
}

// podCgroups lists the groups of Podman's that a process is in. Close goes by
// Podman's log instead: what one misses, the other does not.
func podCgroups(pid int) []string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)) // empty: it has ended
	var paths []string
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && strings.Contains(f[2], "libpod") {
			paths = append(paths, filepath.Join(cgroupRoot, strings.TrimPrefix(f[1], "name="), f[2]))
		}
	}
	return paths
}

// Left names what is still there.
func (t Traces) Left() []string {
	var left []string
	now, err := table()
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range t.processes {
		if n, there := now[e.pid]; there && n.start == e.start && !n.zombie {
			left = append(left, fmt.Sprintf("process %d", e.pid))
		}
	}
	for pid := range now {
		for _, space := range spaces(pid) {
			if slices.Contains(t.spaces, space) {
				left = append(left, fmt.Sprintf("process %d in %s", pid, space))
			}
		}
	}
	for _, path := range t.cgroups {
		if _, err := os.Stat(path); err == nil {
			left = append(left, path)
		}
	}
	if _, err := os.Stat(t.dir); err == nil {
		left = append(left, t.dir)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return append(left, err.Error())
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, t.dir+"/") {
			left = append(left, "mount "+line)
		}
	}
	return left
}
