package valid

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// DefaultService completes a Service as Kubernetes does.
func DefaultService(s *corev1.Service) {
	if s.Spec.Type == "" {
		s.Spec.Type = corev1.ServiceTypeClusterIP
	}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		if p.TargetPort == (intstr.IntOrString{}) {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
}

// Service says what is wrong with a service.
func Service(s *corev1.Service) field.ErrorList {
	errs := validateMetadata(&s.ObjectMeta, true, apivalidation.NameIsDNS1035Label)
	at := field.NewPath("spec")
	switch s.Spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		if len(s.Spec.Ports) == 0 && s.Spec.ClusterIP != corev1.ClusterIPNone {
			errs = append(errs, field.Required(at.Child("ports"), ""))
		}
	case corev1.ServiceTypeExternalName:
		for _, msg := range validation.IsDNS1123Subdomain(s.Spec.ExternalName) {
			errs = append(errs, field.Invalid(at.Child("externalName"), s.Spec.ExternalName, msg))
		}
	default:
		errs = append(errs, field.NotSupported(at.Child("type"), s.Spec.Type, []corev1.ServiceType{
			corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort,
		}))
	}
	errs = append(errs, servicePorts(s.Spec.Ports, at.Child("ports"))...)
	for k, v := range s.Spec.Selector {
		for _, msg := range append(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)...) {
			errs = append(errs, field.Invalid(at.Child("selector"), fmt.Sprintf("%s=%s", k, v), msg))
		}
	}
	return errs
}

func servicePorts(ports []corev1.ServicePort, list *field.Path) (errs field.ErrorList) {
	names, numbers := map[string]bool{}, map[string]bool{}
	for i, p := range ports {
		at := list.Index(i)
		invalid := func(child string, value any, messages []string) {
			for _, msg := range messages {
				errs = append(errs, field.Invalid(at.Child(child), value, msg))
			}
		}
		switch {
		case p.Name == "" && len(ports) > 1:
			errs = append(errs, field.Required(at.Child("name"), ""))
		case names[p.Name]:
			errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
		case p.Name != "":
			invalid("name", p.Name, validation.IsDNS1123Label(p.Name))
		}
		names[p.Name] = p.Name != ""
		invalid("port", p.Port, validation.IsValidPortNum(int(p.Port)))
		switch p.Protocol {
		case corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP:
		default:
			errs = append(errs, field.NotSupported(at.Child("protocol"), p.Protocol, []corev1.Protocol{corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP}))
		}
		if p.TargetPort.Type == intstr.Int {
			invalid("targetPort", p.TargetPort.IntValue(), validation.IsValidPortNum(p.TargetPort.IntValue()))
		} else {
			invalid("targetPort", p.TargetPort.StrVal, validation.IsValidPortName(p.TargetPort.StrVal))
		}
		number := fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		if numbers[number] {
			errs = append(errs, field.Duplicate(at, number))
		}
		numbers[number] = true
	}
	return errs
}

// ServiceAccount says what is wrong with a service account.
func ServiceAccount(s *corev1.ServiceAccount) field.ErrorList {
	return validateMetadata(&s.ObjectMeta, true, apivalidation.NameIsDNSSubdomain)
}
