package node

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"holon/node/core"
)

// HostUsage is what all programs of a machine use.
type HostUsage struct {
	CPU    time.Duration // that its cores have computed for since it booted
	Memory int64         // bytes that are not to be had for more programs
}

// hostTick is the unit of time in /proc, on every architecture that Go knows.
const hostTick = time.Second / 100

// ThisHostUsage reads what is used of the machine that this process runs on.
func ThisHostUsage() (HostUsage, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return HostUsage{}, err
	}
	memory, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return HostUsage{}, err
	}
	return hostUsageOf(string(stat), string(memory))
}

// hostUsageOf reads proc_stat(5) and proc_meminfo(5).
func hostUsageOf(stat, memory string) (u HostUsage, err error) {
	cpu := strings.Fields(stat)
	if len(cpu) < 9 || cpu[0] != "cpu" {
		return u, fmt.Errorf("/proc/stat begins with %q", cpu[:min(len(cpu), 9)])
	}
	// user, nice, system, irq, softirq: neither idle, iowait nor what a hypervisor has stolen
	for _, field := range slices.Concat(cpu[1:4], cpu[6:8]) {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return u, fmt.Errorf("/proc/stat: %w", err)
		}
		u.CPU += time.Duration(ticks) * hostTick
	}
	spare, err := memoryOf(memory)
	u.Memory = spare.Total - spare.Free
	return u, err
}

// memoryOf reads proc_meminfo(5).
func memoryOf(memory string) (core.Gauge, error) {
	total, available := int64(-1), int64(-1)
	for line := range strings.Lines(memory) {
		_, _ = fmt.Sscanf(line, "MemTotal: %d kB", &total) // most lines say something else
		_, _ = fmt.Sscanf(line, "MemAvailable: %d kB", &available)
	}
	if total < 0 || available < 0 {
		return core.Gauge{}, fmt.Errorf("/proc/meminfo does not say what is available: %.40q", memory)
	}
	return core.Gauge{Free: available << 10, Total: total << 10}, nil
}
