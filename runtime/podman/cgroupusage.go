package podman

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// groupsOf returns where the control groups of a container may be, from the lines of
// /proc/<pid>/cgroup of one of its processes. Podman names them after the container;
// below that an OCI runtime or the container itself may have made further ones.
func groupsOf(lines, container string) (dirs []string) {
	for line := range strings.Lines(lines) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		before, after, found := strings.Cut(f[2], container)
		if !found {
			continue
		}
		leaf, _, _ := strings.Cut(after, "/") // ".scope" of systemd
		path := before + container + leaf
		if f[1] != "" {
			dirs = append(dirs, filepath.Join(cgroupRoot, strings.TrimPrefix(f[1], "name="), path))
			continue
		}
		dirs = append(dirs, filepath.Join(cgroupRoot, path), filepath.Join(cgroupRoot, "unified", path))
	}
	return dirs
}

// groupCPU is the time that the processes of a group have computed for, in nanoseconds.
func groupCPU(dir string) (ns int64, ok bool) {
	if ns, ok = groupNumber(dir, "cpuacct.usage", ""); ok {
		return ns, true
	}
	micros, ok := groupNumber(dir, "cpu.stat", "usage_usec")
	return micros * 1000, ok
}

// groupMemory is what the kubelet calls a working set: all that is charged to the
// group without the files that nobody has used for a while.
func groupMemory(dir string) (bytes int64, ok bool) {
	for _, version := range []struct{ used, inactive string }{
		{"memory.current", "inactive_file"}, {"memory.usage_in_bytes", "total_inactive_file"},
	} {
		used, ok1 := groupNumber(dir, version.used, "")
		inactive, ok2 := groupNumber(dir, "memory.stat", version.inactive)
		if ok1 && ok2 {
			return max(used-inactive, 0), true
		}
	}
	return 0, false
}

// groupNumber reads a number of a group's file, the one behind key if there are several.
func groupNumber(dir, file, key string) (int64, bool) {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		name, value, several := strings.Cut(strings.TrimSpace(line), " ")
		if !several {
			name, value = "", name
		}
		if name == key {
			n, err := strconv.ParseInt(value, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
