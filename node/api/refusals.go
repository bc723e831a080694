package api

import (
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// refusal is a kind of Kubernetes that holon has not. Discovery names it, without a verb:
// so clients find where its objects would be, ask there, and are answered in words
// instead of saying themselves that nobody knows the kind.
type refusal struct {
	schema.GroupVersion
	kind, plural string
	short        []string
	namespaced   bool
	why          string // and what to use instead
}

var (
	coreV1       = schema.GroupVersion{Version: "v1"}
	admission    = schema.GroupVersion{Group: "admissionregistration.k8s.io", Version: "v1"}
	networking   = schema.GroupVersion{Group: "networking.k8s.io", Version: "v1"}
	storage      = schema.GroupVersion{Group: "storage.k8s.io", Version: "v1"}
	autoscaling  = schema.GroupVersion{Group: "autoscaling", Version: "v2"}
	autoscaling1 = schema.GroupVersion{Group: "autoscaling", Version: "v1"}
)

const (
	noScaling = "nothing measures load; set spec.replicas, or change it with kubectl scale"
	noAsking  = "nothing is asked before a write; "
	noRouting = "nothing routes requests from outside; run a proxy as a DaemonSet or a Deployment with a hostPort"
	addresses = "nothing routes by them; a Pod says its address in status.podIP"
)

// refusals are the kinds that charts and manifests bring along most often.
var refusals = []refusal{
	{coreV1, "Endpoints", "endpoints", []string{"ep"}, true, addresses},
	{coreV1, "LimitRange", "limitranges", []string{"limits"}, true, "containers get no defaults; set resources.requests and resources.limits in each of them"},
	{coreV1, "ReplicationController", "replicationcontrollers", []string{"rc"}, true, "a Deployment does the same"},
	{coreV1, "ResourceQuota", "resourcequotas", []string{"quota"}, true,
		"a namespace has no bound; set resources.requests in each container, which nodes count, and PriorityClasses for who comes first"},
	{admission, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", nil, false, noAsking + "write into the manifests what a webhook would have added"},
	{admission, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", nil, false, noAsking + "check manifests before they are applied, or allow less with Roles"},
	{admission, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", nil, false, noAsking + "check manifests before they are applied, or allow less with Roles"},
	{admission, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", nil, false, noAsking + "check manifests before they are applied, or allow less with Roles"},
	{schema.GroupVersion{Group: "apiextensions.k8s.io", Version: "v1"}, "CustomResourceDefinition", "customresourcedefinitions", []string{"crd", "crds"}, false,
		"kinds cannot be added; programs that need their own keep them elsewhere, in a ConfigMap for instance (helm install --skip-crds leaves out a chart's crds/)"},
	{schema.GroupVersion{Group: "apiregistration.k8s.io", Version: "v1"}, "APIService", "apiservices", nil, false,
		"requests are not passed on to other servers; call the program at its own address"},
	{autoscaling, "HorizontalPodAutoscaler", "horizontalpodautoscalers", []string{"hpa"}, true, noScaling},
	{autoscaling1, "HorizontalPodAutoscaler", "horizontalpodautoscalers", []string{"hpa"}, true, noScaling},
	{schema.GroupVersion{Group: "certificates.k8s.io", Version: "v1"}, "CertificateSigningRequest", "certificatesigningrequests", []string{"csr"}, false,
		"holon kubeconfig --user makes a credential"},
	{networking, "Ingress", "ingresses", []string{"ing"}, true, noRouting},
	{networking, "IngressClass", "ingressclasses", nil, false, noRouting},
	{networking, "NetworkPolicy", "networkpolicies", []string{"netpol"}, true, "nothing would enforce one, and every pod would still be reached; use the firewalls of the hosts"},
	{schema.GroupVersion{Group: "node.k8s.io", Version: "v1"}, "RuntimeClass", "runtimeclasses", nil, false,
		"each node has one runtime (holon up --runtime); choose nodes with a nodeSelector"},
	{storage, "CSIDriver", "csidrivers", nil, false,
		"volumes are directories of nodes; use a PersistentVolumeClaim, and let the program copy its data between its replicas"},
}

// refusalOf finds what a path is about, if holon refuses it.
func refusalOf(path string) *refusal {
	gv, segments := splitPath(path)
	if len(segments) >= 3 && segments[0] == "namespaces" {
		segments = segments[2:]
	}
	if len(segments) == 0 {
		return nil
	}
	i := slices.IndexFunc(refusals, func(r refusal) bool { return r.GroupVersion == gv && r.plural == segments[0] })
	if i < 0 {
		return nil
	}
	return &refusals[i]
}

// answer refuses a request. Nothing of the kind is there, and nothing can be made: who
// looks or deletes goes on as if the object were missing.
func (f *refusal) answer(method string) error {
	gr := schema.GroupResource{Group: f.Group, Resource: f.plural}
	words := "holon has no " + plurals(f.kind) + ": " + f.why
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		err := apierrors.NewNotFound(gr, "")
		err.ErrStatus.Message = words
		return err
	}
	err := apierrors.NewMethodNotSupported(gr, pathVerbs[method])
	err.ErrStatus.Message = words
	return err
}

// plurals is how people call many objects of a kind.
func plurals(kind string) string {
	switch {
	case kind == "Endpoints":
		return kind
	case strings.HasSuffix(kind, "y"):
		return strings.TrimSuffix(kind, "y") + "ies"
	case strings.HasSuffix(kind, "s"):
		return kind + "es"
	}
	return kind + "s"
}

// resource is how discovery names it. Without verbs it is in no list of what there is.
func (f *refusal) resource() metav1.APIResource {
	return metav1.APIResource{
		Name: f.plural, SingularName: strings.ToLower(f.kind), Namespaced: f.namespaced, Kind: f.kind, ShortNames: f.short, Verbs: metav1.Verbs{},
	}
}
