//go:build remote

package podman

import (
	"context"
	"fmt"
	"os"

	"holon/runtime"
)

// Usage implements runtime.Runtime. It reads the containers' control groups: Podman 4
// counts what the kernel may drop as used, and asks each container's OCI runtime. A
// Podman on another host has no groups here, so nothing is known of its containers.
func (r *Runtime) Usage(ctx context.Context) ([]runtime.PodUsage, error) {
	s, err := r.link.open(ctx)
	if err != nil {
		return nil, err
	}
	if !isLocal(s) {
		return nil, nil
	}
	views, err := r.views(ctx, "")
	if err != nil {
		return nil, err
	}
	var out []runtime.PodUsage
	for run, v := range views {
		u := runtime.PodUsage{ID: run}
		for _, name := range v.names() {
			a := v.newest(name)
			if a.state != runtime.Running {
				continue
			}
			if use, ok := usageOf(a.Pid, a.ID); ok {
				use.Name, use.Attempt = name, a.number
				u.Containers = append(u.Containers, use)
			}
		}
		if len(u.Containers) > 0 {
			out = append(out, u)
		}
	}
	return out, nil
}

// usageOf measures the groups that a process shares with all of its container.
func usageOf(pid int, container string) (use runtime.ContainerUsage, ok bool) {
	lines, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return use, false
	}
	groups := groupsOf(string(lines), container)
	var hasCPU, hasMemory bool
	for _, dir := range groups {
		if ns, ok := groupCPU(dir); ok {
			use.CPU, hasCPU = ns, true
		}
		if bytes, ok := groupMemory(dir); ok {
			use.Memory, hasMemory = bytes, true
		}
	}
	return use, hasCPU && hasMemory
}
