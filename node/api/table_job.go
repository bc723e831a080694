package api

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

var jobColumns = []metav1.TableColumnDefinition{
	nameColumn, column("Status"), column("Completions"), column("Duration"), column("Age"),
	wide("Containers"), wide("Images"), wide("Selector"),
}

func jobRow(j *batchv1.Job) []any {
	names, images := containersOf(&j.Spec.Template)
	return []any{
		j.Name, jobStatus(j), jobCompletions(j), jobDuration(j), age(j.CreationTimestamp), names, images, metav1.FormatLabelSelector(j.Spec.Selector),
	}
}

// jobStatus is the STATUS column as kubectl's own printer decides it.
func jobStatus(j *batchv1.Job) string {
	for _, kind := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed, batchv1.JobSuspended} {
		for _, c := range j.Status.Conditions {
			if c.Type == kind && c.Status == corev1.ConditionTrue {
				return string(kind)
			}
		}
	}
	return "Running"
}

func jobCompletions(j *batchv1.Job) string {
	parallelism := deref(j.Spec.Parallelism)
	switch {
	case j.Spec.Completions != nil:
		return fmt.Sprintf("%d/%d", j.Status.Succeeded, *j.Spec.Completions)
	case parallelism > 1:
		return fmt.Sprintf("%d/1 of %d", j.Status.Succeeded, parallelism)
	}
	return fmt.Sprintf("%d/1", j.Status.Succeeded)
}

func jobDuration(j *batchv1.Job) string {
	switch start, end := j.Status.StartTime, j.Status.CompletionTime; {
	case start == nil:
		return ""
	case end == nil:
		return age(*start)
	default:
		return duration.HumanDuration(end.Sub(start.Time))
	}
}
