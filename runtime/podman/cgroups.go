package podman

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const cgroupRoot = "/sys/fs/cgroup"

// removeCgroups removes a pod's cgroup from every hierarchy and reports whether
// it is gone from all. Podman forgets the one in the unified hierarchy where
// the machine has both kinds, and gives up on one where its own clean-up
// process still runs. The kernel removes only what is empty, so this can hurt
// nobody.
func removeCgroups(path string) (gone bool) {
	if !strings.Contains(path, "libpod") {
		return true
	}
	gone = true
	below, _ := filepath.Glob(filepath.Join(cgroupRoot, "*"))
	for _, base := range append(below, cgroupRoot) {
		dir := filepath.Join(base, path)
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err != nil {
			continue
		}
		children, _ := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs"))
		for _, c := range children {
			_ = os.Remove(filepath.Dir(c))
		}
		if os.Remove(dir) != nil {
			gone = false
		}
	}
	return gone
}

// litter holds the cgroups of removed pods until they can be removed too. The
// zero value is ready.
type litter struct {
	mu      sync.Mutex
	cgroups []string
}

func (l *litter) add(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cgroups = append(l.cgroups, path)
}

// sweep removes what can be removed now and reports whether that was all.
func (l *litter) sweep() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cgroups = slices.DeleteFunc(l.cgroups, removeCgroups)
	return len(l.cgroups) == 0
}

// Podman's clean-up processes get this long to leave a removed pod's cgroup.
const (
	sweepLimit = 3 * time.Second
	sweepPoll  = 20 * time.Millisecond
)

// sweepAll sweeps until all is gone, at most sweepLimit.
func (l *litter) sweepAll() {
	for end := time.Now().Add(sweepLimit); !l.sweep() && time.Now().Before(end); {
		time.Sleep(sweepPoll) // no event tells of a cgroup of v1 that got empty
	}
}

// podCgroups returns the cgroups of the pods that a process is in, from the
// lines of /proc/<pid>/cgroup (cgroups(7)): .../<pod>/libpod-<container>.
func podCgroups(lines string) []string {
	var out []string
	for line := range strings.Lines(lines) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		if pod, leaf := filepath.Split(f[2]); strings.HasPrefix(leaf, "libpod-") {
			out = append(out, filepath.Clean(pod))
		}
	}
	return out
}
