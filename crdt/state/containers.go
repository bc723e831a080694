package state

import corev1 "k8s.io/api/core/v1"

// A pod's containers begin in one order: its init containers one after the other, and
// then the others at once. A plain init container has to end well before the next one
// begins; a sidecar (an init container that always restarts) has to have started, and
// runs on beside all that come after it until these have ended.

// Sidecar reports whether an init container is one.
func Sidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// Containers lists those of a pod in the order in which they begin.
func Containers(spec *corev1.PodSpec) []corev1.Container {
	if len(spec.InitContainers) == 0 {
		return spec.Containers
	}
	return append(append(make([]corev1.Container, 0, len(spec.InitContainers)+len(spec.Containers)), spec.InitContainers...), spec.Containers...)
}

// Serving lists those that run beside each other once a pod is initialized.
func Serving(spec *corev1.PodSpec) []corev1.Container {
	if len(spec.InitContainers) == 0 {
		return spec.Containers
	}
	var serving []corev1.Container
	for i := range spec.InitContainers {
		if c := &spec.InitContainers[i]; Sidecar(c) {
			serving = append(serving, *c)
		}
	}
	return append(serving, spec.Containers...)
}
