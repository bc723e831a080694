package valid

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateOneKind wants at most one kind of volume, and names the second one.
func validateOneKind(v *corev1.VolumeSource, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	found := 0
	for _, kind := range []struct {
		name  string
		there bool
	}{
		{"emptyDir", v.EmptyDir != nil}, {"hostPath", v.HostPath != nil}, {"persistentVolumeClaim", v.PersistentVolumeClaim != nil},
		{"configMap", v.ConfigMap != nil}, {"secret", v.Secret != nil}, {"downwardAPI", v.DownwardAPI != nil}, {"projected", v.Projected != nil},
	} {
		if !kind.there {
			continue
		}
		if found++; found > 1 {
			errs = append(errs, field.Forbidden(at.Child(kind.name), "may not specify more than 1 volume type"))
		}
	}
	return errs
}

// validateProjections checks what shows fields of the pod, or several objects, as files.
func validateProjections(v *corev1.VolumeSource, at *field.Path) field.ErrorList {
	errs := validateHostPath(v.HostPath, at.Child("hostPath"))
	if e := v.EmptyDir; e != nil {
		at := at.Child("emptyDir")
		if e.Medium != "" {
			errs = append(errs, oneOf(e.Medium, at.Child("medium"), corev1.StorageMediumDefault, corev1.StorageMediumMemory)...)
		}
		if e.SizeLimit != nil && e.SizeLimit.Sign() < 0 {
			errs = append(errs, field.Forbidden(at.Child("sizeLimit"), "SizeLimit field must be a valid resource quantity"))
		}
	}
	if d := v.DownwardAPI; d != nil {
		at := at.Child("downwardAPI")
		errs = append(errs, validateMode(d.DefaultMode, at.Child("defaultMode"))...)
		errs = append(errs, validateDownwardFiles(d.Items, at.Child("items"))...)
	}
	p := v.Projected
	if p == nil {
		return errs
	}
	errs = append(errs, validateMode(p.DefaultMode, at.Child("projected", "defaultMode"))...)
	paths := sets.New[string]()
	for i := range p.Sources {
		s, at := &p.Sources[i], at.Child("projected", "sources").Index(i)
		switch n := count(s.ConfigMap != nil, s.Secret != nil, s.DownwardAPI != nil, s.ServiceAccountToken != nil, s.ClusterTrustBundle != nil, s.PodCertificate != nil); {
		case n == 0:
			errs = append(errs, field.Required(at, "specify a volume type to project"))
			continue
		case n > 1:
			errs = append(errs, field.Forbidden(at, "may not specify more than 1 volume type per source"))
		}
		var named []string
		if c := s.ConfigMap; c != nil {
			errs = append(errs, validateFiles(c.Name, at.Child("configMap", "name"), nil, c.Items, at.Child("configMap"))...)
			named = pathsOf(c.Items)
		}
		if c := s.Secret; c != nil {
			errs = append(errs, validateFiles(c.Name, at.Child("secret", "name"), nil, c.Items, at.Child("secret"))...)
			named = append(named, pathsOf(c.Items)...)
		}
		if d := s.DownwardAPI; d != nil {
			errs = append(errs, validateDownwardFiles(d.Items, at.Child("downwardAPI", "items"))...)
			for _, item := range d.Items {
				named = append(named, item.Path)
			}
		}
		if t := s.ServiceAccountToken; t != nil {
			errs = append(errs, validateToken(t, at.Child("serviceAccountToken"))...)
			named = append(named, t.Path)
		}
		for _, path := range named {
			if paths.Has(path) {
				errs = append(errs, field.Invalid(at, path, "conflicting duplicate paths"))
			}
			paths.Insert(path)
		}
	}
	return errs
}

var hostPathTypes = []corev1.HostPathType{
	corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate, corev1.HostPathDirectory, corev1.HostPathFileOrCreate, corev1.HostPathFile,
	corev1.HostPathSocket, corev1.HostPathCharDev, corev1.HostPathBlockDev,
}

