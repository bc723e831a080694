package state

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Resources is an amount of what pods ask for.
type Resources struct {
	CPU    int64 `cbor:"1,keyasint,omitempty"` // millicores
	Memory int64 `cbor:"2,keyasint,omitempty"` // bytes
	Pods   int64 `cbor:"3,keyasint,omitempty"`
}

// Add returns r plus o. What does not fit an int64 is the greatest one: no sum of
// requests may wrap around and seem to fit.
func (r Resources) Add(o Resources) Resources {
	return Resources{CPU: add(r.CPU, o.CPU), Memory: add(r.Memory, o.Memory), Pods: add(r.Pods, o.Pods)}
}

func add(a, b int64) int64 {
	if b > 0 && a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// Sub returns r minus o, neither of them negative.
func (r Resources) Sub(o Resources) Resources {
	return Resources{CPU: r.CPU - o.CPU, Memory: r.Memory - o.Memory, Pods: r.Pods - o.Pods}
}

// Requests is what a pod asks for: the most that its containers ask for at any time, a
// limit standing in for a missing request as in Kubernetes. A plain init container runs
// beside the sidecars before it only. Negative amounts, which the API refuses, count as
// none.
func Requests(spec *corev1.PodSpec) Resources {
	var lasting, most Resources
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		beside := lasting.Add(requests(c))
		if most = most.max(beside); Sidecar(c) {
			lasting = beside
		}
	}
	for i := range spec.Containers {
		lasting = lasting.Add(requests(&spec.Containers[i]))
	}
	most = most.max(lasting)
	most.Pods = 1
	return most
}

func requests(c *corev1.Container) Resources {
	return Resources{CPU: amount(&c.Resources, corev1.ResourceCPU, resource.Milli), Memory: amount(&c.Resources, corev1.ResourceMemory, 0)}
}

func (r Resources) max(o Resources) Resources {
	return Resources{CPU: max(r.CPU, o.CPU), Memory: max(r.Memory, o.Memory), Pods: max(r.Pods, o.Pods)}
}

func amount(r *corev1.ResourceRequirements, name corev1.ResourceName, scale resource.Scale) int64 {
	q, ok := r.Requests[name]
	if !ok {
		q = r.Limits[name]
	}
	if q.CmpInt64(0) < 0 {
		return 0
	}
	if greatest := resource.NewScaledQuantity(math.MaxInt64, scale); q.Cmp(*greatest) >= 0 {
		return math.MaxInt64
	}
	return q.ScaledValue(scale)
}

// HostPort is a port that a pod needs on its node.
type HostPort struct {
	IP       string // empty, 0.0.0.0 or ::: every address
	Port     int
	Protocol string
}

// HostPorts lists what a pod needs on its node. On a node whose pods share its
// address every container port counts. Nobody connects to a plain init container:
// its ports are not published.
func HostPorts(spec *corev1.PodSpec, hostPortsOnly bool) []HostPort {
	var ports []HostPort
	for _, c := range Serving(spec) {
		for _, p := range c.Ports {
			port := int(p.HostPort)
			if port == 0 && hostPortsOnly {
				port = int(p.ContainerPort)
			}
			if port == 0 {
				continue
			}
			protocol := string(p.Protocol)
			if protocol == "" {
				protocol = "TCP"
			}
			ports = append(ports, HostPort{IP: p.HostIP, Port: port, Protocol: protocol})
		}
	}
	return ports
}

// Collides reports whether two pods with these ports cannot share a node.
func (p HostPort) Collides(o HostPort) bool {
	return p.Port == o.Port && p.Protocol == o.Protocol && (p.IP == o.IP || everyAddress(p.IP) || everyAddress(o.IP))
}

func everyAddress(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }
