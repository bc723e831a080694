package api

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// TestFieldsThatDoNotGoTogetherAreNamed, also in templates.
func TestFieldsThatDoNotGoTogetherAreNamed(t *testing.T) {
	spec := func(policy corev1.DNSPolicy) corev1.PodSpec {
		return corev1.PodSpec{DNSPolicy: policy, DNSConfig: &corev1.PodDNSConfig{}}
	}
	if said := advisePodSpec(&corev1.Pod{Spec: spec(corev1.DNSNone)}); len(said) > 0 {
		t.Errorf("it says %q", said)
	}
	d := &appsv1.Deployment{}
	d.Spec.Template.Spec = spec(corev1.DNSDefault)
	if said := strings.Join(advisePodSpec(d), "\n"); !strings.Contains(said, "dnsConfig") {
		t.Errorf("nothing of dnsConfig in %q", said)
	}
}

// TestWhoCountsOnAMountedTokenIsTold, and nobody else.
func TestWhoCountsOnAMountedTokenIsTold(t *testing.T) {
	yes, no := true, false
	shown := []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{}}, {ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "t"}}},
	}}}}
	for _, c := range []struct {
		spec corev1.PodSpec
		want string
	}{
		{corev1.PodSpec{}, ""},
		{corev1.PodSpec{ServiceAccountName: "default", DeprecatedServiceAccount: "default"}, ""},
		{corev1.PodSpec{ServiceAccountName: "robot", DeprecatedServiceAccount: "robot", Volumes: shown}, ""},
		{corev1.PodSpec{ServiceAccountName: "robot", AutomountServiceAccountToken: &no}, ""},
		{corev1.PodSpec{ServiceAccountName: "robot"}, "spec.serviceAccountName: no token"},
		{corev1.PodSpec{ServiceAccountName: "robot", Volumes: shown[:0]}, "spec.serviceAccountName: no token"},
		{corev1.PodSpec{AutomountServiceAccountToken: &yes}, "spec.automountServiceAccountToken: no token"},
		{corev1.PodSpec{AutomountServiceAccountToken: &yes, Volumes: shown}, ""},
		{corev1.PodSpec{DeprecatedServiceAccount: "robot"}, "spec.serviceAccount: has no effect"},
	} {
		said := strings.Join(advisePodSpec(&corev1.Pod{Spec: c.spec}), "\n")
		if (c.want == "") != (said == "") || !strings.Contains(said, c.want) {
			t.Errorf("%+v: it says %q, want %q", c.spec, said, c.want)
		}
	}
}
