package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"holon/runtime"
)

// Restart back-off as Kubernetes': the first restart at once, then 10 s, doubled
// up to 5 min, forgotten after 10 min without a crash.
const (
	backoffFirst = 10 * time.Second
	backoffMax   = 5 * time.Minute
	backoffReset = 10 * time.Minute
)

type backoff struct {
	attempt int
	last    Instant // when the newest attempt was ordered
	wait    time.Duration
	until   Instant
}

// restartExited starts containers that have exited and whose policy wants them
// back, each after its own back-off.
func (c *Core) restartExited(r *run) {
	begun := c.runner.begun(r)
	for at, container := range r.containers() {
		seen := c.runner.sees(r, container.Name)
		if seen == nil || seen.State != runtime.Exited || !begun[at] || !r.restarts(seen) || !c.mayRestart(r, seen) {
			continue
		}
		spec, sealed, err := c.podSpec(r)
		if err != nil {
			r.reason, r.message, r.retryAt = configError, err.Error(), c.now+orderRetryMax
			return
		}
		c.fact(true, r.about(), "Restarting", "container %s exited with code %d; starting it again (attempt %d)", seen.Name, seen.ExitCode, seen.Attempt+1)
		credentials, absent := c.pullSecrets(r)
		c.order(r, Order{Kind: Restart, Spec: spec, Sealed: append(sealed, credentials...), NoPullSecret: absent, Container: seen.Name, Attempt: seen.Attempt + 1})
		return // one order at a time; the next outcome comes back here
	}
}

// restarts reports whether a container that has exited is started again. One that was
// condemned is, even if it took its leave with code 0.
func (r *run) restarts(seen *runtime.ContainerStatus) bool {
	policy, w := r.policyOf(seen.Name), r.watched[seen.Name]
	ended := w != nil && w.attempt == seen.Attempt && w.condemned != ""
	return restarts(policy, seen.ExitCode) || ended && policy != corev1.RestartPolicyNever
}

func restarts(policy corev1.RestartPolicy, exitCode int) bool {
	switch policy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return exitCode != 0
	}
	return true
}

// mayRestart advances the back-off of a container that has exited and reports
// whether its time has come.
func (c *Core) mayRestart(r *run, seen *runtime.ContainerStatus) bool {
	b := r.restart[seen.Name]
	if b == nil {
		b = &backoff{attempt: -1}
		r.restart[seen.Name] = b
	}
	if b.attempt != seen.Attempt { // a new crash
		switch {
		case b.attempt < 0 || c.now-b.last >= backoffReset:
			b.wait = 0
		case b.wait == 0:
			b.wait = backoffFirst
		default:
			b.wait = min(2*b.wait, backoffMax)
		}
		b.attempt = seen.Attempt
		b.until = 0
		if b.wait > 0 {
			b.until = c.now + b.wait
		}
	}
	if b.until > c.now {
		c.status.dirty = true
		return false
	}
	b.until, b.last = 0, c.now
	return true
}
