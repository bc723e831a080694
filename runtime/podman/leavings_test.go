//go:build remote

package podman

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// leavings describes what a service in dir can leave behind on this machine.
// Other Podman services may work at the same time: what cannot be told to be
// of this one counts only if nobody uses it.
func leavings(dir string) string {
	var b strings.Builder
	var s settings
	if err := s.chooseNetwork(dir); err != nil {
		return err.Error()
	}
	// A running service has its subnet in its settings; one that is gone had
	// the one that is free (again) for its directory.
	running := &Service{Dir: dir}
	if running.load() == nil {
		s = running.settings
	}
	for _, pid := range processesOf(dir) {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		fmt.Fprintf(&b, "process %d %s\n", pid, strings.ReplaceAll(string(cmdline), "\x00", " "))
	}
	for _, m := range mounts("/proc/self/mountinfo") {
		if strings.HasPrefix(m.point, dir+"/") {
			fmt.Fprintf(&b, "mount %s\n", m.point)
		}
	}
	t := tracesOf(dir)
	for _, f := range append(t.netns, unusedNetns()...) {
		fmt.Fprintf(&b, "netns %s\n", f)
	}
	for _, c := range t.cgroups {
		fmt.Fprintf(&b, "cgroup %s\n", c)
	}
	for _, c := range emptyPodCgroups() {
		fmt.Fprintf(&b, "empty cgroup %s\n", c)
	}
	for _, pattern := range []string{"/sys/class/net/" + s.Bridge, "/sys/class/net/" + s.Bridge + "/brif/*", dir + "/*"} {
		found, _ := filepath.Glob(pattern)
		for _, f := range found {
			fmt.Fprintf(&b, "file %s\n", f)
		}
	}
	if out, err := exec.Command("iptables-save").Output(); err == nil {
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, `"dnat name: `+s.Network) || strings.Contains(line, s.Subnet) {
				b.WriteString("rule " + line)
			}
		}
	}
	return b.String()
}

// unusedNetns lists named network namespaces that no process is in.
func unusedNetns() []string {
	inUse := make(map[uint64]bool)
	all, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, f := range all {
		inUse[inode(f)] = true
	}
	var out []string
	files, _ := filepath.Glob(netnsDir + "/*")
	for _, f := range files {
		if n := inode(f); n != 0 && !inUse[n] {
			out = append(out, f)
		}
	}
	return out
}

// emptyPodCgroups lists Podman's pod cgroups that hold no process.
func emptyPodCgroups() []string {
	var out []string
	pods, _ := filepath.Glob(cgroupRoot + "/*/libpod_parent/*/cgroup.procs")
	for _, f := range pods {
		used := false
		_ = filepath.WalkDir(filepath.Dir(f), func(path string, _ os.DirEntry, err error) error {
			if err == nil && filepath.Base(path) == "cgroup.procs" {
				b, _ := os.ReadFile(path)
				used = used || len(b) > 0
			}
			return nil
		})
		if !used {
			out = append(out, filepath.Dir(f))
		}
	}
	return out
}

// leftBehind returns the lines of leavings that were not there before. What
// others use by and by is seen again to be in use.
func leftBehind(dir, before string) string {
	var left string
	for range leftTries {
		left = newLeavings(before, leavings(dir))
		if left == "" {
			break
		}
		time.Sleep(100 * time.Millisecond) // another service may be between two steps
	}
	return left
}

const leftTries = 30

// newLeavings returns the lines of after that are not in before.
func newLeavings(before, after string) string {
	var b strings.Builder
	for line := range strings.Lines(after) {
		if !strings.Contains(before, line) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestNewLeavings(t *testing.T) {
	if got := newLeavings("a\nb\n", "b\nc\n"); got != "c\n" {
		t.Errorf("got %q", got)
	}
}
