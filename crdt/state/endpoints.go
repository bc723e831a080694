package state

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Endpoint is one pod behind a Service.
type Endpoint struct {
	Pod, UID, Node string
	Address        netip.Addr
	Ready, Ending  bool
	// Ports are the pod's, in the order of the Service's; 0: it has none of that name.
	Ports []int32
}

// Equal reports whether two endpoints are shown alike.
func (e *Endpoint) Equal(o *Endpoint) bool {
	return e.Pod == o.Pod && e.UID == o.UID && e.Node == o.Node && e.Address == o.Address &&
		e.Ready == o.Ready && e.Ending == o.Ending && slices.Equal(e.Ports, o.Ports)
}

// Endpoint is what a pod is to the Service; false if it is not behind it or cannot be
// reached: it has no address yet, or has ended.
func (s *Service) Endpoint(p *PodFace) (e Endpoint, is bool) {
	if p.Status == nil || p.Template == nil || p.Status.Phase == Succeeded || p.Status.Phase == Failed || !s.Selects(p.labels()) {
		return e, false
	}
	address, err := netip.ParseAddr(p.Status.IP)
	if err != nil {
		return e, false
	}
	e = Endpoint{
		Pod: p.Name, UID: p.UID, Node: p.Node, Address: address, Ending: p.Status.Stopping,
		Ready: (p.Status.Ready || s.Spec.PublishNotReadyAddresses) && !p.NodeLost && !p.Status.Stopping,
	}
	for i := range s.Spec.Ports {
		e.Ports = append(e.Ports, targetPort(&s.Spec.Ports[i], &p.Template.Spec))
	}
	return e, true
}

func targetPort(port *corev1.ServicePort, spec *corev1.PodSpec) int32 {
	if port.TargetPort.Type == intstr.Int {
		return cmp.Or(port.TargetPort.IntVal, port.Port)
	}
	for _, c := range Serving(spec) {
		for _, p := range c.Ports {
			if p.Name == port.TargetPort.StrVal && cmp.Or(p.Protocol, corev1.ProtocolTCP) == cmp.Or(port.Protocol, corev1.ProtocolTCP) {
				return p.ContainerPort
			}
		}
	}
	return 0
}

// labels are those that Value shows.
func (p *PodFace) labels() labels.Set {
	all := map[string]any{}
	merge(all, p.Template.Labels)
	merge(all, p.Labels)
	p.owned(map[string]any{}, all, map[string]any{})
	set := labels.Set{}
	for k, v := range all {
		set[k], _ = v.(string)
	}
	return set
}

// sliceMax is how many endpoints one EndpointSlice holds, as the API allows.
const sliceMax = 1000

// EndpointSlices are the objects that list the endpoints of the Service, by key. Those of
// one object have addresses of one family and the same ports.
func (s *Service) EndpointSlices(endpoints []Endpoint) map[Key]map[string]any {
	endpoints = slices.Clone(endpoints)
	slices.SortFunc(endpoints, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.Address.BitLen(), b.Address.BitLen()), slices.Compare(a.Ports, b.Ports), cmp.Compare(a.Pod, b.Pod))
	})
	shown := map[Key]map[string]any{}
	_, namespace, name := s.Key.Split()
	for len(endpoints) > 0 {
		first := &endpoints[0]
		n := 1
		for n < min(len(endpoints), sliceMax) && endpoints[n].Address.BitLen() == first.Address.BitLen() && slices.Equal(endpoints[n].Ports, first.Ports) {
			n++
		}
		uid := DerivedUID("endpointslice", string(s.Key), fmt.Sprint(len(shown))).String()
		key := MakeKey(EndpointSlices, namespace, name+"-"+uid[:5])
		shown[key] = s.slice(key, uid, endpoints[:n])
		endpoints = endpoints[n:]
	}
	return shown
}

func (s *Service) slice(key Key, uid string, endpoints []Endpoint) map[string]any {
	_, namespace, service := s.Key.Split()
	first := &endpoints[0]
	family := discoveryv1.AddressTypeIPv4
	if first.Address.Is6() {
		family = discoveryv1.AddressTypeIPv6
	}
	var ports, list []any
	for i, number := range first.Ports {
		if p := &s.Spec.Ports[i]; number != 0 {
			ports = append(ports, map[string]any{"name": p.Name, "port": int64(number), "protocol": string(cmp.Or(p.Protocol, corev1.ProtocolTCP))})
		}
	}
	for i := range endpoints {
		e := &endpoints[i]
		list = append(list, map[string]any{
			"addresses":  []any{e.Address.String()},
			"conditions": map[string]any{"ready": e.Ready, "serving": e.Ready, "terminating": e.Ending},
			"nodeName":   e.Node,
			"targetRef":  map[string]any{"kind": "Pod", "namespace": namespace, "name": e.Pod, "uid": e.UID},
		})
	}
	v := AddMeta(key, uid, map[string]any{"addressType": string(family), "endpoints": list, "ports": ports})
	meta := object(v, "metadata")
	meta["labels"] = map[string]any{discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: "holon.dev"}
	meta["generateName"] = service + "-"
	meta["ownerReferences"] = ownerRef("v1", "Service", service, s.UID.String())
	if stored, ok := s.Object["metadata"].(map[string]any); ok {
		meta["creationTimestamp"] = stored["creationTimestamp"]
	}
	return v
}
