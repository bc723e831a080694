//go:build remote

package podman

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/containers/podman/v5/pkg/specgen"
	"github.com/opencontainers/runtime-spec/specs-go"
	"go.podman.io/common/libnetwork/types"
	"holon/runtime"
)

const (
	cpuPeriod   = 100_000 // microseconds, the kernel's default
	minCPUQuota = 1_000   // microseconds, the least the kernel takes
	minShares   = 2
)

// checkSpec finds what can never run.
func checkSpec(spec runtime.Spec) error {
	if spec.ID == "" || strings.ContainsFunc(string(spec.ID), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) {
		return fmt.Errorf("run ID %q is not of [a-z0-9]", spec.ID)
	}
	if len(spec.Containers) == 0 {
		return fmt.Errorf("pod %s has no containers", spec.Name)
	}
	for _, c := range spec.Containers {
		if c.Image == "" {
			return fmt.Errorf("container %q has no image", c.Name)
		}
		for _, p := range c.Ports {
			if p.HostIP != "" && net.ParseIP(p.HostIP) == nil {
				return fmt.Errorf("hostIP %q of container %q is not an address", p.HostIP, c.Name)
			}
			if p.ContainerPort < 1 || p.ContainerPort > math.MaxUint16 || p.HostPort < 0 || p.HostPort > math.MaxUint16 {
				return fmt.Errorf("port %d:%d of container %q is out of range", p.HostPort, p.ContainerPort, c.Name)
			}
		}
	}
	return checkVolumes(spec)
}

// podSpec describes the Podman pod: labels, host name and published ports.
func (c Config) podSpec(spec runtime.Spec) specgen.PodSpecGenerator {
	var p specgen.PodSpecGenerator
	p.Name = podName(spec.ID)
	p.Hostname = spec.Hostname
	p.Labels = c.podLabels(spec)
	p.PortMappings = c.portMappings(spec)
	for _, h := range spec.Hosts {
		for _, name := range h.Names {
			p.HostAdd = append(p.HostAdd, name+":"+h.IP)
		}
	}
	if spec.ShareIDs {
		p.SharedNamespaces = []string{"ipc", "net", "uts", "pid"}
	}
	if dns := spec.DNS; dns != nil {
		for _, s := range dns.Servers {
			p.DNSServer = append(p.DNSServer, net.ParseIP(s))
		}
		p.DNSSearch, p.DNSOption = dns.Searches, dns.Options
	}
	return p
}

func (c Config) portMappings(spec runtime.Spec) []types.PortMapping {
	var out []types.PortMapping
	for _, container := range spec.Containers {
		for _, p := range container.Ports {
			if p.HostPort == 0 {
				continue
			}
			m := types.PortMapping{
				HostIP:        p.HostIP,
				HostPort:      uint16(p.HostPort),
				ContainerPort: uint16(p.ContainerPort),
				Protocol:      strings.ToLower(p.Protocol),
			}
			if m.HostIP == "" {
				m.HostIP = c.HostIP
			}
			if m.Protocol == "" {
				m.Protocol = "tcp"
			}
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}

// containerSpec describes one attempt of a container in an existing pod.
func (c Config) containerSpec(spec runtime.Spec, index, attempt int, pod, podIP string) (*specgen.SpecGenerator, error) {
	container := spec.Containers[index]
	command, args, env := container.Resolve(podIP)
	s := specgen.NewSpecGenerator(container.Image, false)
	s.Name = containerName(spec.ID, container.Name, attempt)
	s.Pod = pod
	s.Labels = c.containerLabels(spec, container.Name, attempt)
	s.Labels[labelIndex] = strconv.Itoa(index)
	s.Entrypoint, s.Command = command, args
	s.WorkDir = container.WorkingDir
	s.CreateWorkingDir = ptr(true) // as Kubernetes' runtimes do
	s.HTTPProxy = ptr(false)       // the node's proxy settings are not the pod's
	s.Systemd = "false"
	s.Stdin, s.Terminal = &container.Stdin, &container.TTY
	s.RestartPolicy = "no" // restarting is the caller's decision
	s.Env = make(map[string]string, len(env))
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		s.Env[name] = value
	}
	s.LogConfiguration = &specgen.LogConfig{Driver: "k8s-file", Size: c.LogBytesMax}
	s.ResourceLimits = resources(container)
	for _, m := range container.Mounts {
		source, err := c.mountSource(&spec, m)
		if err != nil {
			return nil, err
		}
		access := "rw"
		if m.ReadOnly {
			access = "ro"
		}
		s.Mounts = append(s.Mounts, specs.Mount{
			Type: "bind", Source: source, Destination: m.Path, Options: []string{"rbind", "rprivate", access},
		})
	}
	if container.Message.FromLog {
		s.Labels[labelFromLog] = "true"
	}
	return s, nil
}

// resources translates millicores and bytes into the kernel's terms as kubelet
// does, or is nil when there is nothing to limit.
func resources(c runtime.Container) *specs.LinuxResources {
	var r specs.LinuxResources
	if c.CPULimit > 0 || c.CPURequest > 0 {
		r.CPU = &specs.LinuxCPU{}
	}
	if c.CPULimit > 0 {
		r.CPU.Period = ptr(uint64(cpuPeriod))
		r.CPU.Quota = ptr(max(c.CPULimit*cpuPeriod/1000, minCPUQuota))
	}
	if c.CPURequest > 0 {
		r.CPU.Shares = ptr(uint64(max(c.CPURequest*1024/1000, minShares)))
	}
	if c.MemLimit > 0 {
		r.Memory = &specs.LinuxMemory{Limit: ptr(c.MemLimit)}
	}
	if r.CPU == nil && r.Memory == nil {
		return nil
	}
	return &r
}

func ptr[T any](v T) *T { return &v }
