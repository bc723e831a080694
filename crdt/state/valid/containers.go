package valid

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// containerValidator knows what the containers of a pod share.
type containerValidator struct {
	names   sets.Set[string]
	volumes sets.Set[string]
	grace   int64 // the pod's, in seconds
}

func (v *containerValidator) mains(containers []corev1.Container, at *field.Path) field.ErrorList {
	if len(containers) == 0 {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	hostPorts := sets.New[string]()
	for i := range containers {
		c, at := &containers[i], at.Index(i)
		errs = append(errs, v.container(c, hostPorts, at)...)
		errs = append(errs, validateProbes(c, at)...)
		errs = append(errs, v.lifecycle(c.Lifecycle, at.Child("lifecycle"))...)
	}
	return errs
}

// inits validates init containers. A plain one runs by itself, so its ports are only its
// own; and it ends, so that nothing is to be asked or told of it.
func (v *containerValidator) inits(containers []corev1.Container, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range containers {
		c, at := &containers[i], at.Index(i)
		errs = append(errs, v.container(c, sets.New[string](), at)...)
		switch {
		case c.RestartPolicy == nil:
			for _, f := range []struct {
				name string
				set  bool
			}{
				{"lifecycle", c.Lifecycle != nil}, {"livenessProbe", c.LivenessProbe != nil},
				{"readinessProbe", c.ReadinessProbe != nil}, {"startupProbe", c.StartupProbe != nil},
			} {
				if f.set {
					errs = append(errs, field.Forbidden(at.Child(f.name), "may not be set for init containers without restartPolicy=Always"))
				}
			}
		case *c.RestartPolicy != corev1.ContainerRestartPolicyAlways:
			errs = append(errs, field.NotSupported(at.Child("restartPolicy"), *c.RestartPolicy, []corev1.ContainerRestartPolicy{corev1.ContainerRestartPolicyAlways}))
		default:
			errs = append(errs, validateProbes(c, at)...)
			errs = append(errs, v.lifecycle(c.Lifecycle, at.Child("lifecycle"))...)
		}
	}
	return errs
}

func (v *containerValidator) container(c *corev1.Container, hostPorts sets.Set[string], at *field.Path) (errs field.ErrorList) {
	switch {
	case c.Name == "":
		errs = append(errs, field.Required(at.Child("name"), ""))
	case v.names.Has(c.Name):
		errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
	default:
		errs = append(errs, invalids(at.Child("name"), c.Name, validation.IsDNS1123Label(c.Name))...)
	}
	v.names.Insert(c.Name)
	errs = append(errs, validateImage(c, at)...)
	errs = append(errs, oneOf(c.TerminationMessagePolicy, at.Child("terminationMessagePolicy"),
		corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)...)
	errs = append(errs, validatePorts(c.Ports, hostPorts, at.Child("ports"))...)
	errs = append(errs, validateEnv(c.Env, at.Child("env"))...)
	errs = append(errs, validateEnvFrom(c.EnvFrom, at.Child("envFrom"))...)
	errs = append(errs, validateMounts(c.VolumeMounts, v.volumes, at.Child("volumeMounts"))...)
	errs = append(errs, validateSecurity(c.SecurityContext, at.Child("securityContext"))...)
	return append(errs, validateResources(&c.Resources, at.Child("resources"))...)
}

func (v *containerValidator) lifecycle(l *corev1.Lifecycle, at *field.Path) field.ErrorList {
	if l == nil {
		return nil
	}
	return append(v.hook(l.PostStart, at.Child("postStart")), v.hook(l.PreStop, at.Child("preStop"))...)
}

func (v *containerValidator) hook(h *corev1.LifecycleHandler, at *field.Path) field.ErrorList {
	switch {
	case h == nil:
		return nil
	case h.Sleep == nil:
		return validateHandler(&corev1.ProbeHandler{Exec: h.Exec, HTTPGet: h.HTTPGet, TCPSocket: h.TCPSocket}, at)
	case h.Exec != nil || h.HTTPGet != nil || h.TCPSocket != nil:
		return field.ErrorList{field.Forbidden(at, "may not specify more than 1 handler type")}
	}
	if s := h.Sleep.Seconds; s < 0 || s > v.grace {
		return field.ErrorList{field.Invalid(at.Child("sleep"), s, fmt.Sprintf("must be non-negative and less than terminationGracePeriodSeconds (%d)", v.grace))}
	}
	return nil
}
