package api

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"holon/crdt/state"
	"holon/crdt/state/valid"
)

// advisePodSpec names the fields of pods whose effect depends on another field that does
// not go with them.
func advisePodSpec(obj runtime.Object) (advice []string) {
	spec := podSpecOf(obj)
	if spec == nil {
		return nil
	}
	if spec.DNSConfig != nil && spec.DNSPolicy != corev1.DNSNone {
		advice = append(advice, "spec.dnsConfig: not applied without dnsPolicy None: the pod uses the resolver of its node")
	}
	return append(advice, adviseTokens(spec)...)
}

// adviseTokens tells who counts on a token that Kubernetes would mount, as no volume of the
// pod shows one.
func adviseTokens(spec *corev1.PodSpec) (advice []string) {
	if old := spec.DeprecatedServiceAccount; old != "" && old != cmp.Or(spec.ServiceAccountName, state.DefaultAccount) {
		advice = append(advice, "spec.serviceAccount: has no effect; use serviceAccountName")
	}
	wish := "serviceAccountName"
	auto := spec.AutomountServiceAccountToken
	switch {
	case auto != nil && *auto:
		wish = "automountServiceAccountToken"
	case auto != nil || cmp.Or(spec.ServiceAccountName, state.DefaultAccount) == state.DefaultAccount:
		return advice
	}
	for i := range spec.Volumes {
		if p := spec.Volumes[i].Projected; p != nil && slices.ContainsFunc(p.Sources, func(s corev1.VolumeProjection) bool { return s.ServiceAccountToken != nil }) {
			return advice
		}
	}
	return append(advice, "spec."+wish+": no token is mounted by itself: ask for a projected volume with a serviceAccountToken, and mount it")
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
