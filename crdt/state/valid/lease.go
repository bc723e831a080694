package valid

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Lease says what is wrong with a lease.
func Lease(l *coordinationv1.Lease) field.ErrorList {
	errs := validateMetadata(&l.ObjectMeta, true, apivalidation.NameIsDNSSubdomain)
	at := field.NewPath("spec")
	if d := l.Spec.LeaseDurationSeconds; d != nil && *d <= 0 {
		errs = append(errs, field.Invalid(at.Child("leaseDurationSeconds"), *d, "must be greater than 0"))
	}
	if n := l.Spec.LeaseTransitions; n != nil && *n < 0 {
		errs = append(errs, field.Invalid(at.Child("leaseTransitions"), *n, "must be greater than or equal to 0"))
	}
	if h := l.Spec.HolderIdentity; h != nil && *h == "" && l.Spec.Strategy != nil {
		errs = append(errs, field.Invalid(at.Child("holderIdentity"), *h, "must not be empty"))
	}
	return errs
}
