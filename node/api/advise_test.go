package api

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// TestFieldsThatDoNotGoTogetherAreNamed, also in templates.
func TestFieldsThatDoNotGoTogetherAreNamed(t *testing.T) {
	limit := resource.MustParse("1Mi")
	spec := func(medium corev1.StorageMedium, policy corev1.DNSPolicy) corev1.PodSpec {
		return corev1.PodSpec{DNSPolicy: policy, DNSConfig: &corev1.PodDNSConfig{}, Volumes: []corev1.Volume{
			{VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: medium, SizeLimit: &limit}}},
		}}
	}
	if said := advisePodSpec(&corev1.Pod{Spec: spec(corev1.StorageMediumMemory, corev1.DNSNone)}); len(said) > 0 {
		t.Errorf("it says %q", said)
	}
	d := &appsv1.Deployment{}
	d.Spec.Template.Spec = spec("", corev1.DNSDefault)
	said := strings.Join(advisePodSpec(d), "\n")
	for _, want := range []string{"volumes[0].emptyDir.sizeLimit", "dnsConfig"} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing of %s in %q", want, said)
		}
	}
}
