package node

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"holon/node/core"
	"holon/runtime"
)

// ThisHostSpare reads what is left of the memory of the machine that this process runs on,
// and of the file systems that directories are on. What does not read is not in it.
func ThisHostSpare(dirs ...string) core.Spare { return spareOf("/", dirs) }

// spareOf is ThisHostSpare with /proc and /sys below root.
func spareOf(root string, dirs []string) (s core.Spare) {
	if text, err := os.ReadFile(filepath.Join(root, "proc/meminfo")); err == nil {
		s.Memory, _ = memoryOf(string(text)) // else it is not known
	}
	if limit := groupSpare(filepath.Join(root, "sys/fs/cgroup")); limit.Total > 0 && limit.Total < s.Memory.Total {
		s.Memory = core.Gauge{Free: min(limit.Free, s.Memory.Free), Total: limit.Total}
	}
	seen := map[unix.Fsid]bool{}
	for _, dir := range dirs {
		var fs unix.Statfs_t
		if dir != "" && unix.Statfs(dir, &fs) == nil && fs.Blocks > 0 && !seen[fs.Fsid] {
			seen[fs.Fsid] = fs.Fsid != unix.Fsid{}
			s.Disks = append(s.Disks, core.Gauge{Free: int64(fs.Bavail) * fs.Bsize, Total: int64(fs.Blocks) * fs.Bsize})
		}
	}
	return s
}

// groupSpare is what the topmost control group in sight leaves, of either version. Where
// this machine is a container that is the container's, and pods are in it, too. A limit of
// the daemon's own unit says nothing of pods: they are in other groups.
func groupSpare(dir string) core.Gauge {
	for _, f := range [...]struct{ limit, used, stat, inactive string }{
		{"memory.max", "memory.current", "memory.stat", "inactive_file "},
		{"memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file "},
	} {
		limit, used := groupNumber(dir, f.limit, ""), groupNumber(dir, f.used, "")
		if inactive := groupNumber(dir, f.stat, f.inactive); limit > 0 && used >= 0 && inactive >= 0 {
			return core.Gauge{Free: max(limit-max(used-inactive, 0), 0), Total: limit}
		}
	}
	return core.Gauge{}
}

// groupNumber reads a number of a group's file, behind a key if there are several; -1: it
// is not there, or none ("max").
func groupNumber(dir, file, key string) int64 {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(text)) {
		if number, ok := strings.CutPrefix(line, key); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64); err == nil {
				return n
			}
		}
	}
	return -1
}

// weigh measures what pods of this node use, as the core has asked. What the runtime does
// not tell in time is asked again with a later sample.
func (n *Node) weigh(ctx context.Context, m core.Measure) {
	measure, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	ev := core.Measured{Dirs: map[runtime.RunID]map[string]int64{}}
	if m.Memory {
		var err error
		if ev.Pods, err = n.cfg.Runtime.Usage(measure); err != nil {
			n.log.Warn("memory is short, and what pods use cannot be measured", "error", err)
		}
	}
	for _, of := range m.Dirs {
		sizes := map[string]int64{}
		for _, volume := range of.Volumes {
			if bytes, err := n.cfg.Runtime.DirSize(measure, of.Run, volume); err == nil {
				sizes[volume] = bytes
			} else {
				n.log.Debug("a volume cannot be measured", "error", err)
			}
		}
		ev.Dirs[of.Run] = sizes
	}
	n.tell(ctx, ev)
}
