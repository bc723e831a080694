package api

import (
	"slices"
	"strings"
	"testing"

	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPriorityClassesAreServed(t *testing.T) {
	f := serve(t)
	classes := f.kube.SchedulingV1().PriorityClasses()
	made, err := classes.Create(f.ctx, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "urgent"}, Value: 10}, create)
	check(t, err)
	made.Value = 11
	if _, err := classes.Update(f.ctx, made, update); !apierrors.IsInvalid(err) {
		t.Errorf("another value: %v", err)
	}
	check(t, classes.Delete(f.ctx, "urgent", del))
}

// A class that is not here is said, and keeps nobody from anything: it may be on its
// way from another node.
func TestAnUnknownPriorityClassIsNamed(t *testing.T) {
	f := serve(t)
	d := deployment("web", 1)
	for class, want := range map[string]bool{"": false, "urgent": true, "system-node-critical": false} {
		d.Spec.Template.Spec.PriorityClassName = class
		advice := f.server.advisePriority(d)
		if named := slices.ContainsFunc(advice, func(a string) bool { return strings.Contains(a, "no PriorityClass with name urgent") }); named != want || len(advice) > 1 {
			t.Errorf("%q: %q", class, advice)
		}
	}
	_, err := f.kube.SchedulingV1().PriorityClasses().Create(f.ctx, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "urgent"}}, create)
	check(t, err)
	d.Spec.Template.Spec.PriorityClassName = "urgent"
	if advice := f.server.advisePriority(d); len(advice) > 0 {
		t.Errorf("a class that is there: %q", advice)
	}
}
