package state

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"holon/crdt"
)

// Node is what users want of a node: the stored half of the Node object.
type Node struct {
	Name          string
	UID           crdt.UID
	Labels        map[string]string
	Taints        []corev1.Taint
	Unschedulable bool
	Object        map[string]any
}

// DecodeNode reads a node from its record; ok is false if it is gone.
func DecodeNode(key Key, rec *crdt.Record) (n Node, ok bool, err error) {
	obj, ok, err := DecodeObject(rec)
	if err != nil || !ok {
		return Node{}, false, err
	}
	var typed corev1.Node
	if err := Convert(obj.Value, &typed); err != nil {
		return Node{}, false, fmt.Errorf("%s: %w", key, err)
	}
	_, _, name := key.Split()
	return Node{
		Name: name, UID: obj.UID, Labels: typed.Labels, Taints: typed.Spec.Taints,
		Unschedulable: typed.Spec.Unschedulable, Object: obj.Value,
	}, true, nil
}

// Member is a peer that was admitted to the cluster. It is believed only after
// its certificate chain has been verified.
type Member struct {
	Peer  string
	Name  string
	Chain []byte // cert.Chain, encoded
	Left  bool   // it said goodbye for good; never taken back
	Addrs []string
	Born  crdt.Stamp
}

// The registers of a member record.
const (
	MemberName  = "/name"
	MemberChain = "/chain"
	MemberLeft  = "/left"
	MemberAddrs = "/addrs"
)

// MemberUID is the UID of a member record, one per peer for ever.
func MemberUID(peer string) crdt.UID { return DerivedUID("member", peer) }

// DecodeMember reads a member record.
func DecodeMember(key Key, rec *crdt.Record) (m Member, ok bool, err error) {
	obj := rec.Live()
	if obj == nil {
		return Member{}, false, nil
	}
	_, _, m.Peer = key.Split()
	m.Born = obj.Birth.Stamp
	for path, into := range map[string]any{MemberName: &m.Name, MemberChain: &m.Chain, MemberLeft: &m.Left, MemberAddrs: &m.Addrs} {
		value := obj.Registers[path].Value
		if value == nil {
			continue
		}
		if err := json.Unmarshal(value, into); err != nil {
			return Member{}, false, fmt.Errorf("%s: register %s: %w", key, path, err)
		}
	}
	return m, true, nil
}

// Resources is an amount of what pods ask for.
type Resources struct {
	CPU    int64 `cbor:"1,keyasint,omitempty"` // millicores
	Memory int64 `cbor:"2,keyasint,omitempty"` // bytes
	Pods   int64 `cbor:"3,keyasint,omitempty"`
}

// Add returns r plus o.
func (r Resources) Add(o Resources) Resources {
	return Resources{CPU: r.CPU + o.CPU, Memory: r.Memory + o.Memory, Pods: r.Pods + o.Pods}
}

// Sub returns r minus o.
func (r Resources) Sub(o Resources) Resources {
	return Resources{CPU: r.CPU - o.CPU, Memory: r.Memory - o.Memory, Pods: r.Pods - o.Pods}
}

// Requests is what a pod asks for: the sum over its containers, a limit
// standing in for a missing request as in Kubernetes.
func Requests(spec *corev1.PodSpec) Resources {
	sum := Resources{Pods: 1}
	for i := range spec.Containers {
		r := &spec.Containers[i].Resources
		sum.CPU += amount(r, corev1.ResourceCPU).MilliValue()
		mem := amount(r, corev1.ResourceMemory)
		sum.Memory += mem.Value()
	}
	return sum
}

func amount(r *corev1.ResourceRequirements, name corev1.ResourceName) *resource.Quantity {
	if q, ok := r.Requests[name]; ok {
		return &q
	}
	q := r.Limits[name]
	return &q
}

// HostPort is a port that a pod needs on its node.
type HostPort struct {
	IP       string // empty: every address
	Port     int
	Protocol string
}

// HostPorts lists what a pod needs on its node. On a node whose pods share its
// address every container port counts.
func HostPorts(spec *corev1.PodSpec, hostPortsOnly bool) []HostPort {
	var ports []HostPort
	for i := range spec.Containers {
		for _, p := range spec.Containers[i].Ports {
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
	return p.Port == o.Port && p.Protocol == o.Protocol && (p.IP == o.IP || p.IP == "" || o.IP == "")
}
