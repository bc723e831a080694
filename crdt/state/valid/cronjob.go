package valid

import (
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// cronNameMax leaves room for the minute that the name of each Job ends with.
const cronNameMax = 52

// DefaultCronJob fills in what a CronJob does not say.
func DefaultCronJob(c *batchv1.CronJob) {
	spec := &c.Spec
	if spec.ConcurrencyPolicy == "" {
		spec.ConcurrencyPolicy = batchv1.AllowConcurrent
	}
	setDefault(&spec.Suspend, false)
	setDefault(&spec.SuccessfulJobsHistoryLimit, 3)
	setDefault(&spec.FailedJobsHistoryLimit, 1)
	j := batchv1.Job{Spec: spec.JobTemplate.Spec}
	DefaultJob(&j)
	spec.JobTemplate.Spec = j.Spec
}

// CronJob says what is wrong with a CronJob.
func CronJob(c *batchv1.CronJob) field.ErrorList {
	errs := validateMetadata(&c.ObjectMeta, true, apivalidation.NameIsDNSSubdomain)
	if len(c.Name) > cronNameMax {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.Name, fmt.Sprintf("must be no more than %d characters", cronNameMax)))
	}
	spec, at := &c.Spec, field.NewPath("spec")
	if _, err := ScheduleOf(c); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, oneOf(spec.ConcurrencyPolicy, at.Child("concurrencyPolicy"), batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)...)
	errs = append(errs, nonNegative(deref(spec.StartingDeadlineSeconds), at.Child("startingDeadlineSeconds"))...)
	errs = append(errs, nonNegative(int64(deref(spec.SuccessfulJobsHistoryLimit)), at.Child("successfulJobsHistoryLimit"))...)
	errs = append(errs, nonNegative(int64(deref(spec.FailedJobsHistoryLimit)), at.Child("failedJobsHistoryLimit"))...)
	return append(errs, validateJobOf(&spec.JobTemplate, at.Child("jobTemplate"))...)
}

// ScheduleOf reads when a CronJob is due.
func ScheduleOf(c *batchv1.CronJob) (*Schedule, *field.Error) {
	at, name := field.NewPath("spec"), "UTC"
	if c.Spec.TimeZone != nil {
		if name = *c.Spec.TimeZone; name == "" {
			return nil, field.Invalid(at.Child("timeZone"), name, "must be nil or non-empty string")
		}
	}
	zone, err := Zone(name)
	if err != nil {
		return nil, field.Invalid(at.Child("timeZone"), name, err.Error())
	}
	if strings.TrimSpace(c.Spec.Schedule) == "" {
		return nil, field.Required(at.Child("schedule"), "")
	}
	s, err := ParseSchedule(c.Spec.Schedule, zone)
	if err != nil {
		return nil, field.Invalid(at.Child("schedule"), c.Spec.Schedule, err.Error())
	}
	return s, nil
}

// validateJobOf judges a template as the Job that will be made of it.
func validateJobOf(t *batchv1.JobTemplateSpec, at *field.Path) (errs field.ErrorList) {
	j := batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "x", Labels: t.Labels, Annotations: t.Annotations}, Spec: t.Spec}
	for _, err := range Job(&j) {
		err.Field = at.String() + "." + err.Field
		errs = append(errs, err)
	}
	return errs
}

// JobName is the name of the Job that is made for a time that is due: Kubernetes' own.
func JobName(cron string, due time.Time) string { return fmt.Sprintf("%s-%d", cron, due.Unix()/60) }
