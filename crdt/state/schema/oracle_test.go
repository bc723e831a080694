package schema

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	smd "sigs.k8s.io/structured-merge-diff/v6/schema"
)

var objects = map[string]runtime.Object{
	"deployments.apps": &appsv1.Deployment{}, "replicasets.apps": &appsv1.ReplicaSet{}, "statefulsets.apps": &appsv1.StatefulSet{},
	"daemonsets.apps": &appsv1.DaemonSet{}, "pods": &corev1.Pod{}, "configmaps": &corev1.ConfigMap{}, "secrets": &corev1.Secret{},
	"namespaces": &corev1.Namespace{}, "nodes": &corev1.Node{}, "services": &corev1.Service{}, "serviceaccounts": &corev1.ServiceAccount{},
	"persistentvolumeclaims": &corev1.PersistentVolumeClaim{}, "jobs.batch": &batchv1.Job{}, "cronjobs.batch": &batchv1.CronJob{},
	"roles.rbac.authorization.k8s.io": &rbacv1.Role{}, "rolebindings.rbac.authorization.k8s.io": &rbacv1.RoleBinding{},
	"clusterroles.rbac.authorization.k8s.io": &rbacv1.ClusterRole{}, "clusterrolebindings.rbac.authorization.k8s.io": &rbacv1.ClusterRoleBinding{},
	"poddisruptionbudgets.policy": &policyv1.PodDisruptionBudget{}, "priorityclasses.scheduling.k8s.io": &schedulingv1.PriorityClass{},
	"leases.coordination.k8s.io": &coordinationv1.Lease{},
}

// excepted says why the table and the oracle differ at a path; empty: they may not.
func excepted(path string) string {
	switch {
	case path == ".status":
		return "derived, never stored"
	case strings.HasSuffix(path, ".metadata.managedFields"):
		return "keyed here, see Lists"
	}
	return ""
}

// The table against Kubernetes' own: the structured-merge-diff schema behind
// client-go's apply configurations, which its OpenAPI documents were made into.
func TestTableAgreesWithStructuredMergeDiff(t *testing.T) {
	if len(objects) != len(Resources) {
		t.Fatalf("%d objects for %d resources", len(objects), len(Resources))
	}
	for resource, object := range objects {
		kinds, _, err := scheme.Scheme.ObjectKinds(object)
		if err != nil {
			t.Fatal(err)
		}
		object.GetObjectKind().SetGroupVersionKind(kinds[0])
		value, err := applyconfigurations.NewTypeConverter(scheme.Scheme).ObjectToTyped(object)
		if err != nil {
			t.Fatal(resource, err)
		}
		o := oracle{t: t, schema: value.Schema(), seen: map[string]bool{}}
		o.compare(resource, "", value.TypeRef(), Of(resource))
		if o.compared < 20 {
			t.Errorf("%s: only %d nodes were compared", resource, o.compared)
		}
	}
}

type oracle struct {
	t        *testing.T
	schema   *smd.Schema
	seen     map[string]bool
	compared int
}

func (o *oracle) compare(resource, path string, ref smd.TypeRef, ours *Type) {
	if excepted(path) != "" {
		return
	}
	atom, ok := o.schema.Resolve(ref)
	if !ok {
		o.t.Fatalf("%s%s: the oracle does not resolve %v", resource, path, ref)
	}
	kind, keys := kindOf(atom)
	o.compared++
	if ours == nil {
		o.t.Errorf("%s%s: not in the table, %s for Kubernetes", resource, path, kind)
		return
	}
	if ours.Kind != kind || !slices.Equal(ours.Keys(), keys) {
		o.t.Errorf("%s%s: %s %v in the table, %s %v for Kubernetes", resource, path, ours.Kind, ours.Keys(), kind, keys)
		return
	}
	switch kind {
	case ListMap, Set:
		o.compare(resource, path+"[]", atom.List.ElementType, ours.Elem())
	case Map:
		o.compare(resource, path+"{}", atom.Map.ElementType, ours.Field("any"))
	case Struct:
		for _, f := range atom.Fields {
			o.compare(resource, path+"."+f.Name, f.Type, ours.Field(f.Name))
		}
		for _, name := range ours.Names() {
			if _, there := atom.FindField(name); !there {
				o.t.Errorf("%s%s.%s: in the table, unknown to Kubernetes", resource, path, name)
			}
		}
	}
}

func kindOf(a smd.Atom) (Kind, []string) {
	switch {
	case a.List != nil && a.List.ElementRelationship == smd.Associative && len(a.List.Keys) > 0:
		return ListMap, a.List.Keys
	case a.List != nil && a.List.ElementRelationship == smd.Associative:
		return Set, nil
	case a.List != nil:
		return Atomic, nil
	case a.Map != nil && a.Scalar != nil, a.Map == nil: // quantities, times and what is not described
		return Scalar, nil
	case a.Map.ElementRelationship == smd.Atomic:
		return Atomic, nil
	case len(a.Map.Fields) > 0:
		return Struct, nil
	}
	return Map, nil
}

// Groups and Lists name types and fields that are there.
func TestGroupsAreUsed(t *testing.T) {
	text := []string{}
	whole := 0
	for i := range types {
		if types[i].Whole {
			whole++
		}
		text = append(text, types[i].keys)
	}
	if whole != len(Groups) {
		t.Errorf("%d types are kept together, %d are named", whole, len(Groups))
	}
	for name, list := range Lists {
		if !slices.Contains(text, list.Keys) {
			t.Errorf("no list of the table has the keys of %s", name)
		}
	}
	for name, why := range Groups {
		if why == "" || !strings.HasPrefix(name, "k8s.io/") {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// All that a start of holon pays for the table.
func BenchmarkOf(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if Of("deployments.apps").Field("spec").Field("template") == nil {
			b.Fatal("no template")
		}
	}
}
