package valid

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// LocalClass is the one StorageClass that there is.
const LocalClass = "local"

// DefaultClaim fills in what a PersistentVolumeClaim does not say.
func DefaultClaim(c *corev1.PersistentVolumeClaim) {
	setDefault(&c.Spec.StorageClassName, LocalClass)
	setDefault(&c.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
}

// Claim says what is wrong with a PersistentVolumeClaim.
func Claim(c *corev1.PersistentVolumeClaim) field.ErrorList {
	errs := validateMetadata(&c.ObjectMeta, true, apivalidation.NameIsDNSSubdomain)
	return append(errs, validateClaimSpec(&c.Spec, field.NewPath("spec"))...)
}

// otherModes say why a mode of access is refused.
var otherModes = map[corev1.PersistentVolumeAccessMode]string{
	corev1.ReadWriteMany:    "a volume is a directory of one node, and pods of others cannot write to it; let the program copy its data between its replicas",
	corev1.ReadOnlyMany:     "a volume is a directory of one node, and begins empty; show files to pods of many nodes with a ConfigMap, or in their image",
	corev1.ReadWriteOncePod: "nobody keeps a second pod of the node away; use ReadWriteOnce and one replica",
}

func validateClaimSpec(s *corev1.PersistentVolumeClaimSpec, at *field.Path) (errs field.ErrorList) {
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(at.Child("accessModes"), "at least 1 access mode is required"))
	}
	for i, mode := range s.AccessModes {
		if why, ok := otherModes[mode]; ok {
			errs = append(errs, field.Forbidden(at.Child("accessModes").Index(i), string(mode)+": "+why))
		} else {
			errs = append(errs, oneOf(mode, at.Child("accessModes").Index(i), corev1.ReadWriteOnce)...)
		}
	}
	size, ok := s.Resources.Requests[corev1.ResourceStorage]
	switch sizeAt := at.Child("resources").Key(string(corev1.ResourceStorage)); {
	case !ok:
		errs = append(errs, field.Required(sizeAt, ""))
	case size.Sign() <= 0:
		errs = append(errs, field.Invalid(sizeAt, size.String(), "must be greater than zero"))
	}
	if class := s.StorageClassName; class != nil && *class != LocalClass {
		errs = append(errs, field.Forbidden(at.Child("storageClassName"), "there is one class, "+LocalClass+", which is also the default: leave the field out"))
	}
	if mode := s.VolumeMode; mode != nil && *mode != corev1.PersistentVolumeFilesystem {
		errs = append(errs, field.Forbidden(at.Child("volumeMode"), "volumes are directories; only Filesystem is served"))
	}
	return errs
}

// ClaimCreate refuses what only holon may set on a claim.
func ClaimCreate(c *corev1.PersistentVolumeClaim) field.ErrorList {
	if c.Spec.VolumeName == "" {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec", "volumeName"), "a claim gets a new volume where its first pod runs; leave the field out")}
}

// ClaimUpdate says what may not change of a claim: it may grow.
func ClaimUpdate(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	same := old.Spec.DeepCopy()
	same.Resources.Requests = c.Spec.Resources.Requests
	at := field.NewPath("spec")
	if !equality.Semantic.DeepEqual(*same, c.Spec) {
		return field.ErrorList{field.Forbidden(at, "spec is immutable after creation except resources.requests")}
	}
	now, was := c.Spec.Resources.Requests[corev1.ResourceStorage], old.Spec.Resources.Requests[corev1.ResourceStorage]
	if now.Cmp(was) < 0 {
		return field.ErrorList{field.Forbidden(at.Child("resources", "requests", "storage"), "field can not be less than previous value")}
	}
	return nil
}

// validateClaimTemplates checks a StatefulSet's, and names the volumes that they make.
func validateClaimTemplates(templates []corev1.PersistentVolumeClaim, at *field.Path) (errs field.ErrorList, names sets.Set[string]) {
	names = sets.New[string]()
	for i := range templates {
		t, at := &templates[i], at.Index(i)
		switch name := at.Child("metadata", "name"); {
		case t.Name == "":
			errs = append(errs, field.Required(name, ""))
		case names.Has(t.Name):
			errs = append(errs, field.Duplicate(name, t.Name))
		default:
			errs = append(errs, invalids(name, t.Name, apivalidation.NameIsDNSLabel(t.Name, false))...)
		}
		names.Insert(t.Name)
		errs = append(errs, metavalidation.ValidateLabels(t.Labels, at.Child("metadata", "labels"))...)
		errs = append(errs, apivalidation.ValidateAnnotations(t.Annotations, at.Child("metadata", "annotations"))...)
		errs = append(errs, validateClaimSpec(&t.Spec, at.Child("spec"))...)
	}
	return errs, names
}

// withClaims is a pod spec as it will be once the volumes of claim templates are in it.
func withClaims(s corev1.PodSpec, names sets.Set[string]) corev1.PodSpec {
	volumes := slices.DeleteFunc(slices.Clone(s.Volumes), func(v corev1.Volume) bool { return names.Has(v.Name) })
	for _, name := range sets.List(names) {
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
		}})
	}
	s.Volumes = volumes
	return s
}
