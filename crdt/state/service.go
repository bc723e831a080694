package state

import (
	"fmt"
	"hash/fnv"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"holon/crdt"
)

// Service is one name for some pods.
type Service struct {
	Key       Key
	UID       crdt.UID
	Object    map[string]any
	Conflicts []Conflict
	Spec      corev1.ServiceSpec

	selector labels.Selector
}

// DecodeService reads a Service from its record; nil if it is gone.
func DecodeService(key Key, rec *crdt.Record) (*Service, error) {
	obj, ok, err := DecodeObject(rec)
	if err != nil || !ok {
		return nil, err
	}
	var typed corev1.Service
	if err := Convert(obj.Value, &typed); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return &Service{
		Key: key, UID: obj.UID, Object: obj.Value, Conflicts: Conflicts(key, rec),
		Spec: typed.Spec, selector: labels.SelectorFromSet(typed.Spec.Selector),
	}, nil
}

// Selects reports whether pods with these labels are behind the Service. Without a
// selector none is; its endpoints would be somebody else's.
func (s *Service) Selects(of labels.Set) bool {
	return len(s.Spec.Selector) > 0 && s.Spec.Type != corev1.ServiceTypeExternalName && s.selector.Matches(of)
}

// WantsAddress: no address was asked for, and none is not what was asked for.
func (s *Service) WantsAddress() bool {
	return s.Spec.ClusterIP == "" && s.Spec.Type != corev1.ServiceTypeExternalName
}

// serviceRange is where the addresses of Services are from: the range of RFC 6598,
// which is not routed and which clusters' pods and nodes rarely use.
var serviceRange = netip.MustParsePrefix("100.64.0.0/10")

// AddressesTried bounds how many addresses are looked at for one Service. In a range of
// four million all are taken only where something is wrong.
const AddressesTried = 64

// Address is the Service's address of the n-th choice, by a hash of its name: nodes that
// have not heard of each other choose alike, and a Service that is made again has the
// address that it had.
func (s *Service) Address(n int) netip.Addr {
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%s/%d", s.Key, n) // never fails
	base := serviceRange.Addr().As4()
	host := h.Sum32() & (1<<(32-serviceRange.Bits()) - 1)
	return netip.AddrFrom4([4]byte{base[0], base[1] | byte(host>>16), byte(host >> 8), byte(host)})
}

// ServiceFace adds to a stored Service what is derived: its address, and a status.
func ServiceFace(s *Service, chosen netip.Addr) map[string]any {
	v := WithMeta(s.Key, s.UID.String(), copyObject(s.Object))
	spec := object(v, "spec")
	address := s.Spec.ClusterIP
	if chosen.IsValid() {
		address = chosen.String()
	}
	if address != "" {
		spec["clusterIP"], spec["clusterIPs"] = address, []any{address}
	}
	status := map[string]any{"loadBalancer": map[string]any{}}
	if conditions := mergeConditions(s.Conflicts, ""); len(conditions) > 0 {
		status["conditions"] = conditions
	}
	v["status"] = status
	return v
}
