package core

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"
)

// tell has a probe make one attempt after another, and gives its verdicts.
func tell(p *prober, results ...bool) (verdicts []verdict) {
	for _, ok := range results {
		p.end(p.begin(p.due), ok, false)
		verdicts = append(verdicts, p.verdict)
	}
	return verdicts
}

// TestProbeThresholds: a verdict is the newest row of equal results that was as long
// as its threshold, counted anew by a second look at all results.
func TestProbeThresholds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		success, failure := rapid.Int32Range(1, 4).Draw(t, "success"), rapid.Int32Range(1, 4).Draw(t, "failure")
		results := rapid.SliceOfN(rapid.Bool(), 1, 30).Draw(t, "results")
		p := newProber(readinessProbe, &corev1.Probe{PeriodSeconds: 1, SuccessThreshold: success, FailureThreshold: failure}, time.Hour, false)
		got, want := tell(&p, results...), undecided
		for i := range results {
			row := int32(1)
			for j := i; j > 0 && results[j-1] == results[i]; j-- {
				row++
			}
			switch {
			case results[i] && row >= success:
				want = passes
			case !results[i] && row >= failure:
				want = fails
			}
			if got[i] != want {
				t.Fatalf("after %v (thresholds %d, %d) the verdict is %d, want %d", results[:i+1], success, failure, got[i], want)
			}
		}
	})
}

func TestProbeIsDue(t *testing.T) {
	spec := &corev1.Probe{InitialDelaySeconds: 5, PeriodSeconds: 10, SuccessThreshold: 2, FailureThreshold: 3}
	p := newProber(readinessProbe, spec, time.Hour, false)
	if p.waits(false) != 0 {
		t.Error("a container that has not started is asked whether it is ready")
	}
	if due := p.waits(true); due != time.Hour+5*time.Second {
		t.Errorf("first due at %v", due)
	}
	n := p.begin(time.Hour + 6*time.Second)
	if p.waits(true) != 0 {
		t.Error("a second attempt while one is under way")
	}
	if p.end(n+1, true, false) || p.end(n-1, true, false) || p.waits(true) != 0 {
		t.Error("the result of another attempt was taken")
	}
	p.end(n, true, true)
	if due := p.waits(true); due != time.Hour+16*time.Second || p.row != 0 {
		t.Errorf("after an attempt that could not be made: due at %v, %d in a row", due, p.row)
	}
}

// TestAdoptedProbe: what runs when the daemon starts is asked at once and believed at once.
func TestAdoptedProbe(t *testing.T) {
	spec := &corev1.Probe{InitialDelaySeconds: 60, PeriodSeconds: 10, SuccessThreshold: 3, FailureThreshold: 3}
	p := newProber(readinessProbe, spec, time.Hour, true)
	if due := p.waits(true); due != time.Hour {
		t.Errorf("first due at %v", due)
	}
	if got := tell(&p, true, false, false, false, true, true, true); got[0] != passes || got[2] != passes || got[3] != fails || got[5] != fails || got[6] != passes {
		t.Errorf("verdicts are %v", got)
	}
}

// TestProbeEnds: startup is decided once, and who is not alive is not asked again.
func TestProbeEnds(t *testing.T) {
	spec := &corev1.Probe{PeriodSeconds: 1, SuccessThreshold: 1, FailureThreshold: 2}
	for kind, ends := range map[probeKind]map[bool]bool{
		startupProbe: {true: true, false: true}, livenessProbe: {true: false, false: true}, readinessProbe: {true: false, false: false},
	} {
		for ok, over := range ends {
			p := newProber(kind, spec, time.Hour, false)
			tell(&p, ok, ok)
			if p.over != over || (p.waits(true) == 0) != over {
				t.Errorf("%v probe, result %v: over is %v", kind, ok, p.over)
			}
		}
	}
}
