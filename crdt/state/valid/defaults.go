package valid

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Defaults are those of Kubernetes 1.35 (pkg/apis/{core,apps}/v1/defaults.go). To
// apply them twice is to apply them once, so that the same manifest is no change.

// DefaultDeployment fills in what a Deployment does not say.
func DefaultDeployment(d *appsv1.Deployment) {
	spec := &d.Spec
	setDefault(&spec.Replicas, 1)
	setDefault(&spec.RevisionHistoryLimit, 10)
	setDefault(&spec.ProgressDeadlineSeconds, 600)
	if spec.Strategy.Type == "" {
		spec.Strategy.Type = appsv1.RollingUpdateDeploymentStrategyType
	}
	if spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		if spec.Strategy.RollingUpdate == nil {
			spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{}
		}
		setDefault(&spec.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
		setDefault(&spec.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
	}
	defaultPodSpec(&spec.Template.Spec)
}

// DefaultPod fills in what only pods get, not templates: links, and requests
// from limits.
func DefaultPod(p *corev1.Pod) {
	defaultPodSpec(&p.Spec)
	setDefault(&p.Spec.EnableServiceLinks, true)
	for _, c := range allContainers(&p.Spec) {
		r := &c.Resources
		for name, limit := range r.Limits {
			if _, there := r.Requests[name]; there {
				continue
			}
			if r.Requests == nil {
				r.Requests = corev1.ResourceList{}
			}
			r.Requests[name] = limit.DeepCopy()
		}
	}
}

func defaultPodSpec(s *corev1.PodSpec) {
	orDefault(&s.DNSPolicy, corev1.DNSClusterFirst)
	orDefault(&s.RestartPolicy, corev1.RestartPolicyAlways)
	orDefault(&s.SchedulerName, corev1.DefaultSchedulerName)
	setDefault(&s.TerminationGracePeriodSeconds, int64(corev1.DefaultTerminationGracePeriodSeconds))
	setDefault(&s.SecurityContext, corev1.PodSecurityContext{})
	for _, c := range allContainers(s) {
		defaultContainer(c)
	}
	for i := range s.Volumes {
		v := &s.Volumes[i]
		if v.VolumeSource == (corev1.VolumeSource{}) {
			v.EmptyDir = &corev1.EmptyDirVolumeSource{}
		}
		if v.ConfigMap != nil {
			setDefault(&v.ConfigMap.DefaultMode, corev1.ConfigMapVolumeSourceDefaultMode)
		}
		if v.Secret != nil {
			setDefault(&v.Secret.DefaultMode, corev1.SecretVolumeSourceDefaultMode)
		}
		defaultProjections(&v.VolumeSource)
	}
}

func defaultProjections(v *corev1.VolumeSource) {
	files := func(items []corev1.DownwardAPIVolumeFile) {
		for i := range items {
			if ref := items[i].FieldRef; ref != nil {
				orDefault(&ref.APIVersion, "v1")
			}
		}
	}
	if v.HostPath != nil {
		setDefault(&v.HostPath.Type, corev1.HostPathUnset)
	}
	if v.DownwardAPI != nil {
		setDefault(&v.DownwardAPI.DefaultMode, corev1.DownwardAPIVolumeSourceDefaultMode)
		files(v.DownwardAPI.Items)
	}
	if v.Projected == nil {
		return
	}
	setDefault(&v.Projected.DefaultMode, corev1.ProjectedVolumeSourceDefaultMode)
	for _, s := range v.Projected.Sources {
		if s.DownwardAPI != nil {
			files(s.DownwardAPI.Items)
		}
		if s.ServiceAccountToken != nil {
			setDefault(&s.ServiceAccountToken.ExpirationSeconds, 60*60)
		}
	}
}

func allContainers(s *corev1.PodSpec) (all []*corev1.Container) {
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			all = append(all, &list[i])
		}
	}
	return all
}

func defaultContainer(c *corev1.Container) {
	orDefault(&c.ImagePullPolicy, defaultPullPolicy(c.Image))
	orDefault(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	orDefault(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		defaultProbe(p)
	}
	if l := c.Lifecycle; l != nil {
		for _, h := range []*corev1.LifecycleHandler{l.PostStart, l.PreStop} {
			if h != nil {
				defaultGet(h.HTTPGet)
			}
		}
	}
	for i := range c.Ports {
		orDefault(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for i := range c.Env {
		if from := c.Env[i].ValueFrom; from != nil && from.FieldRef != nil {
			orDefault(&from.FieldRef.APIVersion, "v1")
		}
	}
}

// defaultPullPolicy is Always for an image that moves (latest, or no tag at all).
func defaultPullPolicy(image string) corev1.PullPolicy {
	if strings.Contains(image, "@") {
		return corev1.PullIfNotPresent
	}
	name := image[strings.LastIndex(image, "/")+1:]
	if _, tag, tagged := strings.Cut(name, ":"); tagged && tag != "latest" {
		return corev1.PullIfNotPresent
	}
	return corev1.PullAlways
}

func setDefault[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func orDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}
