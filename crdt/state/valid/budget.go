package valid

import (
	policyv1 "k8s.io/api/policy/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PodDisruptionBudget says what is wrong with a budget.
func PodDisruptionBudget(b *policyv1.PodDisruptionBudget) field.ErrorList {
	errs := validateMetadata(&b.ObjectMeta, true, apivalidation.NameIsDNSSubdomain)
	spec, at := &b.Spec, field.NewPath("spec")
	if spec.MinAvailable != nil && spec.MaxUnavailable != nil {
		errs = append(errs, field.Invalid(at, "", "minAvailable and maxUnavailable cannot be both set"))
	}
	for name, share := range map[string]*intstr.IntOrString{"minAvailable": spec.MinAvailable, "maxUnavailable": spec.MaxUnavailable} {
		errs = append(errs, validateBudgetShare(share, at.Child(name))...)
	}
	if spec.Selector != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(spec.Selector, metavalidation.LabelSelectorValidationOptions{}, at.Child("selector"))...)
	}
	if p := spec.UnhealthyPodEvictionPolicy; p != nil {
		errs = append(errs, oneOf(*p, at.Child("unhealthyPodEvictionPolicy"), policyv1.IfHealthyBudget, policyv1.AlwaysAllow)...)
	}
	return errs
}

func validateBudgetShare(v *intstr.IntOrString, at *field.Path) field.ErrorList {
	errs := validateShare(v, at)
	if v != nil && v.Type == intstr.String && len(errs) == 0 && share(v) > 100 {
		errs = append(errs, field.Invalid(at, v, "must not be greater than 100%"))
	}
	return errs
}
