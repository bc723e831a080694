package api

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"holon/crdt/state/valid"
)

var statefulSetKind = &kind{
	GroupVersionKind: apps("StatefulSet"), plural: "statefulsets", singular: "statefulset", short: []string{"sts"},
	categories: []string{"all"}, namespaced: true, verbs: allVerbs,
	subresources: []subresource{{"scale", scaleKind, []string{"get", "patch", "update"}}},
	make:         func() runtime.Object { return &appsv1.StatefulSet{} },
	fields:       statefulSetFields,
	defaults:     by(valid.DefaultStatefulSet), validate: on(valid.StatefulSet), validateUpdate: onUpdate(valid.StatefulSetUpdate),
	advise: adviceOn(func(s *appsv1.StatefulSet) []string {
		advice := adviseTemplate(&s.Spec.Template)
		if s.Spec.ServiceName != "" {
			advice = append(advice, "spec.serviceName: kept, but there is no DNS yet: pods are not found by name")
		}
		return advice
	}),
	columns: statefulSetColumns, row: row(statefulSetRow),
}

var daemonSetKind = &kind{
	GroupVersionKind: apps("DaemonSet"), plural: "daemonsets", singular: "daemonset", short: []string{"ds"},
	categories: []string{"all"}, namespaced: true, verbs: allVerbs,
	make:     func() runtime.Object { return &appsv1.DaemonSet{} },
	fields:   daemonSetFields,
	defaults: by(valid.DefaultDaemonSet), validate: on(valid.DaemonSet), validateUpdate: onUpdate(valid.DaemonSetUpdate),
	advise:  adviceOn(func(d *appsv1.DaemonSet) []string { return adviseTemplate(&d.Spec.Template) }),
	columns: daemonSetColumns, row: row(daemonSetRow),
}

const revisionsDerived = "holon derives ControllerRevisions from StatefulSets and DaemonSets; change those"

var controllerRevisionKind = &kind{
	GroupVersionKind: apps("ControllerRevision"), plural: "controllerrevisions", singular: "controllerrevision",
	namespaced: true, verbs: readVerbs,
	refuses: map[string]string{
		"create": revisionsDerived, "update": revisionsDerived, "patch": revisionsDerived, "delete": revisionsDerived,
	},
	make:    func() runtime.Object { return &appsv1.ControllerRevision{} },
	columns: []metav1.TableColumnDefinition{nameColumn, column("Controller"), column("Revision"), column("Age")},
	row: row(func(r *appsv1.ControllerRevision) []any {
		controller := "<none>"
		if ref := metav1.GetControllerOf(r); ref != nil {
			controller = fmt.Sprintf("%s.apps/%s", map[string]string{"StatefulSet": "statefulset", "DaemonSet": "daemonset"}[ref.Kind], ref.Name)
		}
		return []any{r.Name, controller, r.Revision, age(r.CreationTimestamp)}
	}),
}

// adviseTemplate says what of a pod template will not be as its author may expect.
func adviseTemplate(t *corev1.PodTemplateSpec) []string {
	return append(valid.AdviseTemplate(t.Annotations), adviseOnSecrets(&t.Spec, "spec.template.spec")...)
}

// templateFields are a template and the selector of its pods.
var templateFields = []string{
	"template", "template.metadata", "template.spec",
	"selector", "selector.matchLabels", "selector.matchExpressions", "selector.matchExpressions[].key",
	"selector.matchExpressions[].operator", "selector.matchExpressions[].values",
}

// statefulSetRules classify appsv1.StatefulSetSpec.
var statefulSetRules = fieldRules{
	honoured: append([]string{
		"replicas", "serviceName", "podManagementPolicy", "ordinals", "ordinals.start", "updateStrategy", "updateStrategy.type",
		"updateStrategy.rollingUpdate", "updateStrategy.rollingUpdate.partition", "updateStrategy.rollingUpdate.maxUnavailable",
		"minReadySeconds", "revisionHistoryLimit",
		"persistentVolumeClaimRetentionPolicy", "persistentVolumeClaimRetentionPolicy.whenDeleted", "persistentVolumeClaimRetentionPolicy.whenScaled",
		"volumeClaimTemplates", "volumeClaimTemplates[].metadata", "volumeClaimTemplates[].spec",
	}, templateFields...),
}

// claimMetadataRules classify the metadata of a claim template.
var claimMetadataRules = fieldRules{
	honoured: []string{"name", "labels", "annotations"},
	filled:   append([]string{"generateName", "namespace"}, metadataRules.filled...),
	warned:   templateMetadataRules.warned,
}

var statefulSetFields = merged(
	typeRules.at(""), metadataRules.at("metadata"), statefulSetRules.at("spec"),
	fieldRules{filled: []string{"apiVersion", "kind", "status"}}.at("spec.volumeClaimTemplates[]"),
	claimMetadataRules.at("spec.volumeClaimTemplates[].metadata"), claimRules.at("spec.volumeClaimTemplates[].spec"),
	templateMetadataRules.at("spec.template.metadata"), podSpecTable("spec.template.spec"),
)

// daemonSetRules classify appsv1.DaemonSetSpec.
var daemonSetRules = fieldRules{
	honoured: append([]string{
		"updateStrategy", "updateStrategy.type", "updateStrategy.rollingUpdate",
		"updateStrategy.rollingUpdate.maxUnavailable", "updateStrategy.rollingUpdate.maxSurge",
		"minReadySeconds", "revisionHistoryLimit",
	}, templateFields...),
}

var daemonSetFields = merged(
	typeRules.at(""), metadataRules.at("metadata"), daemonSetRules.at("spec"),
	templateMetadataRules.at("spec.template.metadata"), podSpecTable("spec.template.spec"),
)

var statefulSetColumns = []metav1.TableColumnDefinition{
	nameColumn, column("Ready"), column("Age"), wide("Containers"), wide("Images"),
}

func statefulSetRow(s *appsv1.StatefulSet) []any {
	names, images := containersOf(&s.Spec.Template)
	return []any{s.Name, fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, deref(s.Spec.Replicas)), age(s.CreationTimestamp), names, images}
}

var daemonSetColumns = []metav1.TableColumnDefinition{
	nameColumn, column("Desired"), column("Current"), column("Ready"), column("Up-to-date"), column("Available"),
	column("Node Selector"), column("Age"), wide("Containers"), wide("Images"), wide("Selector"),
}

func daemonSetRow(d *appsv1.DaemonSet) []any {
	names, images := containersOf(&d.Spec.Template)
	n := &d.Status
	return []any{
		d.Name, int64(n.DesiredNumberScheduled), int64(n.CurrentNumberScheduled), int64(n.NumberReady), int64(n.UpdatedNumberScheduled),
		int64(n.NumberAvailable), metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: d.Spec.Template.Spec.NodeSelector}),
		age(d.CreationTimestamp), names, images, metav1.FormatLabelSelector(d.Spec.Selector),
	}
}
