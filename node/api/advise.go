package api

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"holon/crdt/state/valid"
)

// advisePodSpec names the fields of pods whose effect depends on another field that does
// not go with them.
func advisePodSpec(obj runtime.Object) (advice []string) {
	spec := podSpecOf(obj)
	if spec == nil {
		return nil
	}
	for i := range spec.Volumes {
		if e := spec.Volumes[i].EmptyDir; e != nil && e.SizeLimit != nil && e.Medium != corev1.StorageMediumMemory {
			advice = append(advice, fmt.Sprintf("spec.volumes[%d].emptyDir.sizeLimit: not enforced on disk, only with medium Memory", i))
		}
	}
	if spec.DNSConfig != nil && spec.DNSPolicy != corev1.DNSNone {
		advice = append(advice, "spec.dnsConfig: not applied without dnsPolicy None: the pod uses the resolver of its node")
	}
	return advice
}

// podSpecOf is the spec of a pod, or of the pods of a workload; nil for others.
func podSpecOf(obj runtime.Object) *corev1.PodSpec {
	if p, ok := obj.(*corev1.Pod); ok {
		return &p.Spec
	}
	if t := valid.TemplateOf(obj); t != nil {
		return &t.Spec
	}
	return nil
}
