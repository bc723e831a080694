package state

import (
	"fmt"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"holon/crdt"
)

// Budget is how many of some pods may be disrupted on purpose at once.
type Budget struct {
	Key        Key
	UID        crdt.UID
	Namespace  string
	Generation int64
	// AlwaysAllow: what is not ready may go in any case.
	AlwaysAllow bool
	Object      map[string]any
	Conflicts   []Conflict

	selector labels.Selector
	// least are to be healthy, or all but most; nil: not said.
	least, most *intstr.IntOrString
}

// BudgetCounts is how the pods of a budget are, counted in slots: those wanted, those
// of which a pod is ready, and those of the latter whose place has changed and that
// the former pod still serves.
type BudgetCounts struct{ Expected, Healthy, Moving int }

// Plus adds up two counts.
func (n BudgetCounts) Plus(o BudgetCounts) BudgetCounts {
	return BudgetCounts{n.Expected + o.Expected, n.Healthy + o.Healthy, n.Moving + o.Moving}
}

// Minus is the inverse of Plus.
func (n BudgetCounts) Minus(o BudgetCounts) BudgetCounts {
	return BudgetCounts{n.Expected - o.Expected, n.Healthy - o.Healthy, n.Moving - o.Moving}
}

// DecodeBudget reads a PodDisruptionBudget from its record; nil if it is gone.
func DecodeBudget(key Key, rec *crdt.Record) (*Budget, error) {
	obj, ok, err := DecodeObject(rec)
	if err != nil || !ok {
		return nil, err
	}
	var typed policyv1.PodDisruptionBudget
	if err := Convert(obj.Value, &typed); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	_, namespace, _ := key.Split()
	b := &Budget{
		Key: key, UID: obj.UID, Namespace: namespace, Generation: typed.Generation, Object: obj.Value, Conflicts: Conflicts(key, rec),
		least: typed.Spec.MinAvailable, most: typed.Spec.MaxUnavailable,
	}
	if p := typed.Spec.UnhealthyPodEvictionPolicy; p != nil {
		b.AlwaysAllow = *p == policyv1.AlwaysAllow
	}
	for _, share := range []*intstr.IntOrString{b.least, b.most} {
		if _, err := scaled(share, 1, true); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	if b.selector, err = metav1.LabelSelectorAsSelector(typed.Spec.Selector); err != nil {
		return nil, fmt.Errorf("%s: selector: %w", key, err)
	}
	return b, nil
}

// Selects reports whether the pods of a workload count for the budget.
func (b *Budget) Selects(w *Workload) bool {
	return b.Namespace == w.Namespace && b.selector.Matches(labels.Set(w.Template.Labels))
}

// Desired is how many are to be healthy.
func (b *Budget) Desired(n BudgetCounts) int {
	desired := 0
	switch { // shares were looked at when they were read
	case b.most != nil:
		most, _ := scaled(b.most, n.Expected, true)
		desired = n.Expected - most
	case b.least != nil:
		desired, _ = scaled(b.least, n.Expected, true)
	}
	return max(desired, 0)
}

// Allowed is how many may be disrupted now.
func (b *Budget) Allowed(n BudgetCounts) int {
	if n.Expected == 0 {
		return 0
	}
	return max(n.Healthy-n.Moving-b.Desired(n), 0)
}

// BudgetFace adds the derived status to a stored PodDisruptionBudget.
func BudgetFace(b *Budget, n BudgetCounts) map[string]any {
	v := WithMeta(b.Key, b.UID.String(), copyObject(b.Object))
	reason, allowed := "SufficientPods", b.Allowed(n)
	if allowed == 0 {
		reason = "InsufficientPods"
	}
	v["status"] = map[string]any{
		"observedGeneration": b.Generation, "expectedPods": int64(n.Expected), "currentHealthy": int64(n.Healthy),
		"desiredHealthy": int64(b.Desired(n)), "disruptionsAllowed": int64(allowed),
		"conditions": append([]any{condition("DisruptionAllowed", allowed > 0, reason, "")}, mergeConditions(b.Conflicts, "")...),
	}
	return v
}
