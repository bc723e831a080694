package api

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// What a constraint says is honoured, or a word is said; an empty selector of
// namespaces means all of them, and is no empty wish.
func TestNoPartOfAConstraintIsDroppedInSilence(t *testing.T) {
	const hard, soft = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
	const term = "topologyKey: zone, namespaces: [a], labelSelector: {matchLabels: {a: b}, matchExpressions: [{key: a, operator: In, values: [b]}]}"
	for spec, want := range map[string]string{
		"affinity: {podAffinity: {" + hard + ": [{" + term + "}], " + soft + ": [{weight: 1, podAffinityTerm: {" + term + "}}]}}":           "",
		"affinity: {podAntiAffinity: {" + hard + ": [{" + term + ", namespaceSelector: {}}]}}":                                              "refused: spec.affinity.podAntiAffinity." + hard + "[0].namespaceSelector",
		"affinity: {podAffinity: {" + soft + ": [{weight: 1, podAffinityTerm: {" + term + ", namespaceSelector: {}}}]}}":                    "refused: spec.affinity.podAffinity." + soft + "[0].podAffinityTerm.namespaceSelector",
		"affinity: {podAffinity: {" + hard + ": [{" + term + ", mismatchLabelKeys: [a]}]}}":                                                 "refused: spec.affinity.podAffinity." + hard + "[0].mismatchLabelKeys",
		"affinity: {podAntiAffinity: {" + soft + ": [{weight: 1, podAffinityTerm: {" + term + ", matchLabelKeys: [a]}}]}}":                  "warned: spec.affinity.podAntiAffinity." + soft + "[0].podAffinityTerm.matchLabelKeys",
		"topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {a: b}}}]": "",
		"topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule, matchLabelKeys: [a]}]":                  "warned: spec.topologySpreadConstraints[0].matchLabelKeys",
	} {
		var pod map[string]any
		check(t, yaml.Unmarshal([]byte("spec: {"+spec+"}"), &pod))
		warn := &warnings{header: map[string][]string{}}
		errs := podFields.review(pod, warn)
		said := ""
		switch {
		case len(errs) > 0:
			said = "refused: " + errs[0].Field
		case len(warn.said) > 0:
			said = "warned: " + strings.Trim(fmt.Sprint(warn.said), "[]")
		}
		if want == "" && said != "" || !strings.HasPrefix(said, want) {
			t.Errorf("%s\n\tsays %q, want %q", spec, said, want)
		}
	}
}
