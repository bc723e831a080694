package valid

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// DefaultStatefulSet fills in what a StatefulSet does not say.
func DefaultStatefulSet(s *appsv1.StatefulSet) {
	spec := &s.Spec
	setDefault(&spec.Replicas, 1)
	setDefault(&spec.RevisionHistoryLimit, 10)
	orDefault(&spec.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
	orDefault(&spec.UpdateStrategy.Type, appsv1.RollingUpdateStatefulSetStrategyType)
	if spec.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType {
		if spec.UpdateStrategy.RollingUpdate == nil {
			spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{}
		}
		setDefault(&spec.UpdateStrategy.RollingUpdate.Partition, 0)
		setDefault(&spec.UpdateStrategy.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
	}
	if p := spec.PersistentVolumeClaimRetentionPolicy; p != nil {
		orDefault(&p.WhenDeleted, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
		orDefault(&p.WhenScaled, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	}
	for i := range spec.VolumeClaimTemplates {
		setDefault(&spec.VolumeClaimTemplates[i].Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	}
	defaultPodSpec(&spec.Template.Spec)
}

// DefaultDaemonSet fills in what a DaemonSet does not say.
func DefaultDaemonSet(d *appsv1.DaemonSet) {
	spec := &d.Spec
	setDefault(&spec.RevisionHistoryLimit, 10)
	orDefault(&spec.UpdateStrategy.Type, appsv1.RollingUpdateDaemonSetStrategyType)
	if spec.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		if spec.UpdateStrategy.RollingUpdate == nil {
			spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateDaemonSet{}
		}
		setDefault(&spec.UpdateStrategy.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		setDefault(&spec.UpdateStrategy.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	defaultPodSpec(&spec.Template.Spec)
}

// ordinalMax bounds a StatefulSet's ordinals, see state.ReplicasMax.
const ordinalMax = 10_000

// StatefulSet says what is wrong with a StatefulSet.
func StatefulSet(s *appsv1.StatefulSet) field.ErrorList {
	errs := validateMetadata(&s.ObjectMeta, true, apivalidation.NameIsDNSSubdomain)
	errs = append(errs, validatePolicies(s.Annotations)...)
	spec, at := &s.Spec, field.NewPath("spec")
	errs = append(errs, nonNegative(int64(deref(spec.Replicas)), at.Child("replicas"))...)
	errs = append(errs, nonNegative(int64(spec.MinReadySeconds), at.Child("minReadySeconds"))...)
	errs = append(errs, nonNegative(int64(deref(spec.RevisionHistoryLimit)), at.Child("revisionHistoryLimit"))...)
	if o := spec.Ordinals; o != nil {
		errs = append(errs, nonNegative(int64(o.Start), at.Child("ordinals", "start"))...)
		if last := int64(o.Start) + int64(deref(spec.Replicas)); last > ordinalMax {
			errs = append(errs, field.Invalid(at.Child("ordinals", "start"), o.Start, "start and replicas must not exceed 10000 together"))
		}
	}
	switch spec.PodManagementPolicy {
	case appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement:
	case "":
		errs = append(errs, field.Required(at.Child("podManagementPolicy"), ""))
	default:
		errs = append(errs, field.Invalid(at.Child("podManagementPolicy"), spec.PodManagementPolicy, "must be 'OrderedReady' or 'Parallel'"))
	}
	wrong, claims := validateClaimTemplates(spec.VolumeClaimTemplates, at.Child("volumeClaimTemplates"))
	errs = append(errs, wrong...)
	errs = append(errs, validateRetention(spec.PersistentVolumeClaimRetentionPolicy, at.Child("persistentVolumeClaimRetentionPolicy"))...)
	errs = append(errs, validateSelector(spec.Selector, &spec.Template, at, "statefulset")...)
	errs = append(errs, validateSetStrategy(&spec.UpdateStrategy, at.Child("updateStrategy"))...)
	template := spec.Template
	template.Spec = withClaims(template.Spec, claims)
	return append(errs, validateTemplateOf("StatefulSet", &template, at.Child("template"))...)
}

// validateRetention: claims stay until somebody deletes them.
func validateRetention(p *appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy, at *field.Path) (errs field.ErrorList) {
	if p == nil {
		return nil
	}
	for name, what := range map[string]appsv1.PersistentVolumeClaimRetentionPolicyType{"whenDeleted": p.WhenDeleted, "whenScaled": p.WhenScaled} {
		switch what {
		case appsv1.RetainPersistentVolumeClaimRetentionPolicyType, "":
		case appsv1.DeletePersistentVolumeClaimRetentionPolicyType:
			errs = append(errs, field.Forbidden(at.Child(name), "holon deletes no data by itself: delete the claims with kubectl once they are not needed"))
		default:
			errs = append(errs, field.NotSupported(at.Child(name), what, []appsv1.PersistentVolumeClaimRetentionPolicyType{appsv1.RetainPersistentVolumeClaimRetentionPolicyType}))
		}
	}
	return errs
}

func validateSetStrategy(s *appsv1.StatefulSetUpdateStrategy, at *field.Path) field.ErrorList {
	rolling := s.RollingUpdate
	switch s.Type {
	case appsv1.OnDeleteStatefulSetStrategyType:
		if rolling != nil {
			return field.ErrorList{field.Invalid(at.Child("rollingUpdate"), rolling, "only allowed for updateStrategy 'RollingUpdate'")}
		}
		return nil
	case appsv1.RollingUpdateStatefulSetStrategyType:
	case "":
		return field.ErrorList{field.Required(at, "")}
	default:
		return field.ErrorList{field.Invalid(at, s, "must be 'RollingUpdate' or 'OnDelete'")}
	}
	if rolling == nil {
		return nil
	}
	at = at.Child("rollingUpdate")
	errs := nonNegative(int64(deref(rolling.Partition)), at.Child("partition"))
	if rolling.MaxUnavailable == nil {
		return errs
	}
	errs = append(errs, validateShare(rolling.MaxUnavailable, at.Child("maxUnavailable"))...)
	if n := share(rolling.MaxUnavailable); n == 0 {
		errs = append(errs, field.Invalid(at.Child("maxUnavailable"), rolling.MaxUnavailable, "cannot be 0"))
	} else if rolling.MaxUnavailable.Type == intstr.String && n > 100 {
		errs = append(errs, field.Invalid(at.Child("maxUnavailable"), rolling.MaxUnavailable, "must not be greater than 100%"))
	}
	return errs
}

// StatefulSetUpdate says what may not change of a StatefulSet.
func StatefulSetUpdate(s, old *appsv1.StatefulSet) field.ErrorList {
	same := old.Spec.DeepCopy()
	same.Replicas, same.Template, same.UpdateStrategy, same.Ordinals = s.Spec.Replicas, s.Spec.Template, s.Spec.UpdateStrategy, s.Spec.Ordinals
	same.RevisionHistoryLimit, same.MinReadySeconds = s.Spec.RevisionHistoryLimit, s.Spec.MinReadySeconds
	same.PersistentVolumeClaimRetentionPolicy = s.Spec.PersistentVolumeClaimRetentionPolicy
	if equality.Semantic.DeepEqual(*same, s.Spec) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec"), "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "+
		"'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden")}
}

// DaemonSet says what is wrong with a DaemonSet.
func DaemonSet(d *appsv1.DaemonSet) field.ErrorList {
	errs := validateMetadata(&d.ObjectMeta, true, apivalidation.NameIsDNSSubdomain)
	errs = append(errs, validatePolicies(d.Annotations)...)
	if d.Annotations[StandInAnnotation] == StandInAllow {
		errs = append(errs, field.Forbidden(field.NewPath("metadata", "annotations").Key(StandInAnnotation), "a pod of a DaemonSet belongs to its node: nobody stands in for it"))
	}
	spec, at := &d.Spec, field.NewPath("spec")
	errs = append(errs, nonNegative(int64(spec.MinReadySeconds), at.Child("minReadySeconds"))...)
	errs = append(errs, nonNegative(int64(deref(spec.RevisionHistoryLimit)), at.Child("revisionHistoryLimit"))...)
	errs = append(errs, validateSelector(spec.Selector, &spec.Template, at, "daemonset")...)
	for i, v := range spec.Template.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			errs = append(errs, field.Forbidden(at.Child("template", "spec", "volumes").Index(i).Child("persistentVolumeClaim"),
				"a volume is a directory of one node, and a DaemonSet has a pod on each; use a StatefulSet with volumeClaimTemplates"))
		}
	}
	errs = append(errs, validateDaemonStrategy(&spec.UpdateStrategy, at.Child("updateStrategy"))...)
	return append(errs, validateTemplateOf("DaemonSet", &spec.Template, at.Child("template"))...)
}

func validateDaemonStrategy(s *appsv1.DaemonSetUpdateStrategy, at *field.Path) field.ErrorList {
	switch s.Type {
	case appsv1.OnDeleteDaemonSetStrategyType:
		return nil
	case appsv1.RollingUpdateDaemonSetStrategyType:
	default:
		return field.ErrorList{field.NotSupported(at.Child("type"), s.Type, []appsv1.DaemonSetUpdateStrategyType{
			appsv1.RollingUpdateDaemonSetStrategyType, appsv1.OnDeleteDaemonSetStrategyType})}
	}
	rolling, at := s.RollingUpdate, at.Child("rollingUpdate")
	if rolling == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	errs := validateShare(rolling.MaxUnavailable, at.Child("maxUnavailable"))
	errs = append(errs, validateShare(rolling.MaxSurge, at.Child("maxSurge"))...)
	switch unavailable, surge := share(rolling.MaxUnavailable) > 0, share(rolling.MaxSurge) > 0; {
	case unavailable && surge:
		errs = append(errs, field.Invalid(at.Child("maxSurge"), rolling.MaxSurge, "may not be set when maxUnavailable is non-zero"))
	case !unavailable && !surge:
		errs = append(errs, field.Required(at.Child("maxUnavailable"), "cannot be 0 when maxSurge is 0"))
	}
	for name, v := range map[string]*intstr.IntOrString{"maxUnavailable": rolling.MaxUnavailable, "maxSurge": rolling.MaxSurge} {
		if v != nil && v.Type == intstr.String && share(v) > 100 {
			errs = append(errs, field.Invalid(at.Child(name), v, "must not be greater than 100%"))
		}
	}
	return errs
}

// DaemonSetUpdate says what may not change of a DaemonSet.
func DaemonSetUpdate(d, old *appsv1.DaemonSet) field.ErrorList {
	return apivalidation.ValidateImmutableField(d.Spec.Selector, old.Spec.Selector, field.NewPath("spec", "selector"))
}

// TemplateOf is the pod template of a workload object, and nil of any other.
func TemplateOf(obj any) *corev1.PodTemplateSpec {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *appsv1.StatefulSet:
		return &o.Spec.Template
	case *appsv1.DaemonSet:
		return &o.Spec.Template
	}
	return nil
}
