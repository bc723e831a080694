package process

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"holon/runtime"
)

// cgroups are the control groups of one node's pods. Each hierarchy in use
// has the same tree in it:
//
//	/holon/HASH/RUN/CONTAINER:N   the processes of attempt N
//	/holon/HASH/RUN/.shims        the shims (tracking hierarchy only)
//
// A group serves one attempt, so that its counters and its members are those
// of the attempt alone.
//
// where HASH is that of the state directory, so that Kill finds the tree
// without a daemon. Tracking answers "which processes are there" and works in
// any hierarchy; limits need controllers. An empty path: not possible here.
type cgroups struct {
	track  string // best: cgroup v2; else v1 pids or freezer
	v2     bool   // track is cgroup v2
	limits bool   // track has the memory and cpu controllers (v2)
	memory string // v1
	cpu    string // v1
	notes  []string
}

// containerCgroups tell a shim where its container belongs.
type containerCgroups struct {
	Shims  string   // cgroup of the shim
	Track  string   // cgroup whose processes are the container's
	V2     bool     // Track is cgroup v2
	V1     []string // further v1 cgroups to join
	Events string   // file that counts OOM kills
}

const shimsGroup = ".shims"

// groupOf names the group of an attempt; no container name has a colon.
func groupOf(container string, attempt int) string { return fmt.Sprintf("%s:%d", container, attempt) }

// findCgroups looks where the trees of a state directory are or could be.
func findCgroups(dir string) cgroups {
	mounts := cgroupMounts()
	sum := sha256.Sum256([]byte(dir))
	tree := filepath.Join("holon", hex.EncodeToString(sum[:6]))
	at := func(controller string) string {
		if m, ok := mounts[controller]; ok {
			return filepath.Join(m, tree)
		}
		return ""
	}
	c := cgroups{memory: at("memory"), cpu: at("cpu")}
	for _, best := range []string{"cgroup2", "pids", "freezer"} {
		if c.track = at(best); c.track != "" {
			c.v2 = best == "cgroup2"
			break
		}
	}
	if c.v2 {
		available, _ := os.ReadFile(filepath.Join(mounts["cgroup2"], "cgroup.controllers"))
		have := strings.Fields(string(available))
		c.limits = slices.Contains(have, "memory") && slices.Contains(have, "cpu")
	}
	return c
}

// cgroupMounts returns the mount point of each v1 controller, and "cgroup2".
func cgroupMounts() map[string]string {
	out := map[string]string{}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return out
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// proc(5): ID parent dev root mountpoint options... - type source superoptions
		before, after, _ := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if len(left) < 5 || len(right) < 3 || left[3] != "/" {
			continue
		}
		switch right[0] {
		case "cgroup2":
			out["cgroup2"] = left[4]
		case "cgroup":
			for controller := range strings.SplitSeq(right[2], ",") {
				out[controller] = left[4]
			}
		}
	}
	return out
}

// prepare makes the trees and drops, with a note, what cannot be made.
func (c *cgroups) prepare() {
	try := func(path *string, without string) {
		if *path == "" {
			c.notes = append(c.notes, without+": this host has no control group hierarchy for it")
			return
		}
		if err := os.MkdirAll(*path, 0o755); err != nil {
			c.notes = append(c.notes, fmt.Sprintf("%s: %v", without, err))
			*path = ""
		}
	}
	try(&c.track, "pods are tracked by sessions and environment only, so a program that hides from both outlives its pod")
	if c.track == "" {
		c.v2, c.limits = false, false
	}
	if c.limits {
		c.memory, c.cpu = "", ""
		if err := c.enable(c.track); err != nil {
			c.limits = false
			c.notes = append(c.notes, fmt.Sprintf("memory and cpu limits are not enforced: %v", err))
		}
		return
	}
	try(&c.memory, "memory limits are not enforced")
	try(&c.cpu, "cpu limits are not enforced")
}

// enable turns the controllers on for the children of dir and of all above it.
func (c *cgroups) enable(dir string) error {
	if parent := filepath.Dir(dir); isCgroup(parent) {
		if err := c.enable(parent); err != nil {
			return err
		}
	}
	return writeCgroup(dir, "cgroup.subtree_control", "+memory +cpu")
}

func isCgroup(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "cgroup.subtree_control"))
	return err == nil
}

// attempt makes the groups of one attempt and sets its limits. The notes say
// what is not enforced.
func (c *cgroups) attempt(id runtime.RunID, spec runtime.Container, n int) (containerCgroups, []string) {
	group := groupOf(spec.Name, n)
	var out containerCgroups
	var notes []string
	if c.track != "" {
		pod := filepath.Join(c.track, string(id))
		shims, own := filepath.Join(pod, shimsGroup), filepath.Join(pod, group)
		if err := errors.Join(os.MkdirAll(shims, 0o755), os.MkdirAll(own, 0o755)); err != nil {
			notes = append(notes, fmt.Sprintf("not in a control group: %v", err))
		} else {
			out = containerCgroups{Shims: shims, Track: own, V2: c.v2}
		}
	}
	if spec.MemLimit == 0 && spec.CPULimit == 0 && spec.CPURequest == 0 {
		return out, notes
	}
	if c.limits && out.Track != "" {
		if err := errors.Join(c.enable(filepath.Dir(out.Track)), limitV2(out.Track, spec)); err != nil {
			notes = append(notes, fmt.Sprintf("limits are not enforced: %v", err))
		}
		out.Events = filepath.Join(out.Track, "memory.events")
		return out, notes
	}
	join := func(base, what string, limit func(dir string) error) {
		dir := filepath.Join(base, string(id), group)
		err := errors.New("no control group for it")
		if base != "" {
			if err = os.MkdirAll(dir, 0o755); err == nil {
				err = limit(dir)
			}
		}
		if err != nil {
			notes = append(notes, fmt.Sprintf("the %s is not enforced: %v", what, err))
			return
		}
		out.V1 = append(out.V1, dir)
	}
	if spec.MemLimit > 0 {
		join(c.memory, "memory limit", func(dir string) error {
			out.Events = filepath.Join(dir, "memory.oom_control")
			return limitMemoryV1(dir, spec.MemLimit)
		})
	}
	if spec.CPULimit > 0 || spec.CPURequest > 0 {
		join(c.cpu, "cpu limit", func(dir string) error { return limitCPUV1(dir, spec) })
	}
	return out, notes
}

