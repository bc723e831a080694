package scheduler

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// nodeAffinity is what a workload asks of the labels and the name of its nodes.
type nodeAffinity struct {
	required  []nodeTerm // one of them must match
	requires  bool       // even where no term is left that could match
	preferred []preferredNodes
}

type preferredNodes struct {
	term   nodeTerm
	weight int64
}

// nodeTerm matches a node of which everything in it is true. One that says nothing,
// or that cannot be understood, matches none.
type nodeTerm struct {
	labels []labels.Requirement
	names  []corev1.NodeSelectorRequirement
}

func affinityOf(spec *corev1.PodSpec) (a nodeAffinity) {
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil {
		return a
	}
	asked := spec.Affinity.NodeAffinity
	if required := asked.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
		a.requires = true
		for i := range required.NodeSelectorTerms {
			a.required = append(a.required, parseTerm(&required.NodeSelectorTerms[i]))
		}
	}
	for i := range asked.PreferredDuringSchedulingIgnoredDuringExecution {
		p := &asked.PreferredDuringSchedulingIgnoredDuringExecution[i]
		a.preferred = append(a.preferred, preferredNodes{parseTerm(&p.Preference), int64(p.Weight)})
	}
	return a
}

var nodeOperators = map[corev1.NodeSelectorOperator]selection.Operator{
	corev1.NodeSelectorOpIn: selection.In, corev1.NodeSelectorOpNotIn: selection.NotIn,
	corev1.NodeSelectorOpExists: selection.Exists, corev1.NodeSelectorOpDoesNotExist: selection.DoesNotExist,
	corev1.NodeSelectorOpGt: selection.GreaterThan, corev1.NodeSelectorOpLt: selection.LessThan,
}

func parseTerm(t *corev1.NodeSelectorTerm) (parsed nodeTerm) {
	for _, e := range t.MatchExpressions {
		r, err := labels.NewRequirement(e.Key, nodeOperators[e.Operator], e.Values)
		if err != nil {
			return nodeTerm{}
		}
		parsed.labels = append(parsed.labels, *r)
	}
	for _, f := range t.MatchFields {
		if f.Key != "metadata.name" || f.Operator != corev1.NodeSelectorOpIn && f.Operator != corev1.NodeSelectorOpNotIn {
			return nodeTerm{}
		}
	}
	parsed.names = t.MatchFields
	return parsed
}

func (t *nodeTerm) matches(n *Node) bool {
	for i := range t.labels {
		if !t.labels[i].Matches(labels.Set(n.Labels)) {
			return false
		}
	}
	for _, f := range t.names {
		if slices.Contains(f.Values, n.Name) != (f.Operator == corev1.NodeSelectorOpIn) {
			return false
		}
	}
	return len(t.labels)+len(t.names) > 0
}

// allows reports whether one of the required terms matches a node.
func (a *nodeAffinity) allows(n *Node) bool {
	return !a.requires || slices.ContainsFunc(a.required, func(t nodeTerm) bool { return t.matches(n) })
}

// likes is the sum of the weights of the preferred terms that match a node.
func (a *nodeAffinity) likes(n *Node) (sum int64) {
	for i := range a.preferred {
		if p := &a.preferred[i]; p.term.matches(n) {
			sum += p.weight
		}
	}
	return sum
}
