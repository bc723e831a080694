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
