package api

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"holon/crdt/state/valid"
)

const noDataPath = "kept without effect: Services have no data path yet"

var serviceKind = &kind{
	GroupVersionKind: core("Service"), plural: "services", singular: "service", short: []string{"svc"},
	categories: []string{"all"}, namespaced: true, verbs: allVerbs,
	make:     func() runtime.Object { return &corev1.Service{} },
	fields:   serviceFields,
	defaults: by(valid.DefaultService), validate: on(valid.Service), advise: adviceOn(adviseService), carry: carryAddress,
	selectable: []string{"spec.clusterIP", "spec.type"},
	columns: []metav1.TableColumnDefinition{
		nameColumn, column("Type"), column("Cluster-IP"), column("External-IP"), column("Port(s)"), column("Age"), wide("Selector"),
	},
	row: row(serviceRow),
}

// serviceFields keep what says which pods a Service is of and how they are reached.
var serviceFields = merged(typeRules.at(""), metadataRules.at("metadata"), fieldRules{
	filled: []string{"clusterIPs"},
	honoured: []string{
		"type", "selector", "externalName", "clusterIP", "publishNotReadyAddresses",
		"ports", "ports[].name", "ports[].port", "ports[].protocol", "ports[].targetPort",
	},
	warned: map[string]string{
		"ports[].nodePort": noDataPath, "ports[].appProtocol": noDataPath,
		"externalIPs": noDataPath, "sessionAffinity": noDataPath, "sessionAffinityConfig": noDataPath,
		"loadBalancerIP": noDataPath, "loadBalancerSourceRanges": noDataPath, "loadBalancerClass": noDataPath,
		"allocateLoadBalancerNodePorts": noDataPath, "externalTrafficPolicy": noDataPath, "internalTrafficPolicy": noDataPath,
		"healthCheckNodePort": noDataPath, "ipFamilies": noDataPath, "ipFamilyPolicy": noDataPath,
		"trafficDistribution": noDataPath,
	},
	harmless: map[string][]any{"sessionAffinity": {"None"}, "internalTrafficPolicy": {"Cluster"}},
}.at("spec"))

func adviseService(s *corev1.Service) []string {
	return []string{fmt.Sprintf("the Service %s is kept, but nothing answers at its name or an address yet", s.Name)}
}

// carryAddress leaves a Service the address that it has, if a client does not send it
// back, as Kubernetes does; it would have the same again, but the write would not be one
// that changes nothing.
func carryAddress(obj, old runtime.Object) {
	now, was := &obj.(*corev1.Service).Spec, &old.(*corev1.Service).Spec
	external := now.Type == corev1.ServiceTypeExternalName || was.Type == corev1.ServiceTypeExternalName
	if now.ClusterIP == "" && !external {
		now.ClusterIP = was.ClusterIP
	}
	now.ClusterIPs = nil
	if now.ClusterIP == was.ClusterIP {
		now.ClusterIPs = was.ClusterIPs
	}
}

func serviceRow(s *corev1.Service) []any {
	var ports []string
	for _, p := range s.Spec.Ports {
		ports = append(ports, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
	}
	external := "<none>"
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		external = s.Spec.ExternalName
	}
	return []any{
		s.Name, string(s.Spec.Type), or(s.Spec.ClusterIP, "<none>"), external, or(strings.Join(ports, ","), "<none>"),
		age(s.CreationTimestamp), or(labels.FormatLabels(s.Spec.Selector), "<none>"),
	}
}

const noTokens = "kept without effect: 'kubectl create token' makes tokens of a ServiceAccount, and a projected volume with a serviceAccountToken shows a pod one"

var serviceAccountKind = &kind{
	GroupVersionKind: core("ServiceAccount"), plural: "serviceaccounts", singular: "serviceaccount", short: []string{"sa"},
	namespaced: true, verbs: allVerbs,
	make:         func() runtime.Object { return &corev1.ServiceAccount{} },
	fields:       serviceAccountFields,
	validate:     on(valid.ServiceAccount),
	subresources: []subresource{{"token", tokenRequestKind, []string{"create"}}},
	columns:      []metav1.TableColumnDefinition{nameColumn, column("Secrets"), column("Age")},
	row: row(func(s *corev1.ServiceAccount) []any {
		return []any{s.Name, int64(len(s.Secrets)), age(s.CreationTimestamp)}
	}),
}

var serviceAccountFields = merged(fieldRules{
	honoured: []string{"metadata", "imagePullSecrets", "imagePullSecrets[].name"}, filled: []string{"apiVersion", "kind"},
	warned: map[string]string{
		"secrets":                      noTokens,
		"automountServiceAccountToken": noTokens,
	},
	harmless: map[string][]any{"automountServiceAccountToken": {false}},
}.at(""), metadataRules.at("metadata"))
