package valid

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Role says what is wrong with a role.
func Role(r *rbacv1.Role) field.ErrorList {
	return append(validateMetadata(&r.ObjectMeta, true, path.ValidatePathSegmentName), policyRules(r.Rules, true)...)
}

// ClusterRole says what is wrong with a role of the whole cluster.
func ClusterRole(r *rbacv1.ClusterRole) field.ErrorList {
	return append(validateMetadata(&r.ObjectMeta, false, path.ValidatePathSegmentName), policyRules(r.Rules, false)...)
}

func policyRules(rules []rbacv1.PolicyRule, namespaced bool) (errs field.ErrorList) {
	for i, rule := range rules {
		at := field.NewPath("rules").Index(i)
		if len(rule.Verbs) == 0 {
			errs = append(errs, field.Required(at.Child("verbs"), "verbs must contain at least one value"))
		}
		if len(rule.NonResourceURLs) > 0 {
			if namespaced {
				errs = append(errs, field.Invalid(at.Child("nonResourceURLs"), rule.NonResourceURLs, "namespaced rules cannot apply to non-resource URLs"))
			}
			if len(rule.APIGroups)+len(rule.Resources)+len(rule.ResourceNames) > 0 {
				errs = append(errs, field.Invalid(at.Child("nonResourceURLs"), rule.NonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs"))
			}
			continue
		}
		if len(rule.APIGroups) == 0 {
			errs = append(errs, field.Required(at.Child("apiGroups"), "resource rules must supply at least one api group"))
		}
		if len(rule.Resources) == 0 {
			errs = append(errs, field.Required(at.Child("resources"), "resource rules must supply at least one resource"))
		}
	}
	return errs
}

// DefaultRoleBinding and DefaultClusterRoleBinding fill in what Kubernetes does.
func DefaultRoleBinding(b *rbacv1.RoleBinding) { defaultBinding(&b.RoleRef, b.Subjects) }

func DefaultClusterRoleBinding(b *rbacv1.ClusterRoleBinding) { defaultBinding(&b.RoleRef, b.Subjects) }

func defaultBinding(ref *rbacv1.RoleRef, subjects []rbacv1.Subject) {
	if ref.APIGroup == "" {
		ref.APIGroup = rbacv1.GroupName
	}
	for i := range subjects {
		if s := &subjects[i]; s.APIGroup == "" && (s.Kind == rbacv1.UserKind || s.Kind == rbacv1.GroupKind) {
			s.APIGroup = rbacv1.GroupName
		}
	}
}

// RoleBinding says what is wrong with a binding in a namespace.
func RoleBinding(b *rbacv1.RoleBinding) field.ErrorList {
	errs := validateMetadata(&b.ObjectMeta, true, path.ValidatePathSegmentName)
	errs = append(errs, roleRef(b.RoleRef, "Role", "ClusterRole")...)
	return append(errs, subjects(b.Subjects, true)...)
}

// ClusterRoleBinding says what is wrong with a binding in the whole cluster.
func ClusterRoleBinding(b *rbacv1.ClusterRoleBinding) field.ErrorList {
	errs := validateMetadata(&b.ObjectMeta, false, path.ValidatePathSegmentName)
	errs = append(errs, roleRef(b.RoleRef, "ClusterRole")...)
	return append(errs, subjects(b.Subjects, false)...)
}

func roleRef(ref rbacv1.RoleRef, kinds ...string) (errs field.ErrorList) {
	at := field.NewPath("roleRef")
	errs = append(errs, oneOf(ref.APIGroup, at.Child("apiGroup"), rbacv1.GroupName)...)
	errs = append(errs, oneOf(ref.Kind, at.Child("kind"), kinds...)...)
	if ref.Name == "" {
		return append(errs, field.Required(at.Child("name"), ""))
	}
	for _, msg := range path.ValidatePathSegmentName(ref.Name, false) {
		errs = append(errs, field.Invalid(at.Child("name"), ref.Name, msg))
	}
	return errs
}

func subjects(list []rbacv1.Subject, namespaced bool) (errs field.ErrorList) {
	for i, s := range list {
		at := field.NewPath("subjects").Index(i)
		if s.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		}
		switch s.Kind {
		case rbacv1.UserKind, rbacv1.GroupKind:
			errs = append(errs, oneOf(s.APIGroup, at.Child("apiGroup"), rbacv1.GroupName)...)
		case rbacv1.ServiceAccountKind:
			if s.APIGroup != "" {
				errs = append(errs, field.NotSupported(at.Child("apiGroup"), s.APIGroup, []string{""}))
			}
			if s.Namespace == "" && !namespaced {
				errs = append(errs, field.Required(at.Child("namespace"), ""))
			}
		default:
			errs = append(errs, field.NotSupported(at.Child("kind"), s.Kind, []string{rbacv1.ServiceAccountKind, rbacv1.UserKind, rbacv1.GroupKind}))
		}
	}
	return errs
}

const cannotChangeRef = "cannot change roleRef"

// RoleBindingUpdate and ClusterRoleBindingUpdate keep what a binding refers to: who may edit
// it may not thereby hand out another role.
func RoleBindingUpdate(b, old *rbacv1.RoleBinding) field.ErrorList {
	return keepRef(b.RoleRef, old.RoleRef)
}

func ClusterRoleBindingUpdate(b, old *rbacv1.ClusterRoleBinding) field.ErrorList {
	return keepRef(b.RoleRef, old.RoleRef)
}

func keepRef(ref, old rbacv1.RoleRef) field.ErrorList {
	if ref == old {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("roleRef"), ref, cannotChangeRef)}
}
