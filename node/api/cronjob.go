package api

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holon/crdt/state/valid"
)

var cronJobKind = &kind{
	GroupVersionKind: schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "CronJob"},
	plural:           "cronjobs", singular: "cronjob", short: []string{"cj"},
	categories: []string{"all"}, namespaced: true, verbs: allVerbs,
	make:     func() runtime.Object { return &batchv1.CronJob{} },
	fields:   cronJobFields,
	defaults: by(valid.DefaultCronJob), validate: on(valid.CronJob),
	advise: adviceOn(func(c *batchv1.CronJob) []string {
		const at = "spec.jobTemplate.spec.template.spec"
		t := &c.Spec.JobTemplate.Spec.Template
		return slices.Concat(valid.AdviseTemplate(t.Annotations), adviseOnSecrets(&t.Spec, at))
	}),
	columns: []metav1.TableColumnDefinition{
		nameColumn, column("Schedule"), column("Timezone"), column("Suspend"), column("Active"), column("Last Schedule"), column("Age"),
		wide("Containers"), wide("Images"), wide("Selector"),
	},
	row: row(cronJobRow),
}

// cronJobRules classify batchv1.CronJobSpec, but for the Job in it.
var cronJobRules = fieldRules{
	honoured: []string{
		"schedule", "timeZone", "startingDeadlineSeconds", "concurrencyPolicy", "suspend", "successfulJobsHistoryLimit",
		"failedJobsHistoryLimit", "jobTemplate", "jobTemplate.metadata", "jobTemplate.spec",
	},
}

var cronJobFields = merged(
	typeRules.at(""), metadataRules.at("metadata"), cronJobRules.at("spec"),
	templateMetadataRules.at("spec.jobTemplate.metadata"), jobRules.at("spec.jobTemplate.spec"),
	templateMetadataRules.at("spec.jobTemplate.spec.template.metadata"), podSpecTable("spec.jobTemplate.spec.template.spec"),
)

func cronJobRow(c *batchv1.CronJob) []any {
	zone, last := "<none>", "<none>"
	if c.Spec.TimeZone != nil {
		zone = *c.Spec.TimeZone
	}
	if t := c.Status.LastScheduleTime; t != nil {
		last = age(*t)
	}
	names, images := containersOf(&c.Spec.JobTemplate.Spec.Template)
	return []any{
		c.Name, c.Spec.Schedule, zone, printBool(c.Spec.Suspend), int64(len(c.Status.Active)), last, age(c.CreationTimestamp),
		names, images, metav1.FormatLabelSelector(c.Spec.JobTemplate.Spec.Selector),
	}
}

// printBool spells a flag as kubectl's own printer does.
func printBool(b *bool) string {
	if deref(b) {
		return "True"
	}
	return "False"
}
