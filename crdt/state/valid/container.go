package valid

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// fieldPaths are what env.valueFrom.fieldRef may name, besides one label or annotation.
var fieldPaths = []string{
	"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
	"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
}

func validateEnv(env []corev1.EnvVar, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, e := range env {
		at := at.Index(i)
		if e.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else {
			errs = append(errs, invalids(at.Child("name"), e.Name, validation.IsRelaxedEnvVarName(e.Name))...)
		}
		if e.ValueFrom != nil {
			errs = append(errs, validateEnvSource(&e, at.Child("valueFrom"))...)
		}
	}
	return errs
}

func validateEnvSource(e *corev1.EnvVar, at *field.Path) field.ErrorList {
	from := e.ValueFrom
	switch {
	case e.Value != "":
		return field.ErrorList{field.Invalid(at, "", "may not be specified when `value` is not empty")}
	case from.FieldRef == nil && from.ResourceFieldRef == nil && from.ConfigMapKeyRef == nil && from.SecretKeyRef == nil:
		return field.ErrorList{field.Invalid(at, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`")}
	case count(from.FieldRef != nil, from.ResourceFieldRef != nil, from.ConfigMapKeyRef != nil, from.SecretKeyRef != nil) > 1:
		return field.ErrorList{field.Invalid(at, "", "may not have more than one field specified at a time")}
	case from.FieldRef != nil:
		return validateFieldRef(from.FieldRef, fieldPaths, at.Child("fieldRef"))
	case from.ResourceFieldRef != nil:
		return validateResourceRef(from.ResourceFieldRef, at.Child("resourceFieldRef"))
	}
	if ref := from.SecretKeyRef; ref != nil {
		return validateKeyRef(ref.Name, ref.Key, at.Child("secretKeyRef"))
	}
	return validateKeyRef(from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Key, at.Child("configMapKeyRef"))
}

func validateKeyRef(name, key string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	}
	if key == "" {
		return append(errs, field.Required(at.Child("key"), ""))
	}
	return append(errs, invalids(at.Child("key"), key, validation.IsConfigMapKey(key))...)
}

func count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

func validateFieldRef(ref *corev1.ObjectFieldSelector, paths []string, at *field.Path) field.ErrorList {
	if ref.APIVersion != "v1" {
		return field.ErrorList{field.NotSupported(at.Child("apiVersion"), ref.APIVersion, []string{"v1"})}
	}
	if ref.FieldPath == "" {
		return field.ErrorList{field.Required(at.Child("fieldPath"), "")}
	}
	for _, prefix := range []string{"metadata.labels['", "metadata.annotations['"} {
		if key, ok := strings.CutPrefix(ref.FieldPath, prefix); ok {
			if key, ok = strings.CutSuffix(key, "']"); ok {
				return invalids(at.Child("fieldPath"), key, validation.IsQualifiedName(strings.ToLower(key)))
			}
		}
	}
	if !slices.Contains(paths, ref.FieldPath) {
		return field.ErrorList{field.NotSupported(at.Child("fieldPath"), ref.FieldPath,
			append([]string{"metadata.labels['KEY']", "metadata.annotations['KEY']"}, paths...))}
	}
	return nil
}

func validateEnvFrom(sources []corev1.EnvFromSource, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, s := range sources {
		at := at.Index(i)
		if s.Prefix != "" {
			errs = append(errs, invalids(at.Child("prefix"), s.Prefix, validation.IsRelaxedEnvVarName(s.Prefix))...)
		}
		switch {
		case s.ConfigMapRef == nil && s.SecretRef == nil:
			errs = append(errs, field.Invalid(at, "", "must specify one of: `configMapRef` or `secretRef`"))
		case s.ConfigMapRef != nil && s.SecretRef != nil:
			errs = append(errs, field.Invalid(at, "", "may not have more than one field specified at a time"))
		case s.SecretRef != nil && s.SecretRef.Name == "":
			errs = append(errs, field.Required(at.Child("secretRef", "name"), ""))
		case s.ConfigMapRef != nil && s.ConfigMapRef.Name == "":
			errs = append(errs, field.Required(at.Child("configMapRef", "name"), ""))
		}
	}
	return errs
}

func validateResources(r *corev1.ResourceRequirements, at *field.Path) field.ErrorList {
	errs := validateQuantities(r.Limits, at.Child("limits"))
	errs = append(errs, validateQuantities(r.Requests, at.Child("requests"))...)
	for name, request := range r.Requests {
		if limit, there := r.Limits[name]; there && request.Cmp(limit) > 0 {
			errs = append(errs, field.Invalid(at.Child("requests"), request.String(),
				"must be less than or equal to "+string(name)+" limit of "+limit.String()))
		}
	}
	return errs
}

func validateQuantities(list corev1.ResourceList, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for name, q := range list {
		if q.Cmp(resource.Quantity{}) < 0 {
			errs = append(errs, field.Invalid(at.Key(string(name)), q.String(), "must be greater than or equal to 0"))
		}
	}
	return errs
}
