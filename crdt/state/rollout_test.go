package state

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The figures are those of Kubernetes' ResolveFenceposts.
func TestRolloutBounds(t *testing.T) {
	for _, c := range []struct {
		surge, unavailable string // "": not said
		replicas           int
		wantSurge          int
		wantUnavailable    int
	}{
		{"", "", 10, 3, 2},
		{"", "", 1, 1, 0},
		{"", "", 0, 0, 1},
		{"", "", 4, 1, 1},
		{"0", "0", 5, 0, 1},
		{"0%", "0%", 5, 0, 1},
		{"1", "0", 5, 1, 0},
		{"0", "3", 5, 0, 3},
		{"100%", "100%", 7, 7, 7},
		{"10%", "10%", 9, 1, 0},
		{"0", "10%", 9, 0, 1}, // rounds down to nothing, and nothing may surge
		{"34%", "34%", 3, 2, 1},
		{"200%", "50%", 3, 6, 1},
		{"", "1", 10, 3, 1},
		{"2", "", 10, 2, 2},
	} {
		strategy := appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: parsed(c.surge), MaxUnavailable: parsed(c.unavailable)}}
		surge, unavailable, err := rolloutBounds(strategy, c.replicas)
		if err != nil || surge != c.wantSurge || unavailable != c.wantUnavailable {
			t.Errorf("surge %q, unavailable %q of %d: %d, %d, %v; want %d, %d",
				c.surge, c.unavailable, c.replicas, surge, unavailable, err, c.wantSurge, c.wantUnavailable)
		}
	}
}

func parsed(text string) *intstr.IntOrString {
	if text == "" {
		return nil
	}
	v := intstr.Parse(text)
	return &v
}

func TestRolloutBoundsRefuse(t *testing.T) {
	for _, text := range []string{"nan%", "inf%", "-1", "-5%", "25", "25%%", "x", "99999999999999999999%", "1e3%", "%"} {
		v := intstr.FromString(text)
		if text == "-1" {
			v = intstr.FromInt32(-1)
		}
		for _, r := range []*appsv1.RollingUpdateDeployment{{MaxSurge: &v}, {MaxUnavailable: &v}} {
			if s, u, err := rolloutBounds(appsv1.DeploymentStrategy{RollingUpdate: r}, 10); err == nil {
				t.Errorf("%q is read as surge %d, unavailable %d", text, s, u)
			}
		}
	}
}

func TestRecreateTakesAllDownAtOnce(t *testing.T) {
	surge, unavailable, err := rolloutBounds(appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}, 6)
	if surge != 0 || unavailable != 6 || err != nil {
		t.Errorf("surge %d, unavailable %d, %v", surge, unavailable, err)
	}
}
