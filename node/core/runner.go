package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/runtime"
)

// orderRetry is how long a failed order waits before it is tried again.
const (
	orderRetryFirst = 500 * time.Millisecond
	orderRetryMax   = 30 * time.Second
	graceDefault    = 30 * time.Second
)

// startsMax bounds the starts under way at once, so that a storm of stand-ins
// does not stall a small node. Stops do not count: each may take its whole grace
// period, and what is to start must not wait for them. A node that came back from
// a power cut waited so, with its own pods, for stand-ins that it had begun again.
const startsMax = 8

// runner makes the containers of this node follow the slots: it admits runs in
// the order of their age against the node's own room, orders what is missing,
// restarts what died and stops what has no slot any more.
//
//	wanted -> admitted -> ensure ordered -> running -> (exited -> restart)* -> stopping -> gone
//	       -> refused (typed reason; the workload's scheduler looks elsewhere)
type runner struct {
	runs     map[state.RunID]*run
	seen     map[state.RunID]runtime.Status
	lastSeen Instant // when the runtime was observed last; 0: never since boot
	draining bool    // slots shall move away
	stopping bool    // everything here stops, wanted or not
	dirty    bool
	starting int // Ensure and Restart orders under way
}

// run is one run that this node executes, or shall, or still does.
type run struct {
	id       state.RunID
	slot     state.Slot
	workload *state.Workload // as it was when the run was last wanted
	revision string
	template *corev1.PodTemplateSpec

	wanted   bool
	admitted bool
	refused  string
	message  string

	busy    bool    // an order is under way
	ensured Instant // when Ensure was ordered last
	retryAt Instant
	failed  int // orders failed in a row
	reason  string
	restart map[string]*backoff
	stopped bool // a stop was ordered
}

func newRunner() runner {
	return runner{runs: map[state.RunID]*run{}, seen: map[state.RunID]runtime.Status{}, dirty: true}
}

// observed takes what the runtime sees. It is the whole truth about containers:
// what is not in it does not run.
func (c *Core) observed(pods []runtime.Status) {
	clear(c.runner.seen)
	for _, p := range pods {
		c.runner.seen[state.RunID(p.ID)] = p
	}
	c.runner.lastSeen = c.now
	c.runner.dirty, c.status.dirty = true, true
}

// ordered takes the outcome of an order.
func (c *Core) ordered(ev Ordered) {
	if ev.Order.Kind != Stop {
		c.runner.starting = max(c.runner.starting-1, 0)
	}
	c.runner.dirty, c.status.dirty = true, true
	r := c.runner.runs[state.RunID(ev.Order.Run)]
	if r == nil {
		return
	}
	r.busy = false
	if ev.Err == nil {
		r.failed, r.reason, r.message, r.retryAt = 0, "", "", 0
		if ev.Order.Kind == Stop {
			delete(c.runner.runs, r.id)
			delete(c.runner.seen, r.id)
		}
		return
	}
	r.failed++
	wait := min(orderRetryFirst<<min(r.failed-1, 10), orderRetryMax)
	if !ev.Err.Kind.Retry() {
		wait = orderRetryMax
	}
	r.retryAt = c.now + wait
	r.reason, r.message = string(ev.Err.Kind), ev.Err.Error()
	if ev.Err.Kind == runtime.PortTaken && ev.Order.Kind == Ensure {
		r.refused, r.admitted = string(runtime.PortTaken), false
	}
	if ev.Order.Kind == Stop {
		r.stopped = false
	}
	c.fact(true, r.about(), "Failed"+string(ev.Err.Kind), "%s", r.message)
}

func (r *run) about() state.Key {
	if r.workload == nil {
		return ""
	}
	return state.MakeKey(state.Pods, r.workload.Namespace, podName(r.workload, r.revision, r.id))
}

// podName is the name of the pod that shows a run.
func podName(w *state.Workload, revision string, id state.RunID) string {
	if w.Bare() {
		return w.Name
	}
	return state.PodName(w.Name+"-"+revision, id)
}

// reconcile compares what shall run here with what does, and orders the
// difference.
func (c *Core) reconcile() {
	if !c.runner.dirty {
		c.wakeRuns()
		return
	}
	c.runner.dirty = false
	c.wantRuns()
	c.admit()
	for _, id := range sortedKeys(c.runner.runs) {
		c.drive(c.runner.runs[id])
	}
	c.sweepOrphans()
	c.wakeRuns()
}

// wakeRuns asks to come back when a back-off or a retry ends.
func (c *Core) wakeRuns() {
	for _, r := range c.runner.runs {
		if r.retryAt > c.now {
			c.wake(r.retryAt)
		} else if r.retryAt != 0 {
			c.runner.dirty = true
			r.retryAt = 0
			c.wake(c.now)
		}
		for _, b := range r.restart {
			if b.until > c.now {
				c.wake(b.until)
			} else if b.until != 0 {
				c.runner.dirty = true
				b.until = 0
				c.wake(c.now)
			}
		}
	}
}

func (c *Core) order(r *run, o Order) {
	o.Run = runtime.RunID(r.id)
	r.busy = true
	if o.Kind != Stop {
		c.runner.starting++
	}
	c.out.Run = append(c.out.Run, o)
}

// drive gives the next order for one run, if there is one.
func (c *Core) drive(r *run) {
	_, here := c.runner.seen[r.id]
	switch {
	case r.busy || r.retryAt > c.now:
	case !r.wanted && !here && !r.stopped && !r.admitted:
		delete(c.runner.runs, r.id)
		c.status.dirty = true
	case !r.wanted:
		r.stopped = true
		c.status.dirty = true
		c.fact(false, r.about(), "Killing", "stopping slot %d of %s on %s", r.slot.ID.Index, r.workload.Key, c.cfg.Node)
		c.order(r, Order{Kind: Stop, Grace: grace(r.template)})
	case !r.admitted || c.runner.starting >= startsMax || c.runner.lastSeen == 0:
	case !here || c.incomplete(r):
		c.ensure(r)
	default:
		c.restartExited(r)
	}
}

// ensureAgain is how long an ordered container may take to start before the pod
// is ordered again: a crash may have come between.
const ensureAgain = 2 * time.Second

// incomplete reports whether a container of the pod is missing or has never
// started although it was ordered a while ago.
func (c *Core) incomplete(r *run) bool {
	seen := c.runner.seen[r.id].Containers
	waits := len(seen) < len(r.template.Spec.Containers)
	for i := range seen {
		waits = waits || seen[i].State == runtime.Created
	}
	if !waits {
		return false
	}
	if due := r.ensured + ensureAgain; r.ensured != 0 && c.now < due {
		c.wake(due)
		r.retryAt = due
		return false
	}
	return true
}

func grace(template *corev1.PodTemplateSpec) time.Duration {
	if s := template.Spec.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return graceDefault
}

func (c *Core) ensure(r *run) {
	spec, sealed, err := c.podSpec(r)
	if err != nil {
		if r.message != err.Error() {
			c.fact(true, r.about(), "CreateContainerConfigError", "%v", err)
		}
		r.reason, r.message, r.retryAt = "CreateContainerConfigError", err.Error(), c.now+orderRetryMax
		c.status.dirty = true
		return
	}
	r.ensured = c.now
	c.order(r, Order{Kind: Ensure, Spec: spec, Sealed: sealed})
}
