package valid

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// wantRules checks the errors of a pod with more lines in its spec.
func wantRules(t *testing.T, cases map[string][]string) {
	t.Helper()
	for text, want := range cases {
		p := parse[corev1.Pod](t, validPod+"  "+text)
		DefaultPod(p)
		wantErrors(t, text, Pod(p), want...)
	}
}

func TestNodeAffinityRules(t *testing.T) {
	const in = "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
	const at = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
	const preferred = "affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: "
	wantRules(t, map[string][]string{
		in + "{nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In, values: [b]}, {key: a, operator: Exists}, {key: a, operator: Gt, values: ['1']}]}]}}}": nil,
		in + "{nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: NotIn, values: [n1]}]}]}}}":                                                         nil,
		in + "{nodeSelectorTerms: []}}}": {at + ": Required value: must have at least one node selector term"},
		in + "{nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In}, {key: a, operator: Exists, values: [b]}, {key: a, operator: Lt}, {key: a, operator: Near}, {key: 'b c', operator: Exists}, {key: a, operator: In, values: ['b c']}]}]}}}": {
			at + "[0].matchExpressions[0].values: Required value", at + "[0].matchExpressions[1].values: Forbidden",
			at + "[0].matchExpressions[2].values: Required value", at + "[0].matchExpressions[3].operator: Invalid value: \"Near\"",
			at + "[0].matchExpressions[4].key: Invalid value: \"b c\"", at + "[0].matchExpressions[5].values[0]: Invalid value: \"b c\""},
		in + "{nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In}, {key: metadata.uid, operator: In, values: [a]}, {key: metadata.name, operator: Exists}, {key: metadata.name, operator: In, values: ['N 1']}]}]}}}": {
			at + "[0].matchFields[0].values: Required value", at + "[0].matchFields[1].key: Invalid value: \"metadata.uid\"",
			at + "[0].matchFields[2].operator: Invalid value: \"Exists\"", at + "[0].matchFields[3].values[0]: Invalid value: \"N 1\""},
		preferred + "[{weight: 101, preference: {matchExpressions: [{key: a, operator: Near}]}}, {preference: {}}]}}": {
			"spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100",
			"spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].operator: Invalid value",
			"spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[1].weight: Invalid value: 0"},
	})
}

func TestSpreadRules(t *testing.T) {
	const at = "spec.topologySpreadConstraints"
	wantRules(t, map[string][]string{
		"topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, minDomains: 2, nodeTaintsPolicy: Honor, labelSelector: {matchLabels: {a: b}}}]": nil,
		"topologySpreadConstraints: [{maxSkew: 0, topologyKey: '', whenUnsatisfiable: Perhaps, labelSelector: {matchLabels: {a: 'b c'}}}]": {
			at + "[0].maxSkew: Invalid value: 0: must be greater than 0", at + "[0].topologyKey: Required value: can not be empty",
			at + "[0].whenUnsatisfiable: Unsupported value: \"Perhaps\"", at + "[0].labelSelector.matchLabels: Invalid value: \"b c\""},
		"topologySpreadConstraints: [{maxSkew: 1, topologyKey: 'a b', whenUnsatisfiable: ScheduleAnyway, minDomains: 0, nodeAffinityPolicy: Never}]": {
			at + "[0].topologyKey: Invalid value: \"a b\"", at + "[0].minDomains: Invalid value: 0: must be greater than 0",
			at + "[0].minDomains: Invalid value: 0: can only use minDomains if whenUnsatisfiable=DoNotSchedule", at + "[0].nodeAffinityPolicy: Unsupported value: \"Never\""},
		"topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}, {maxSkew: 2, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]": {
			at + "[1].{topologyKey, whenUnsatisfiable}: Duplicate value"},
	})
}

func TestPodAffinityRules(t *testing.T) {
	const required = "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
	const preferred = "affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: "
	const anti = "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution"
	const with = "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution"
	wantRules(t, map[string][]string{
		required + "[{topologyKey: zone, namespaces: [a], labelSelector: {matchLabels: {a: b}}}]}}": nil,
		required + "[{namespaces: ['A b'], labelSelector: {matchExpressions: [{key: a, operator: Near}]}}]}}": {
			anti + "[0].labelSelector.matchExpressions[0].operator: Invalid value", anti + "[0].namespaces[0]: Invalid value: \"A b\"",
			anti + "[0].topologyKey: Required value: can not be empty"},
		preferred + "[{weight: 0, podAffinityTerm: {topologyKey: 'a b'}}]}}": {
			with + "[0].weight: Invalid value: 0: must be in the range 1-100", with + "[0].podAffinityTerm.topologyKey: Invalid value: \"a b\""},
	})
}
