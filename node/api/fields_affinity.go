package api

// Names of Kubernetes that are too long to be read.
const (
	requiredTerms  = "requiredDuringSchedulingIgnoredDuringExecution"
	preferredTerms = "preferredDuringSchedulingIgnoredDuringExecution"
)

const (
	noNamespaceSelector = "namespaces cannot be selected by label yet; name them in namespaces"
	noLabelKeys         = "not honoured yet, and the term would be about other pods than was meant; use labelSelector"
	termWithoutEffect   = "not honoured yet: the whole term has no effect"
)

var nodeAffinityRules = fieldRules{honoured: append(append([]string{
	requiredTerms, requiredTerms + ".nodeSelectorTerms", preferredTerms, preferredTerms + "[].weight", preferredTerms + "[].preference",
},
	nodeTermFields(requiredTerms+".nodeSelectorTerms[]")...),
	nodeTermFields(preferredTerms+"[].preference")...)}

// nodeTermFields are those of corev1.NodeSelectorTerm at a path.
func nodeTermFields(at string) (paths []string) {
	for _, list := range []string{".matchExpressions", ".matchFields"} {
		paths = append(paths, at+list, at+list+"[].key", at+list+"[].operator", at+list+"[].values")
	}
	return paths
}

// podAffinityRules classify corev1.PodAffinity, and corev1.PodAntiAffinity, which
// has the same fields.
var podAffinityRules = fieldRules{honoured: []string{requiredTerms, preferredTerms, preferredTerms + "[].weight", preferredTerms + "[].podAffinityTerm"}}

// podTermRules classify corev1.PodAffinityTerm but for what would have it be about
// other pods than was meant.
var podTermRules = fieldRules{
	honoured: append([]string{"labelSelector", "topologyKey", "namespaces"}, selectorFields("labelSelector")...),
	// An empty one means all namespaces, so no word would be said of it if it were warned about.
	refused: map[string]string{"namespaceSelector": noNamespaceSelector},
}

// selectorFields are those of metav1.LabelSelector at a path.
func selectorFields(at string) []string {
	list := at + ".matchExpressions"
	return []string{at + ".matchLabels", list, list + "[].key", list + "[].operator", list + "[].values"}
}

// affinityTable is corev1.Affinity at a path.
func affinityTable(at string) fieldTable {
	all := merged(fieldRules{honoured: []string{"nodeAffinity", "podAffinity", "podAntiAffinity"}}.at(at), nodeAffinityRules.at(at+".nodeAffinity"))
	required := fieldRules{refused: map[string]string{"matchLabelKeys": noLabelKeys, "mismatchLabelKeys": noLabelKeys}}
	preferred := fieldRules{warned: map[string]string{"matchLabelKeys": termWithoutEffect, "mismatchLabelKeys": termWithoutEffect}}
	for _, kind := range []string{at + ".podAffinity", at + ".podAntiAffinity"} {
		hard, soft := kind+"."+requiredTerms+"[]", kind+"."+preferredTerms+"[].podAffinityTerm"
		all = merged(all, podAffinityRules.at(kind), podTermRules.at(hard), required.at(hard), podTermRules.at(soft), preferred.at(soft))
	}
	return all
}
