package state

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holon/crdt"
)

// Kubernetes' arithmetic: per cent of what is expected, rounded up.
func TestBudgetsCountAsKubernetesDoes(t *testing.T) {
	w := &writer{replica: crdt.ReplicaID{1}}
	for _, c := range []struct {
		spec             string
		n                BudgetCounts
		desired, allowed int
	}{
		{`{"minAvailable":2}`, BudgetCounts{Expected: 3, Healthy: 3}, 2, 1},
		{`{"minAvailable":2}`, BudgetCounts{Expected: 3, Healthy: 1}, 2, 0},
		{`{"minAvailable":5}`, BudgetCounts{Expected: 3, Healthy: 3}, 5, 0},
		{`{"minAvailable":"50%"}`, BudgetCounts{Expected: 3, Healthy: 3}, 2, 1},
		{`{"maxUnavailable":1}`, BudgetCounts{Expected: 3, Healthy: 3}, 2, 1},
		{`{"maxUnavailable":1}`, BudgetCounts{Expected: 3, Healthy: 3, Moving: 1}, 2, 0},
		{`{"maxUnavailable":0}`, BudgetCounts{Expected: 3, Healthy: 3}, 3, 0},
		{`{"maxUnavailable":"30%"}`, BudgetCounts{Expected: 4, Healthy: 4}, 2, 2},
		{`{"maxUnavailable":9}`, BudgetCounts{Expected: 3, Healthy: 2}, 0, 2},
		{`{"minAvailable":0}`, BudgetCounts{}, 0, 0},
		{`{}`, BudgetCounts{Expected: 3, Healthy: 3}, 0, 3},
	} {
		b, err := DecodeBudget(MakeKey(Budgets, "default", "b"), w.stored(t, crdt.UID{7}, `{"spec":`+c.spec+`}`))
		if err != nil {
			t.Fatal(err)
		}
		if desired, allowed := b.Desired(c.n), b.Allowed(c.n); desired != c.desired || allowed != c.allowed {
			t.Errorf("%s of %+v: %d desired, %d allowed; want %d and %d", c.spec, c.n, desired, allowed, c.desired, c.allowed)
		}
	}
}

// A null selector is about no pod, an empty one about all of the namespace.
func TestBudgetsSelect(t *testing.T) {
	w := &writer{replica: crdt.ReplicaID{1}}
	web := &Workload{Namespace: "default", Template: &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "a"}}}}
	for selector, want := range map[string]bool{
		`{}`: false, `{"selector":{}}`: true, `{"selector":{"matchLabels":{"app":"a"}}}`: true, `{"selector":{"matchLabels":{"app":"b"}}}`: false,
		`{"selector":{"matchExpressions":[{"key":"app","operator":"NotIn","values":["a"]}]}}`: false,
	} {
		b, err := DecodeBudget(MakeKey(Budgets, "default", "b"), w.stored(t, crdt.UID{7}, `{"spec":`+selector+`}`))
		if err != nil {
			t.Fatal(err)
		}
		if b.Selects(web) != want {
			t.Errorf("%s selects: %v", selector, !want)
		}
		if b.Namespace = "other"; b.Selects(web) {
			t.Errorf("%s selects pods of another namespace", selector)
		}
	}
	if b, err := DecodeBudget(MakeKey(Budgets, "default", "b"), &crdt.Record{}); b != nil || err != nil {
		t.Errorf("nothing is the budget %v, %v", b, err)
	}
}
