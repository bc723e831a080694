package api

// typeRules classify what all objects begin with.
var typeRules = fieldRules{honoured: []string{"metadata", "spec"}, filled: []string{"apiVersion", "kind", "status"}}

// metadataRules classify metav1.ObjectMeta of a stored object.
var metadataRules = fieldRules{
	honoured: []string{
		"name", "generateName", "namespace", "labels", "annotations", "finalizers",
		"ownerReferences", "ownerReferences[].apiVersion", "ownerReferences[].kind", "ownerReferences[].name", "ownerReferences[].uid",
		"ownerReferences[].controller", "ownerReferences[].blockOwnerDeletion",
	},
	filled: []string{
		"selfLink", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
		"deletionGracePeriodSeconds", "managedFields",
	},
}

// podMetadataRules differ: a pod with an owner is one that holon derives; see
// validatePodCreate and validatePodUpdate.
var podMetadataRules = fieldRules{
	honoured: []string{"name", "generateName", "namespace", "labels", "annotations", "finalizers"},
	filled:   append([]string{"ownerReferences"}, metadataRules.filled...),
}

// templateMetadataRules classify the metadata of a pod template; a name in it
// means nothing, as in Kubernetes.
var templateMetadataRules = fieldRules{
	honoured: []string{"labels", "annotations"},
	filled:   append([]string{"name", "generateName", "namespace"}, metadataRules.filled...),
	warned: map[string]string{
		"finalizers":      "the pods that holon derives have none",
		"ownerReferences": "holon sets the owners of the pods",
	},
}

var podFields = merged(typeRules.at(""), podMetadataRules.at("metadata"), podSpecTable("spec"))

// deploymentRules classify appsv1.DeploymentSpec.
var deploymentRules = fieldRules{
	honoured: []string{
		"replicas", "template", "template.metadata", "template.spec",
		"selector", "selector.matchLabels", "selector.matchExpressions", "selector.matchExpressions[].key",
		"selector.matchExpressions[].operator", "selector.matchExpressions[].values",
		"strategy", "strategy.type", "strategy.rollingUpdate", "strategy.rollingUpdate.maxSurge",
		"strategy.rollingUpdate.maxUnavailable",
		"minReadySeconds", "progressDeadlineSeconds", "revisionHistoryLimit", "paused",
	},
}

var deploymentFields = merged(
	typeRules.at(""), metadataRules.at("metadata"), deploymentRules.at("spec"),
	templateMetadataRules.at("spec.template.metadata"), podSpecTable("spec.template.spec"),
)

var configMapFields = merged(
	fieldRules{honoured: []string{"metadata", "data", "binaryData", "immutable"}, filled: []string{"apiVersion", "kind"}}.at(""),
	metadataRules.at("metadata"),
)

var secretFields = merged(
	fieldRules{
		honoured: []string{"metadata", "data", "stringData", "type", "immutable"}, filled: []string{"apiVersion", "kind"},
	}.at(""),
	metadataRules.at("metadata"),
)

var namespaceFields = merged(
	typeRules.at(""), metadataRules.at("metadata"), fieldRules{filled: []string{"finalizers"}}.at("spec"),
)

var nodeFields = merged(
	typeRules.at(""), metadataRules.at("metadata"),
	fieldRules{
		honoured: []string{"unschedulable", "taints", "taints[].key", "taints[].value", "taints[].effect"},
		filled:   []string{"podCIDR", "podCIDRs", "providerID", "externalID", "taints[].timeAdded"},
		refused:  map[string]string{"configSource": "a node is configured by its own flags"},
	}.at("spec"),
)
