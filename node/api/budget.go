package api

import (
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var budgetFields = merged(
	typeRules.at(""), metadataRules.at("metadata"),
	fieldRules{
		honoured: append([]string{"minAvailable", "maxUnavailable", "selector", "unhealthyPodEvictionPolicy"}, selectorFields("selector")...),
	}.at("spec"),
)

var budgetColumns = []metav1.TableColumnDefinition{
	nameColumn, column("Min Available"), column("Max Unavailable"), column("Allowed Disruptions"), column("Age"),
}

func budgetRow(b *policyv1.PodDisruptionBudget) []any {
	share := func(v *intstr.IntOrString) string {
		if v == nil {
			return "N/A"
		}
		return v.String()
	}
	return []any{b.Name, share(b.Spec.MinAvailable), share(b.Spec.MaxUnavailable), int64(b.Status.DisruptionsAllowed), age(b.CreationTimestamp)}
}
