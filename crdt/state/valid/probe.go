package valid

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func defaultProbe(p *corev1.Probe) {
	if p == nil {
		return
	}
	orDefault(&p.TimeoutSeconds, 1)
	orDefault(&p.PeriodSeconds, 10)
	orDefault(&p.SuccessThreshold, 1)
	orDefault(&p.FailureThreshold, 3)
	defaultGet(p.HTTPGet)
	if p.GRPC != nil && p.GRPC.Service == nil {
		p.GRPC.Service = new(string)
	}
}

func defaultGet(get *corev1.HTTPGetAction) {
	if get != nil {
		orDefault(&get.Path, "/")
		orDefault(&get.Scheme, corev1.URISchemeHTTP)
	}
}

func validateProbes(c *corev1.Container, at *field.Path) field.ErrorList {
	errs := validateProbe(c.StartupProbe, false, at.Child("startupProbe"))
	errs = append(errs, validateProbe(c.LivenessProbe, false, at.Child("livenessProbe"))...)
	return append(errs, validateProbe(c.ReadinessProbe, true, at.Child("readinessProbe"))...)
}

// validateProbe judges a probe. Only readiness can come back: of the others one
// success decides, and a failure ends the container, for which they may have a grace
// period of their own.
func validateProbe(p *corev1.Probe, readiness bool, at *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := validateHandler(&p.ProbeHandler, at)
	for _, f := range []struct {
		name  string
		value int32
	}{
		{"initialDelaySeconds", p.InitialDelaySeconds}, {"timeoutSeconds", p.TimeoutSeconds}, {"periodSeconds", p.PeriodSeconds},
		{"successThreshold", p.SuccessThreshold}, {"failureThreshold", p.FailureThreshold},
	} {
		errs = append(errs, nonNegative(int64(f.value), at.Child(f.name))...)
	}
	grace := p.TerminationGracePeriodSeconds
	switch {
	case readiness && grace != nil:
		errs = append(errs, field.Invalid(at.Child("terminationGracePeriodSeconds"), *grace, "must not be set for readinessProbes"))
	case grace != nil && *grace <= 0:
		errs = append(errs, field.Invalid(at.Child("terminationGracePeriodSeconds"), *grace, "must be greater than 0"))
	}
	if !readiness && p.SuccessThreshold != 1 {
		errs = append(errs, field.Invalid(at.Child("successThreshold"), p.SuccessThreshold, "must be 1"))
	}
	return errs
}

func validateHandler(h *corev1.ProbeHandler, at *field.Path) field.ErrorList {
	switch count(h.Exec != nil, h.HTTPGet != nil, h.TCPSocket != nil, h.GRPC != nil) {
	case 0:
		return field.ErrorList{field.Required(at, "must specify a handler type")}
	case 1:
	default:
		return field.ErrorList{field.Forbidden(at, "may not specify more than 1 handler type")}
	}
	switch {
	case h.Exec != nil && len(h.Exec.Command) == 0:
		return field.ErrorList{field.Required(at.Child("exec", "command"), "")}
	case h.TCPSocket != nil:
		return validateProbePort(h.TCPSocket.Port, at.Child("tcpSocket", "port"))
	case h.GRPC != nil:
		return validateProbePort(intstr.FromInt32(h.GRPC.Port), at.Child("grpc", "port"))
	case h.HTTPGet != nil:
		return validateGet(h.HTTPGet, at.Child("httpGet"))
	}
	return nil
}

func validateGet(get *corev1.HTTPGetAction, at *field.Path) field.ErrorList {
	errs := validateProbePort(get.Port, at.Child("port"))
	if get.Path == "" {
		errs = append(errs, field.Required(at.Child("path"), ""))
	}
	errs = append(errs, oneOf(get.Scheme, at.Child("scheme"), corev1.URISchemeHTTP, corev1.URISchemeHTTPS)...)
	for i, h := range get.HTTPHeaders {
		errs = append(errs, invalids(at.Child("httpHeaders").Index(i).Child("name"), h.Name, validation.IsHTTPHeaderName(h.Name))...)
		if strings.ContainsAny(h.Value, "\r\n\x00") {
			errs = append(errs, field.Invalid(at.Child("httpHeaders").Index(i).Child("value"), h.Value, "must be one line"))
		}
	}
	return errs
}

func validateProbePort(port intstr.IntOrString, at *field.Path) field.ErrorList {
	if port.Type == intstr.String {
		return invalids(at, port.StrVal, validation.IsValidPortName(port.StrVal))
	}
	return invalids(at, port.IntVal, validation.IsValidPortNum(int(port.IntVal)))
}
