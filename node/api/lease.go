package api

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holon/crdt/state"
	"holon/crdt/state/valid"
)

// notExclusive is said to whoever makes a lease, and not with each renewal.
const notExclusive = "a Lease excludes nobody on the other side of a partition: each side of a split grants it, and for a moment two nodes may"

const noElection = "nobody elects a holder here: the programs that hold a lease do"

var leaseKind = &kind{
	GroupVersionKind: schema.GroupVersionKind{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease"},
	plural:           "leases", singular: "lease",
	namespaced: true, verbs: allVerbs,
	make:     func() runtime.Object { return &coordinationv1.Lease{} },
	fields:   leaseFields,
	validate: on(valid.Lease), adviseCreate: notExclusive,
	columns: leaseColumns, row: row(leaseRow),
}

var leaseFields = merged(
	fieldRules{honoured: []string{"metadata", "spec"}, filled: []string{"apiVersion", "kind"}}.at(""),
	metadataRules.at("metadata"),
	fieldRules{
		honoured: []string{"holderIdentity", "leaseDurationSeconds", "acquireTime", "renewTime", "leaseTransitions"},
		warned:   map[string]string{"strategy": noElection, "preferredHolder": noElection},
	}.at("spec"),
)

var leaseColumns = []metav1.TableColumnDefinition{nameColumn, column("Holder"), column("Age")}

func leaseRow(l *coordinationv1.Lease) []any {
	return []any{l.Name, deref(l.Spec.HolderIdentity), age(l.CreationTimestamp)}
}

// nodeLease is the lease that kubelets keep in Kubernetes and that kubectl describe asks
// for: holon's nodes keep none, so it says whose it would be and no time.
func (s *Server) nodeLease(k Key) (Object, bool) {
	if k.Resource != leaseKind.key() || k.Namespace != corev1.NamespaceNodeLease {
		return Object{}, false
	}
	node, ok := s.config.Cache.Get(Key{Resource: Nodes, Name: k.Name})
	if !ok {
		return Object{}, false
	}
	return Object{Key: k, RV: node.RV, Source: Decoded{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": map[string]any{"holderIdentity": k.Name},
		"metadata": map[string]any{"name": k.Name, "namespace": k.Namespace, "uid": state.DerivedUID("node lease", uidOf(node.Value())).String()},
	}}, true
}
