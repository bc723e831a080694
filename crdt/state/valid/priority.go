package valid

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Kubernetes keeps names and values above these for itself.
const (
	systemClassPrefix   = "system-"
	userPriorityHighest = 1000000000
)

// PriorityClass says what is wrong with a class.
func PriorityClass(c *schedulingv1.PriorityClass) field.ErrorList {
	errs := validateMetadata(&c.ObjectMeta, false, apivalidation.NameIsDNSSubdomain)
	if strings.HasPrefix(c.Name, systemClassPrefix) {
		errs = append(errs, field.Forbidden(field.NewPath("metadata", "name"), fmt.Sprintf("priority class names with '%s' prefix are reserved for system use only", systemClassPrefix)))
	}
	if c.Value > userPriorityHighest {
		errs = append(errs, field.Forbidden(field.NewPath("value"), fmt.Sprintf("maximum allowed value of a user defined priority is %d", userPriorityHighest)))
	}
	if p := c.PreemptionPolicy; p != nil {
		errs = append(errs, oneOf(*p, field.NewPath("preemptionPolicy"), corev1.PreemptLowerPriority, corev1.PreemptNever)...)
	}
	return errs
}

// PriorityClassUpdate lets a class keep its value: pods were placed by it.
func PriorityClassUpdate(c, old *schedulingv1.PriorityClass) field.ErrorList {
	if c.Value == old.Value {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("value"), "may not be changed in an update.")}
}
