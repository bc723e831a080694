package valid

import (
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validatePodSecurity(s *corev1.PodSecurityContext, at *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	errs := validateID(s.RunAsUser, at.Child("runAsUser"))
	errs = append(errs, validateID(s.RunAsGroup, at.Child("runAsGroup"))...)
	errs = append(errs, validateID(s.FSGroup, at.Child("fsGroup"))...)
	for i := range s.SupplementalGroups {
		errs = append(errs, validateID(&s.SupplementalGroups[i], at.Child("supplementalGroups").Index(i))...)
	}
	if p := s.FSGroupChangePolicy; p != nil {
		errs = append(errs, oneOf(*p, at.Child("fsGroupChangePolicy"), corev1.FSGroupChangeAlways, corev1.FSGroupChangeOnRootMismatch)...)
	}
	if p := s.SupplementalGroupsPolicy; p != nil {
		errs = append(errs, oneOf(*p, at.Child("supplementalGroupsPolicy"), corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict)...)
	}
	return append(errs, validateSeccomp(s.SeccompProfile, at.Child("seccompProfile"))...)
}

func validateSecurity(s *corev1.SecurityContext, at *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	errs := validateID(s.RunAsUser, at.Child("runAsUser"))
	errs = append(errs, validateID(s.RunAsGroup, at.Child("runAsGroup"))...)
	errs = append(errs, validateSeccomp(s.SeccompProfile, at.Child("seccompProfile"))...)
	if p := s.ProcMount; p != nil {
		errs = append(errs, oneOf(*p, at.Child("procMount"), corev1.DefaultProcMount, corev1.UnmaskedProcMount)...)
	}
	if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation {
		return errs
	}
	if deref(s.Privileged) {
		errs = append(errs, field.Invalid(at, s, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"))
	}
	if s.Capabilities != nil {
		for _, c := range s.Capabilities.Add {
			if name := strings.ToUpper(string(c)); name == "CAP_SYS_ADMIN" {
				errs = append(errs, field.Invalid(at, s, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"))
			}
		}
	}
	return errs
}

func validateID(id *int64, at *field.Path) field.ErrorList {
	if n := deref(id); n < 0 || n > math.MaxInt32 {
		return field.ErrorList{field.Invalid(at, n, "must be between 0 and 2147483647, inclusive")}
	}
	return nil
}

func validateSeccomp(p *corev1.SeccompProfile, at *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := oneOf(p.Type, at.Child("type"), corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)
	switch local := p.Type == corev1.SeccompProfileTypeLocalhost; {
	case local && deref(p.LocalhostProfile) == "":
		errs = append(errs, field.Required(at.Child("localhostProfile"), "must be set when seccomp type is Localhost"))
	case !local && p.LocalhostProfile != nil:
		errs = append(errs, field.Invalid(at.Child("localhostProfile"), *p.LocalhostProfile, "can only be set when seccomp type is Localhost"))
	}
	return errs
}
