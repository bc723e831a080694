package valid

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestSecurity(t *testing.T) {
	no, yes, negative, local := false, true, int64(-1), "x.json"
	for _, c := range []struct {
		what      string
		pod       corev1.PodSecurityContext
		container corev1.SecurityContext
		want      string
	}{
		{"nothing", corev1.PodSecurityContext{}, corev1.SecurityContext{}, ""},
		{"restricted", corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: "RuntimeDefault"}},
			corev1.SecurityContext{AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}, ""},
		{"a user", corev1.PodSecurityContext{RunAsUser: &negative}, corev1.SecurityContext{}, "securityContext.runAsUser: Invalid"},
		{"a group", corev1.PodSecurityContext{}, corev1.SecurityContext{RunAsGroup: &negative}, "containers[0].securityContext.runAsGroup: Invalid"},
		{"more groups", corev1.PodSecurityContext{SupplementalGroups: []int64{1, -1}}, corev1.SecurityContext{}, "supplementalGroups[1]: Invalid"},
		{"a profile", corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: "None"}}, corev1.SecurityContext{}, "seccompProfile.type: Unsupported"},
		{"no profile", corev1.PodSecurityContext{}, corev1.SecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: "Localhost"}}, "localhostProfile: Required"},
		{"a file too many", corev1.PodSecurityContext{}, corev1.SecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: "Unconfined", LocalhostProfile: &local}}, "localhostProfile: Invalid"},
		{"both", corev1.PodSecurityContext{}, corev1.SecurityContext{AllowPrivilegeEscalation: &no, Privileged: &yes}, "`privileged` to true"},
		{"as good as both", corev1.PodSecurityContext{}, corev1.SecurityContext{AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"CAP_SYS_ADMIN"}}}, "CAP_SYS_ADMIN"},
	} {
		p := podWith(corev1.VolumeSource{}, nil)
		p.Spec.SecurityContext, p.Spec.Containers[0].SecurityContext = &c.pod, &c.container
		says(t, c.what, p, c.want)
	}
}
