package valid

import (
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Deployment says what is wrong with a Deployment.
func Deployment(d *appsv1.Deployment) field.ErrorList {
	errs := validateMetadata(&d.ObjectMeta, true, apivalidation.NameIsDNSSubdomain)
	errs = append(errs, validatePolicies(d.Annotations)...)
	spec, at := &d.Spec, field.NewPath("spec")
	errs = append(errs, nonNegative(int64(deref(spec.Replicas)), at.Child("replicas"))...)
	errs = append(errs, nonNegative(int64(spec.MinReadySeconds), at.Child("minReadySeconds"))...)
	errs = append(errs, nonNegative(int64(deref(spec.RevisionHistoryLimit)), at.Child("revisionHistoryLimit"))...)
	if limit := deref(spec.ProgressDeadlineSeconds); limit <= spec.MinReadySeconds {
		errs = append(errs, field.Invalid(at.Child("progressDeadlineSeconds"), limit, "must be greater than minReadySeconds"))
	}
	errs = append(errs, validateSelector(spec.Selector, &spec.Template, at, "deployment")...)
	errs = append(errs, validateStrategy(&spec.Strategy, at.Child("strategy"))...)
	return append(errs, validateTemplateOf("Deployment", &spec.Template, at.Child("template"))...)
}

// DeploymentUpdate says what may not change of a Deployment.
func DeploymentUpdate(d, old *appsv1.Deployment) field.ErrorList {
	return apivalidation.ValidateImmutableField(d.Spec.Selector, old.Spec.Selector, field.NewPath("spec", "selector"))
}

func validateSelector(s *metav1.LabelSelector, template *corev1.PodTemplateSpec, at *field.Path, kind string) field.ErrorList {
	if s == nil {
		return field.ErrorList{field.Required(at.Child("selector"), "")}
	}
	if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		return field.ErrorList{field.Invalid(at.Child("selector"), s, "empty selector is invalid for "+kind)}
	}
	errs := metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, at.Child("selector"))
	if len(errs) > 0 {
		return errs
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return field.ErrorList{field.Invalid(at.Child("selector"), s, "invalid label selector")}
	}
	if !selector.Matches(labels.Set(template.Labels)) {
		return field.ErrorList{field.Invalid(at.Child("template", "metadata", "labels"), template.Labels,
			"`selector` does not match template `labels`")}
	}
	return nil
}

func validateTemplateOf(kind string, t *corev1.PodTemplateSpec, at *field.Path) field.ErrorList {
	errs := metavalidation.ValidateLabels(t.Labels, at.Child("metadata", "labels"))
	errs = append(errs, apivalidation.ValidateAnnotations(t.Annotations, at.Child("metadata", "annotations"))...)
	errs = append(errs, validatePodSpec(&t.Spec, at.Child("spec"))...)
	if p := t.Spec.RestartPolicy; p == corev1.RestartPolicyNever || p == corev1.RestartPolicyOnFailure {
		errs = append(errs, field.NotSupported(at.Child("spec", "restartPolicy"), p, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if t.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(at.Child("spec", "activeDeadlineSeconds"),
			"activeDeadlineSeconds in "+kind+" is not Supported"))
	}
	if t.Spec.NodeName != "" {
		errs = append(errs, field.Forbidden(at.Child("spec", "nodeName"),
			"holon places the pods of a "+kind+"; use nodeSelector"))
	}
	return errs
}

func validateStrategy(s *appsv1.DeploymentStrategy, at *field.Path) field.ErrorList {
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Forbidden(at.Child("rollingUpdate"),
				"may not be specified when strategy `type` is '"+string(appsv1.RecreateDeploymentStrategyType)+"'")}
		}
		return nil
	case appsv1.RollingUpdateDeploymentStrategyType:
	default:
		return field.ErrorList{field.NotSupported(at.Child("type"), s.Type, []appsv1.DeploymentStrategyType{
			appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType})}
	}
	rolling, at := s.RollingUpdate, at.Child("rollingUpdate")
	if rolling == nil {
		return field.ErrorList{field.Required(at, "this should be defaulted and never be nil")}
	}
	errs := validateShare(rolling.MaxUnavailable, at.Child("maxUnavailable"))
	errs = append(errs, validateShare(rolling.MaxSurge, at.Child("maxSurge"))...)
	unavailable, surge := share(rolling.MaxUnavailable), share(rolling.MaxSurge)
	if unavailable == 0 && surge == 0 {
		errs = append(errs, field.Invalid(at.Child("maxUnavailable"), rolling.MaxUnavailable, "may not be 0 when `maxSurge` is 0"))
	}
	if rolling.MaxUnavailable != nil && rolling.MaxUnavailable.Type == intstr.String && unavailable > 100 {
		errs = append(errs, field.Invalid(at.Child("maxUnavailable"), rolling.MaxUnavailable, "must not be greater than 100%"))
	}
	return errs
}

// validateShare checks a number of replicas or a percentage of them.
func validateShare(v *intstr.IntOrString, at *field.Path) field.ErrorList {
	if v == nil {
		return nil
	}
	if v.Type == intstr.Int {
		return nonNegative(int64(v.IntValue()), at)
	}
	var errs field.ErrorList
	for _, msg := range validation.IsValidPercent(v.StrVal) {
		errs = append(errs, field.Invalid(at, v, msg))
	}
	return errs
}

// share is the number in 3 or "3%".
func share(v *intstr.IntOrString) int {
	if v == nil {
		return 0
	}
	if v.Type == intstr.Int {
		return v.IntValue()
	}
	n, err := strconv.Atoi(strings.TrimSuffix(v.StrVal, "%"))
	if err != nil {
		return -1 // reported by validateShare
	}
	return n
}

func nonNegative(v int64, at *field.Path) field.ErrorList {
	return apivalidation.ValidateNonnegativeField(v, at)
}
