package scheduler

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// podAffinity is which pods a workload asks to be with, or apart from.
type podAffinity struct {
	together, apart []podTerm // required
	wished          []podTerm // with a weight, negative where apart is wished
}

// podTerm is about the pods that a selector selects, in the domain of a label.
type podTerm struct {
	selector selector
	key      string
	weight   int64
}

// hardWeight is what required affinity weighs as a wish: of the pods that are there
// to have the new one with them.
const hardWeight = 1

func podAffinityOf(namespace string, spec *corev1.PodSpec) (a podAffinity) {
	if spec.Affinity == nil {
		return a
	}
	if asked := spec.Affinity.PodAffinity; asked != nil {
		a.together = podTerms(namespace, asked.RequiredDuringSchedulingIgnoredDuringExecution)
		a.wish(namespace, asked.PreferredDuringSchedulingIgnoredDuringExecution, 1)
	}
	if asked := spec.Affinity.PodAntiAffinity; asked != nil {
		a.apart = podTerms(namespace, asked.RequiredDuringSchedulingIgnoredDuringExecution)
		a.wish(namespace, asked.PreferredDuringSchedulingIgnoredDuringExecution, -1)
	}
	return a
}

func podTerms(namespace string, asked []corev1.PodAffinityTerm) (terms []podTerm) {
	for i := range asked {
		terms = appendTerm(terms, namespace, &asked[i], 0)
	}
	return terms
}

func (a *podAffinity) wish(namespace string, asked []corev1.WeightedPodAffinityTerm, sign int64) {
	for i := range asked {
		if asked[i].Weight == 0 {
			continue // which would mean that it is required
		}
		a.wished = appendTerm(a.wished, namespace, &asked[i].PodAffinityTerm, sign*int64(asked[i].Weight))
	}
}

// appendTerm leaves out a term with a part that is not served: the API refuses one
// that is required, and says of one that is preferred that it has no effect.
func appendTerm(terms []podTerm, namespace string, t *corev1.PodAffinityTerm, weight int64) []podTerm {
	if t.NamespaceSelector != nil || len(t.MatchLabelKeys)+len(t.MismatchLabelKeys) > 0 {
		return terms
	}
	namespaces := t.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{namespace}
	}
	return append(terms, podTerm{selectorOf(namespaces, t.LabelSelector), t.TopologyKey, weight})
}

// carried are the terms that concern others, once a pod that has them is placed:
// whom it shuns (weight 0), and whom it wishes to be with.
func (a *podAffinity) carried() (terms []podTerm) {
	terms = append(append(terms, a.apart...), a.wished...)
	for _, t := range a.together {
		t.weight = hardWeight
		terms = append(terms, t)
	}
	return terms
}

func (t *podTerm) text() string { return fmt.Sprint(t.selector.text, t.key, " ", t.weight) }
