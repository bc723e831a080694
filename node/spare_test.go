package node

import (
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
	"holon/runtime/runtimetest"
)

// TestSpareOfAHost: the memory of the machine, or of the container that it is.
func TestSpareOfAHost(t *testing.T) {
	const meminfo = "MemTotal: 4000 kB\nMemFree: 1 kB\nMemAvailable: 3000 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  core.Gauge
	}{
		"nothing":    {nil, core.Gauge{}},
		"no /proc":   {map[string]string{"sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "1\n", "sys/fs/cgroup/memory.stat": "inactive_file 0\n"}, core.Gauge{}},
		"a machine":  {map[string]string{"proc/meminfo": meminfo}, core.Gauge{Free: 3000 << 10, Total: 4000 << 10}},
		"a root":     {map[string]string{"proc/meminfo": meminfo, "sys/fs/cgroup/memory.stat": "inactive_file 5\n"}, core.Gauge{Free: 3000 << 10, Total: 4000 << 10}},
		"no limit":   {map[string]string{"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "1\n", "sys/fs/cgroup/memory.stat": "inactive_file 0\n"}, core.Gauge{Free: 3000 << 10, Total: 4000 << 10}},
		"a limit":    {map[string]string{"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "900\n", "sys/fs/cgroup/memory.stat": "anon 7\ninactive_file 300\nactive_file 3\n"}, core.Gauge{Free: 400, Total: 1000}},
		"overdrawn":  {map[string]string{"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "1900\n", "sys/fs/cgroup/memory.stat": "inactive_file 0\n"}, core.Gauge{Total: 1000}},
		"version 1":  {map[string]string{"proc/meminfo": meminfo, "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "900\n", "sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 300\n"}, core.Gauge{Free: 400, Total: 1000}},
		"v1, none":   {map[string]string{"proc/meminfo": meminfo, "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "900\n", "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 300\n"}, core.Gauge{Free: 3000 << 10, Total: 4000 << 10}},
		"half of it": {map[string]string{"proc/meminfo": "MemTotal: 4000 kB\n"}, core.Gauge{}},
	} {
		root := t.TempDir()
		for file, text := range c.files {
			file = filepath.Join(root, file)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := spareOf(root, nil); !reflect.DeepEqual(got, core.Spare{Memory: c.want}) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	dir := t.TempDir()
	here := ThisHostSpare(dir, dir, "", filepath.Join(dir, "none"))
	if here.Memory.Free <= 0 || here.Memory.Free > here.Memory.Total || len(here.Disks) != 1 || here.Disks[0].Free <= 0 || here.Disks[0].Free > here.Disks[0].Total {
		t.Errorf("this machine: %+v", here)
	}
}

// TestAShellEvicts: what the shell samples and measures ends a pod that uses more than it
// asks for, and later one that writes more than it may. Both have failed for good.
func TestAShellEvicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Int64
		free.Store(1 << 30)
		c := newClusterOf(t, 1, func(m *member) {
			withUsage(1)(m)
			m.spare = func(...string) core.Spare { return core.Spare{Memory: core.Gauge{Free: free.Load(), Total: 1 << 31}} }
		})
		defer c.close()
		n := c.nodes[0]
		put := func(name string, volumes []any) (status func() map[string]any) {
			spec := map[string]any{"volumes": volumes, "containers": []any{map[string]any{"name": "app", "image": "app"}}}
			if err := n.create(state.Pods, name, map[string]any{"spec": spec}); err != nil {
				t.Fatal(err)
			}
			status = func() map[string]any {
				pod, ok := n.cfg.Cache.Get(api.Key{Resource: state.Pods, Namespace: "default", Name: name})
				if !ok {
					return nil
				}
				s, _ := pod.Value()["status"].(map[string]any)
				return s
			}
			c.await(name+" runs", func() bool { return status()["phase"] == string(state.Running) })
			return status
		}
		status := put("greedy", []any{})
		free.Store(1 << 20)
		c.await("it is evicted", func() bool { return status()["reason"] == state.Evicted && status()["phase"] == string(state.Failed) })
		c.await("nothing is left of it", func() (gone bool) {
			n.host.Do(func(h *runtimetest.Host, now time.Duration) { gone = len(h.Statuses(now)) == 0 })
			return gone
		})
		free.Store(1 << 30)
		time.Sleep(40 * time.Second)
		status = put("writer", []any{map[string]any{"name": "x", "emptyDir": map[string]any{"sizeLimit": "1Mi"}}})
		time.Sleep(time.Minute)
		if got := status()["phase"]; got != string(state.Running) {
			t.Errorf("it is %v before it has written anything", got)
		}
		n.host.Do(func(h *runtimetest.Host, now time.Duration) {
			for _, p := range h.Statuses(now) {
				h.Write(p.ID, "x", 1<<20+1)
			}
		})
		c.await("it is evicted, too", func() bool { return status()["message"] == `Usage of EmptyDir volume "x" exceeds the limit "1Mi".` })
	})
}
