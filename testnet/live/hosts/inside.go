package hosts

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// processes lists everything that runs in hosts that have power: what has their
// process numbers, and the descendants of that, which may have others.
func processes(hosts ...*Host) (map[*Host][]entry, error) {
	spaces := map[string]*Host{}
	for _, h := range hosts {
		if !h.first.running() {
			continue
		}
		space, err := os.Readlink(filepath.Join("/proc", h.first.id(), "ns", "pid"))
		if err != nil {
			return nil, fmt.Errorf("processes of %s: %w", h.Name, err)
		}
		spaces[space] = h
	}
	all, err := table()
	if err != nil {
		return nil, err
	}
	where := map[int]*Host{}
	var find func(pid int) *Host
	find = func(pid int) *Host {
		e, there := all[pid]
		if !there {
			return nil
		}
		if h, known := where[pid]; known {
			return h
		}
		where[pid] = nil // ends a loop that a reused number could make
		space, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
		if where[pid] = spaces[space]; where[pid] == nil {
			where[pid] = find(e.parent)
		}
		return where[pid]
	}
	found := map[*Host][]entry{}
	for pid, e := range all {
		if h := find(pid); h != nil && !e.zombie {
			found[h] = append(found[h], e)
		}
	}
	return found, nil
}

// Replica is a running program of a pod.
type Replica struct {
	Host, Pod string
	PID       int
	Start     string // in clock ticks: with the PID it names one process
}

// Replicas lists the processes of a program in pods, as the kernel has them, and
// not as Podman or holon do.
func (f *Fabric) Replicas(program string) ([]Replica, error) {
	all, err := processes(f.Hosts...)
	if err != nil {
		return nil, err
	}
	var found []Replica
	for _, h := range f.Hosts {
		for _, e := range all[h] {
			exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", e.pid))
			if err != nil || filepath.Base(exe) != program {
				continue
			}
			environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", e.pid)) // empty: it ends
			for variable := range strings.SplitSeq(string(environ), "\x00") {
				if pod, ok := strings.CutPrefix(variable, "POD_NAME="); ok {
					found = append(found, Replica{h.Name, pod, e.pid, e.start})
				}
			}
		}
	}
	return found, nil
}
