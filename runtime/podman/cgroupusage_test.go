package podman

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestGroupsOfAContainer(t *testing.T) {
	for lines, want := range map[string][]string{
		// cgroup v2 with systemd, and a group that crun has made
		"0::/machine.slice/machine-libpod_pod_ab.slice/libpod-c1.scope/container\n": {
			cgroupRoot + "/machine.slice/machine-libpod_pod_ab.slice/libpod-c1.scope",
			cgroupRoot + "/unified/machine.slice/machine-libpod_pod_ab.slice/libpod-c1.scope",
		},
		// both kinds, without systemd
		"5:memory:/libpod_parent/ab/libpod-c1\n1:name=systemd:/libpod_parent/ab/libpod-c1\n0::/\n": {
			cgroupRoot + "/memory/libpod_parent/ab/libpod-c1", cgroupRoot + "/systemd/libpod_parent/ab/libpod-c1",
		},
		"2:cpu,cpuacct:/x/libpod-c1\n": {cgroupRoot + "/cpu,cpuacct/x/libpod-c1"},
		// a container without a group of its own is in somebody else's
		"4:memory:/user.slice\n0::/user.slice/session-1.scope\n": nil,
	} {
		if got := groupsOf(lines, "c1"); !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n got %q\nwant %q", lines, got, want)
		}
	}
}

func TestUsageOfAGroup(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"v2": {
			"cpu.stat":       "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n",
			"memory.current": "9000\n", "memory.stat": "anon 5000\ninactive_file 2000\nactive_file 1000\n",
		},
		"v1": {
			"cpuacct.usage": "1500000\n", "cpu.stat": "nr_periods 0\n",
			"memory.usage_in_bytes": "9000\n", "memory.stat": "inactive_file 1\ntotal_inactive_file 2000\n",
		},
	} {
		dir := t.TempDir()
		for file, text := range files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cpu, ok1 := groupCPU(dir)
		memory, ok2 := groupMemory(dir)
		if !ok1 || !ok2 || cpu != 1_500_000 || memory != 7000 {
			t.Errorf("%s: %d ns (%v), %d bytes (%v)", name, cpu, ok1, memory, ok2)
		}
		if err := os.Remove(filepath.Join(dir, "memory.stat")); err != nil {
			t.Fatal(err)
		}
		if memory, ok := groupMemory(dir); ok {
			t.Errorf("%s: without memory.stat the working set is %d", name, memory)
		}
	}
}