func validateHostPath(h *corev1.HostPathVolumeSource, at *field.Path) field.ErrorList {
	if h == nil {
		return nil
	}
	var errs field.ErrorList
	switch {
	case h.Path == "":
		errs = append(errs, field.Required(at.Child("path"), ""))
	case slices.Contains(strings.Split(h.Path, "/"), ".."):
		errs = append(errs, field.Invalid(at.Child("path"), h.Path, "must not contain '..'"))
	case h.Path[0] != '/': // Kubernetes leaves it to the runtime
		errs = append(errs, field.Invalid(at.Child("path"), h.Path, "must be an absolute path"))
	}
	if t := h.Type; t != nil && !slices.Contains(hostPathTypes, *t) {
		errs = append(errs, field.NotSupported(at.Child("type"), *t, hostPathTypes))
	}
	return errs
}

// Bounds of a token's life, in seconds, as in Kubernetes.
const (
	tokenLifeMin = 10 * 60
	tokenLifeMax = 1 << 32
)

func validateToken(t *corev1.ServiceAccountTokenProjection, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s := t.ExpirationSeconds; s != nil && *s < tokenLifeMin {
		errs = append(errs, field.Invalid(at.Child("expirationSeconds"), *s, "may not specify a duration less than 10 minutes"))
	} else if s != nil && *s > tokenLifeMax {
		errs = append(errs, field.Invalid(at.Child("expirationSeconds"), *s, "may not specify a duration larger than 2^32 seconds"))
	}
	if t.Path == "" {
		return append(errs, field.Required(at.Child("path"), ""))
	}
	return append(errs, validateRelative(t.Path, at.Child("path"))...)
}

func pathsOf(items []corev1.KeyToPath) (paths []string) {
	for _, item := range items {
		paths = append(paths, item.Path)
	}
	return paths
}

// fileFieldPaths are what a file of the downward API may name, besides one label or
// annotation: what is known before the pod has an address.
var fileFieldPaths = []string{"metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"}

func validateDownwardFiles(items []corev1.DownwardAPIVolumeFile, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range items {
		item, at := &items[i], at.Index(i)
		if item.Path == "" {
			errs = append(errs, field.Required(at.Child("path"), ""))
		} else {
			errs = append(errs, validateRelative(item.Path, at.Child("path"))...)
		}
		switch {
		case item.FieldRef != nil && item.ResourceFieldRef != nil:
			errs = append(errs, field.Invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
		case item.FieldRef != nil:
			errs = append(errs, validateFieldRef(item.FieldRef, fileFieldPaths, at.Child("fieldRef"))...)
		case item.ResourceFieldRef != nil:
			if item.ResourceFieldRef.ContainerName == "" {
				errs = append(errs, field.Required(at.Child("resourceFieldRef", "containerName"), ""))
			}
			errs = append(errs, validateResourceRef(item.ResourceFieldRef, at.Child("resourceFieldRef"))...)
		default:
			errs = append(errs, field.Required(at.Child("fieldRef"), "one of fieldRef and resourceFieldRef is required"))
		}
		errs = append(errs, validateMode(item.Mode, at.Child("mode"))...)
	}
	return errs
}

// Divisors that a resource may be shown in, as in Kubernetes.
var (
	resourcePaths  = []string{"limits.cpu", "limits.memory", "requests.cpu", "requests.memory"}
	cpuDivisors    = []string{"1m", "1"}
	memoryDivisors = []string{"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}
)

func validateResourceRef(ref *corev1.ResourceFieldSelector, at *field.Path) field.ErrorList {
	switch {
	case ref.Resource == "":
		return field.ErrorList{field.Required(at.Child("resource"), "")}
	case !slices.Contains(resourcePaths, ref.Resource):
		return field.ErrorList{field.NotSupported(at.Child("resource"), ref.Resource, resourcePaths)}
	case ref.Divisor.IsZero():
		return nil
	}
	units := memoryDivisors
	if ref.Resource == "limits.cpu" || ref.Resource == "requests.cpu" {
		units = cpuDivisors
	}
	if !slices.ContainsFunc(units, func(u string) bool { return ref.Divisor.Cmp(resource.MustParse(u)) == 0 }) {
		return field.ErrorList{field.NotSupported(at.Child("divisor"), ref.Divisor.String(), units)}
	}
	return nil
}
