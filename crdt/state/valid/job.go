package valid

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// JobSlotsMax and JobRetriesMax bound a Job: each attempt of it is a register of one
// record, which every end of an attempt sends whole.
const JobSlotsMax, JobRetriesMax = 1000, 1000

// DefaultJob fills in what a Job does not say.
func DefaultJob(j *batchv1.Job) {
	spec := &j.Spec
	if spec.Completions == nil && spec.Parallelism == nil {
		setDefault(&spec.Completions, 1)
	}
	setDefault(&spec.Parallelism, 1)
	setDefault(&spec.BackoffLimit, 6)
	setDefault(&spec.CompletionMode, batchv1.NonIndexedCompletion)
	setDefault(&spec.Suspend, false)
	setDefault(&spec.PodReplacementPolicy, batchv1.TerminatingOrFailed)
	defaultPodSpec(&spec.Template.Spec)
}

// Job says what is wrong with a Job.
func Job(j *batchv1.Job) field.ErrorList {
	errs := validateMetadata(&j.ObjectMeta, true, apivalidation.NameIsDNSSubdomain)
	errs = append(errs, validatePolicies(j.Annotations)...)
	spec, at := &j.Spec, field.NewPath("spec")
	for name, bounded := range map[string]struct {
		value *int32
		most  int32
	}{"completions": {spec.Completions, JobSlotsMax}, "parallelism": {spec.Parallelism, JobSlotsMax}, "backoffLimit": {spec.BackoffLimit, JobRetriesMax}} {
		n := deref(bounded.value)
		if errs = append(errs, nonNegative(int64(n), at.Child(name))...); n > bounded.most {
			errs = append(errs, field.Invalid(at.Child(name), n, "must be less than or equal to 1000: holon keeps the results of a Job in one record"))
		}
	}
	errs = append(errs, nonNegative(deref(spec.ActiveDeadlineSeconds), at.Child("activeDeadlineSeconds"))...)
	errs = append(errs, nonNegative(int64(deref(spec.TTLSecondsAfterFinished)), at.Child("ttlSecondsAfterFinished"))...)
	errs = append(errs, oneOf(deref(spec.CompletionMode), at.Child("completionMode"), batchv1.NonIndexedCompletion, batchv1.IndexedCompletion)...)
	if deref(spec.CompletionMode) == batchv1.IndexedCompletion && spec.Completions == nil {
		errs = append(errs, field.Required(at.Child("completions"), "when completion mode is Indexed"))
	}
	return append(errs, validateJobTemplate(&spec.Template, at.Child("template"))...)
}

func validateJobTemplate(t *corev1.PodTemplateSpec, at *field.Path) field.ErrorList {
	errs := metavalidation.ValidateLabels(t.Labels, at.Child("metadata", "labels"))
	errs = append(errs, apivalidation.ValidateAnnotations(t.Annotations, at.Child("metadata", "annotations"))...)
	errs = append(errs, validatePodSpec(&t.Spec, at.Child("spec"))...)
	if t.Spec.RestartPolicy == corev1.RestartPolicyAlways {
		errs = append(errs, field.Required(at.Child("spec", "restartPolicy"), `valid values: "OnFailure", "Never"`))
	}
	if t.Spec.NodeName != "" {
		errs = append(errs, field.Forbidden(at.Child("spec", "nodeName"), "holon places the pods of a Job; use nodeSelector"))
	}
	return errs
}

// JobUpdate says what may not change of a Job.
func JobUpdate(j, old *batchv1.Job) field.ErrorList {
	at := field.NewPath("spec")
	errs := apivalidation.ValidateImmutableField(j.Spec.Completions, old.Spec.Completions, at.Child("completions"))
	errs = append(errs, apivalidation.ValidateImmutableField(j.Spec.CompletionMode, old.Spec.CompletionMode, at.Child("completionMode"))...)
	if j.Spec.Selector != nil && !equality.Semantic.DeepEqual(j.Spec.Selector, old.Spec.Selector) {
		errs = append(errs, field.Invalid(at.Child("selector"), j.Spec.Selector, "field is immutable: it is generated"))
	}
	was := old.DeepCopy()
	DefaultJob(was) // later versions of holon may fill in more
	for name := range was.Spec.Template.Labels {
		if _, ours := jobLabels[name]; ours {
			delete(was.Spec.Template.Labels, name)
		}
	}
	now := j.DeepCopy()
	for name := range jobLabels {
		delete(now.Spec.Template.Labels, name)
	}
	return append(errs, apivalidation.ValidateImmutableField(now.Spec.Template, was.Spec.Template, at.Child("template"))...)
}

// jobLabels are those that holon shows on a Job's template and nobody writes.
var jobLabels = map[string]bool{
	"batch.kubernetes.io/job-name": true, "batch.kubernetes.io/controller-uid": true, "job-name": true, "controller-uid": true,
}
