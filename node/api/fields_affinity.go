package api

// Names of Kubernetes that are too long to be read.
const (
	requiredTerms  = "requiredDuringSchedulingIgnoredDuringExecution"
	preferredTerms = "preferredDuringSchedulingIgnoredDuringExecution"
)

// affinityRules classify what of corev1.Affinity is honoured.
var affinityRules = fieldRules{honoured: append(append([]string{
	"nodeAffinity", "nodeAffinity." + requiredTerms, "nodeAffinity." + requiredTerms + ".nodeSelectorTerms",
	"nodeAffinity." + preferredTerms, "nodeAffinity." + preferredTerms + "[].weight", "nodeAffinity." + preferredTerms + "[].preference",
},
	nodeTermFields("nodeAffinity."+requiredTerms+".nodeSelectorTerms[]")...),
	nodeTermFields("nodeAffinity."+preferredTerms+"[].preference")...)}

// nodeTermFields are those of corev1.NodeSelectorTerm at a path.
func nodeTermFields(at string) (paths []string) {
	for _, list := range []string{".matchExpressions", ".matchFields"} {
		paths = append(paths, at+list, at+list+"[].key", at+list+"[].operator", at+list+"[].values")
	}
	return paths
}