func limitMemoryV1(dir string, bytes int64) error {
	err := writeCgroup(dir, "memory.limit_in_bytes", strconv.FormatInt(bytes, 10))
	// Without swap accounting there is no such file, and the limit is without swap.
	writeCgroup(dir, "memory.memsw.limit_in_bytes", strconv.FormatInt(bytes, 10))
	return err
}

func limitCPUV1(dir string, spec runtime.Container) error {
	var err error
	if spec.CPURequest > 0 {
		err = writeCgroup(dir, "cpu.shares", strconv.FormatInt(cpuShares(spec.CPURequest), 10))
	}
	if spec.CPULimit > 0 {
		err = errors.Join(err, writeCgroup(dir, "cpu.cfs_quota_us", strconv.FormatInt(cpuQuota(spec.CPULimit), 10)))
	}
	return err
}

func limitV2(dir string, spec runtime.Container) error {
	var err error
	if spec.MemLimit > 0 {
		err = writeCgroup(dir, "memory.max", strconv.FormatInt(spec.MemLimit, 10))
		writeCgroup(dir, "memory.swap.max", "0")
	}
	if spec.CPULimit > 0 {
		err = errors.Join(err, writeCgroup(dir, "cpu.max", fmt.Sprintf("%d %d", cpuQuota(spec.CPULimit), cpuPeriodMicros)))
	}
	if spec.CPURequest > 0 {
		// The conversion of KEP-2254: shares [2,262144] to weight [1,10000].
		weight := 1 + (cpuShares(spec.CPURequest)-2)*9999/262142
		err = errors.Join(err, writeCgroup(dir, "cpu.weight", strconv.FormatInt(weight, 10)))
	}
	return err
}

func cpuQuota(millicores int64) int64 {
	return max(millicores*cpuPeriodMicros/1000, cpuQuotaMicrosMin)
}

func cpuShares(millicores int64) int64 { return min(max(millicores*1024/1000, 2), 262144) }

func writeCgroup(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// oomKills reads how often the kernel killed for memory, 0 if unknown.
func oomKills(events string) int {
	data, _ := os.ReadFile(events)
	for line := range strings.Lines(string(data)) {
		var n int
		if _, err := fmt.Sscanf(line, "oom_kill %d", &n); err == nil {
			return n
		}
	}
	return 0
}

// forget removes the groups of an attempt that has ended.
func (c *cgroups) forget(id runtime.RunID, container string, n int) error {
	var err error
	for _, pod := range c.podPaths(id) {
		err = errors.Join(err, removeCgroup(filepath.Join(pod, groupOf(container, n))))
	}
	return err
}

// podPaths returns the trees of a pod, or of all pods if id is empty.
func (c cgroups) podPaths(id runtime.RunID) []string {
	var out []string
	for _, base := range []string{c.track, c.memory, c.cpu} {
		if base != "" {
			out = append(out, filepath.Join(base, string(id)))
		}
	}
	return out
}

// killCgroup kills every process in a tree of groups until none is left. A
// tree that is not there has none.
//
// It does not write cgroup.kill: Linux 6.18 then also kills, at birth, every
// later process that is cloned from or into the tree where the two groups'
// kill counts differ, so a pod could never start again (measured). What forks
// faster than it is killed is frozen first; SIGKILL reaches frozen processes.
func killCgroup(dir string) error {
	deadline := time.Now().Add(killTimeout)
	for round := 0; ; round++ {
		left := cgroupProcesses(dir)
		if len(left) == 0 {
			return nil
		}
		if round == 1 && writeCgroup(dir, "cgroup.freeze", "1") == nil {
			defer writeCgroup(dir, "cgroup.freeze", "0")
		}
		for _, pid := range left {
			unix.Kill(pid, unix.SIGKILL)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes in %s cannot be killed", len(left), dir)
		}
		time.Sleep(5 * time.Millisecond) // several processes, none ours: nothing to wait on
	}
}

// cgroupProcesses lists the processes in a tree of groups.
func cgroupProcesses(dir string) []int {
	var out []int
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		data, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for field := range strings.FieldsSeq(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				out = append(out, pid)
			}
		}
		return nil
	})
	return out
}

// removeCgroup removes an empty tree of groups. The kernel lets go of the
// last process a moment after it has been reaped.
func removeCgroup(dir string) error {
	var dirs []string
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	deadline := time.Now().Add(cgroupRemoveTimeout)
	for _, path := range slices.Backward(dirs) {
		for {
			err := unix.Rmdir(path)
			if err == nil || errors.Is(err, unix.ENOENT) {
				break
			}
			if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
				return fmt.Errorf("remove control group %s: %w", path, err)
			}
			time.Sleep(2 * time.Millisecond) // the kernel offers no event for it in v1
		}
	}
	return nil
}
