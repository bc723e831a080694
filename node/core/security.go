package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"holon/runtime"
)

// securityOf is what a pod and its container say together; the container has the last
// word.
func securityOf(pod *corev1.PodSecurityContext, container *corev1.SecurityContext) (s runtime.Security) {
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	if container == nil {
		container = &corev1.SecurityContext{}
	}
	s.User, s.Group = pod.RunAsUser, pod.RunAsGroup
	if container.RunAsUser != nil {
		s.User = container.RunAsUser
	}
	if container.RunAsGroup != nil {
		s.Group = container.RunAsGroup
	}
	for _, nonRoot := range []*bool{pod.RunAsNonRoot, container.RunAsNonRoot} {
		if nonRoot != nil {
			s.NonRoot = *nonRoot
		}
	}
	for _, profile := range []*corev1.SeccompProfile{pod.SeccompProfile, container.SeccompProfile} {
		if profile != nil {
			s.Unconfined = profile.Type == corev1.SeccompProfileTypeUnconfined
		}
	}
	s.Groups = slices.Clone(pod.SupplementalGroups)
	if g := pod.FSGroup; g != nil && !slices.Contains(s.Groups, *g) {
		s.Groups = append(s.Groups, *g)
	}
	if c := container.Capabilities; c != nil {
		s.Add, s.Drop = names(c.Add), names(c.Drop)
	}
	is := func(p *bool) bool { return p != nil && *p }
	s.Privileged, s.ReadOnlyRoot = is(container.Privileged), is(container.ReadOnlyRootFilesystem)
	s.NoNewPrivs = container.AllowPrivilegeEscalation != nil && !*container.AllowPrivilegeEscalation
	return s
}

func names(capabilities []corev1.Capability) (out []string) {
	for _, c := range capabilities {
		out = append(out, string(c))
	}
	return out
}

// shareWith opens files to the group of a pod's volumes.
func shareWith(group *int64, volumes []runtime.Volume) {
	if group == nil {
		return
	}
	for i := range volumes {
		for j := range volumes[i].Files {
			f := &volumes[i].Files[j]
			f.Mode = uint32(f.Perm()) | 0o440
		}
	}
}
