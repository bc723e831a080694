package core

import (
	"cmp"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// probeKind is what a probe decides.
type probeKind uint8

const (
	startupProbe probeKind = iota
	livenessProbe
	readinessProbe
)

func (k probeKind) String() string { return [...]string{"Startup", "Liveness", "Readiness"}[k] }

// verdict is what the attempts of one probe say together.
type verdict uint8

const (
	undecided verdict = iota
	passes
	fails
)

// prober is one probe of one attempt of a container, as kubelet's worker is: a
// value that is asked whether it is due and told how attempts went.
//
// A container that a daemon finds running was judged by the one before, which took
// its verdict with it. So an adopted prober is due at once, and if its first attempt
// passes, that decides alone, whatever the success threshold: else each restart of the
// daemon would make ready pods unready for thresholds times periods. If it fails, that
// says nothing, and the prober begins as one of a container that has just started: how
// much of the initial delay is left nobody knows. Liveness has no verdict to lose.
type prober struct {
	kind    probeKind
	spec    *corev1.Probe
	period  time.Duration
	success int
	failure int
	adopted bool // and has not been asked yet

	due      Instant
	underWay bool
	number   uint64 // of the newest attempt; results of others are ignored
	verdict  verdict
	last     verdict // of the newest attempt
	row      int     // how many attempts in a row said so
	over     bool    // startup has passed, or the container is condemned
}

// newProber begins to probe a container that was first seen running at began. A
// template from before probes were run lacks their defaults.
func newProber(kind probeKind, p *corev1.Probe, began Instant, adopted bool) prober {
	adopted = adopted && kind != livenessProbe
	due := began
	if !adopted {
		due += initialDelay(p)
	}
	return prober{
		kind: kind, spec: p, period: time.Duration(max(cmp.Or(p.PeriodSeconds, 10), 1)) * time.Second, adopted: adopted, due: due,
		success: int(max(p.SuccessThreshold, 1)), failure: int(max(cmp.Or(p.FailureThreshold, 3), 1)),
	}
}

func initialDelay(p *corev1.Probe) time.Duration {
	return time.Duration(p.InitialDelaySeconds) * time.Second
}

// waits reports when the next attempt is due; 0: when something else happens. Until
// its startup probe has passed, a container is asked nothing else.
func (p *prober) waits(started bool) Instant {
	if p.over || p.underWay || !started && p.kind != startupProbe {
		return 0
	}
	return p.due
}

// begin takes an attempt that is due. The next one is a period after it began, or
// when it has ended, if that is later.
func (p *prober) begin(now Instant) (number uint64) {
	p.underWay, p.due = true, now+p.period
	p.number++
	return p.number
}

// end takes the result of an attempt, and reports whether the verdict has changed.
// An attempt that could not be made (void) says nothing of the container, nor does the
// first one of an adopted prober if it fails.
func (p *prober) end(number uint64, ok, void bool) (changed bool) {
	if p.over || !p.underWay || number != p.number {
		return false
	}
	p.underWay = false
	if void {
		return false
	}
	said, enough := fails, p.failure
	if ok {
		said, enough = passes, p.success
	}
	if p.adopted {
		p.adopted, enough = false, 1
		if !ok {
			p.due = max(p.due, p.due-p.period+initialDelay(p.spec))
			return false
		}
	}
	if said != p.last {
		p.last, p.row = said, 0
	}
	if p.row++; p.row < enough {
		return false
	}
	changed = p.verdict != said
	p.verdict = said
	p.over = p.kind == startupProbe || p.kind == livenessProbe && said == fails
	return changed
}
