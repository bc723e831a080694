package api

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"holon/crdt/state"
)

const noPreemption = "nobody is preempted: pods of greater priority are placed first, and stop none that run"

var priorityFields = merged(
	fieldRules{
		honoured: []string{"metadata", "value", "globalDefault", "description"}, filled: []string{"apiVersion", "kind"},
		warned:   map[string]string{"preemptionPolicy": noPreemption},
		harmless: map[string][]any{"preemptionPolicy": {"Never"}},
	}.at(""),
	metadataRules.at("metadata"),
)

var priorityColumns = []metav1.TableColumnDefinition{
	nameColumn, column("Value"), column("Global-Default"), column("Age"), column("PreemptionPolicy"),
}

func priorityRow(c *schedulingv1.PriorityClass) []any {
	return []any{c.Name, int64(c.Value), c.GlobalDefault, age(c.CreationTimestamp), string(corev1.PreemptNever)}
}

// advisePriority names a class that is not here. It may be on its way from another
// node, so the object is taken.
func (s *Server) advisePriority(obj runtime.Object) []string {
	name := ""
	if spec := podSpecOf(obj); spec != nil {
		name = spec.PriorityClassName
	}
	if _, system := state.SystemPriority(name); name == "" || system {
		return nil
	}
	if _, here := s.config.Cache.Get(Key{Resource: PriorityClasses, Name: name}); here {
		return nil
	}
	return []string{fmt.Sprintf("no PriorityClass with name %s was found on this node: its pods have the least priority until there is one", name)}
}
