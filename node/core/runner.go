package core

import (
	"cmp"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/runtime"
	"holon/scheduler"
)

// Restart back-off as Kubernetes': the first restart at once, then 10 s, doubled
// up to 5 min, forgotten after 10 min without a crash.
const (
	backoffFirst = 10 * time.Second
	backoffMax   = 5 * time.Minute
	backoffReset = 10 * time.Minute
)

// orderRetry is how long a failed order waits before it is tried again.
const (
	orderRetryFirst = 500 * time.Millisecond
	orderRetryMax   = 30 * time.Second
	graceDefault    = 30 * time.Second
)

// startsMax bounds the orders under way at once, so that a storm of stand-ins
// does not stall a small node.
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
	inFlight int
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

type backoff struct {
	attempt int
	last    Instant // when the newest attempt was ordered
	wait    time.Duration
	until   Instant
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
	c.runner.inFlight = max(c.runner.inFlight-1, 0)
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

// wantRuns marks the runs that belong here now.
func (c *Core) wantRuns() {
	before := map[*run]bool{}
	for _, r := range c.runner.runs {
		before[r], r.wanted = r.wanted, false
	}
	if !c.runner.stopping {
		c.markWanted()
	}
	for r, was := range before {
		if was && !r.wanted {
			r.retryAt = 0 // it waited to start; nothing waits to stop
		}
	}
}

func (c *Core) markWanted() {
	for _, uid := range c.sortedWorkloads() {
		w := c.index.workloads[uid]
		for i := range w.Replicas {
			if s, ok := c.index.slots[uid][i]; ok {
				c.wantSlot(w, s)
			}
		}
	}
	for _, r := range c.runner.runs {
		if !r.wanted && c.handover(r) {
			r.wanted = true
		}
	}
}

// wantSlot adds the runs of a slot that this node is to execute: as its home, or
// as its stand-in while the home is away. What a stand-in has started goes on
// until the home is ready (handover); a stand-in left over from an outage that is
// over starts nothing.
func (c *Core) wantSlot(w *state.Workload, s state.Slot) {
	switch {
	case s.Home.Node == c.cfg.Node:
		if c.runner.draining && s.HasStandIn() && c.slotReadyOn(&s, s.StandIn.Node) {
			return
		}
	case s.HasStandIn() && s.StandIn.Node == c.cfg.Node && c.away(&s):
	default:
		return
	}
	for _, revision := range []string{s.Run.Revision, s.Run.Prev} {
		if revision == "" {
			continue
		}
		template := c.index.template(w.UID, revision)
		id := state.MakeRunID(s.ID, revision, c.cfg.Node, s.Run.Nonce)
		r := c.runner.runs[id]
		if template == nil { // on its way: the workload's newer one was here first
			if r != nil {
				r.wanted = true
			}
			continue
		}
		if r == nil {
			if c.runner.draining && c.runner.seen[id].ID == "" {
				continue // nothing new starts on a node that is being emptied
			}
			r = &run{id: id, restart: map[string]*backoff{}}
			c.runner.runs[id] = r
		}
		r.slot, r.workload, r.revision, r.template, r.wanted = s, w, revision, template, true
	}
}

// away reports whether the home of a slot cannot run it in this view.
func (c *Core) away(s *state.Slot) bool {
	if c.health(s.Home.Node) != scheduler.Serving {
		return true
	}
	_, refused := c.refusedBy(s.ID, s.Home.Node)
	return refused
}

func (c *Core) slotReadyOn(s *state.Slot, node string) bool {
	return node != "" && c.ready(node, state.MakeRunID(s.ID, s.Run.Revision, node, s.Run.Nonce))
}

// handover reports whether a run that is not wanted here any more goes on until
// its successor elsewhere is ready: nobody stops before the next one serves.
func (c *Core) handover(r *run) bool {
	w := c.index.workloads[r.slot.ID.Workload]
	if w == nil || r.stopped || r.slot.ID.Index >= w.Replicas || r.refused != "" {
		return false
	}
	s, ok := c.index.slots[w.UID][r.slot.ID.Index]
	if !ok || s.Run.Nonce != r.slot.Run.Nonce || (r.revision != s.Run.Revision && r.revision != s.Run.Prev) {
		return false // the pod was deleted, or its revision is over
	}
	if s.Home.Node == c.cfg.Node {
		return false
	}
	if s.HasStandIn() && s.StandIn.Node != c.cfg.Node && c.slotReadyOn(&s, s.StandIn.Node) {
		return false
	}
	return !c.slotReadyOn(&s, s.Home.Node)
}

// ---- admission: the node has the last word

// admit lets runs in by age, those that are in already first, against this
// node's room, ports and taints, and refuses the rest with a typed reason.
func (c *Core) admit() {
	var waiting []*run
	used, ports := state.Resources{}, []state.HostPort(nil)
	hostPortsOnly := c.host.Runtime.HostPortsOnly
	book := func(r *run) {
		used = used.Add(state.Requests(&r.template.Spec))
		ports = append(ports, state.HostPorts(&r.template.Spec, hostPortsOnly)...)
	}
	for _, id := range sortedKeys(c.runner.runs) {
		r := c.runner.runs[id]
		if _, here := c.runner.seen[id]; here {
			r.admitted = true
		}
		switch {
		case r.admitted:
			r.refused = ""
			book(r)
		case r.wanted && r.retryAt == 0 && !c.leaving(r.slot.ID):
			waiting = append(waiting, r)
		}
	}
	slices.SortFunc(waiting, func(a, b *run) int {
		return cmp.Or(a.slot.Born.Compare(b.slot.Born), cmp.Compare(a.slot.ID.Index, b.slot.ID.Index), cmp.Compare(a.id, b.id))
	})
	for _, r := range waiting {
		if c.host.Runtime.Name == "" {
			continue // its room is not known yet
		}
		reason := c.refusal(r, used, ports)
		if reason != r.refused {
			c.status.dirty = true
			if reason != "" {
				c.fact(true, r.about(), reason, "%s does not admit slot %d of %s", c.cfg.Node, r.slot.ID.Index, r.workload.Key)
			}
		}
		r.refused = reason
		if reason == "" {
			r.admitted = true
			book(r)
		}
	}
}

// leaving reports whether an earlier run of a slot is on its way out here. Its
// successor waits for the end of it: it may need the same port or file, and it
// must not be refused for what its own predecessor still holds.
func (c *Core) leaving(slot state.SlotID) bool {
	for _, r := range c.runner.runs {
		if r.slot.ID == slot && !r.wanted && (r.admitted || r.stopped) {
			return true
		}
	}
	return false
}

func (c *Core) refusal(r *run, used state.Resources, ports []state.HostPort) string {
	want, free := state.Requests(&r.template.Spec), c.host.Allocatable.Sub(used)
	switch {
	case want.CPU > 0 && want.CPU > free.CPU:
		return "OutOfcpu"
	case want.Memory > 0 && want.Memory > free.Memory:
		return "OutOfmemory"
	case want.Pods > free.Pods:
		return "OutOfpods"
	}
	for _, p := range state.HostPorts(&r.template.Spec, c.host.Runtime.HostPortsOnly) {
		if slices.ContainsFunc(ports, p.Collides) {
			return string(runtime.PortTaken)
		}
	}
	return ""
}

// ---- orders

func (c *Core) order(r *run, o Order) {
	o.Run = runtime.RunID(r.id)
	r.busy = true
	c.runner.inFlight++
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
	case !r.admitted || c.runner.inFlight >= startsMax || c.runner.lastSeen == 0:
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
	spec, err := c.podSpec(r)
	if err != nil {
		if r.message != err.Error() {
			c.fact(true, r.about(), "CreateContainerConfigError", "%v", err)
		}
		r.reason, r.message, r.retryAt = "CreateContainerConfigError", err.Error(), c.now+orderRetryMax
		c.status.dirty = true
		return
	}
	r.ensured = c.now
	c.order(r, Order{Kind: Ensure, Spec: spec})
}

// restartExited starts containers that have exited and whose policy wants them
// back, each after its own back-off.
func (c *Core) restartExited(r *run) {
	pod := c.runner.seen[r.id]
	for i := range pod.Containers {
		seen := &pod.Containers[i]
		if seen.State != runtime.Exited || !restarts(r.template.Spec.RestartPolicy, seen.ExitCode) {
			continue
		}
		if !c.mayRestart(r, seen) {
			continue
		}
		spec, err := c.podSpec(r)
		if err != nil {
			r.reason, r.message, r.retryAt = "CreateContainerConfigError", err.Error(), c.now+orderRetryMax
			return
		}
		c.fact(true, r.about(), "Restarting", "container %s exited with code %d; starting it again (attempt %d)", seen.Name, seen.ExitCode, seen.Attempt+1)
		c.order(r, Order{Kind: Restart, Spec: spec, Container: seen.Name, Attempt: seen.Attempt + 1})
		return // one order at a time; the next outcome comes back here
	}
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

// sweepOrphans stops pods that have no run: left by a former life of this node,
// or of a slot that is gone. A pod whose workload this node has never heard of is
// left alone for a while and until a peer has been asked: nothing is deleted
// because information is missing.
func (c *Core) sweepOrphans() {
	for _, id := range slices.Sorted(maps.Keys(c.runner.seen)) {
		if c.runner.runs[id] != nil {
			continue
		}
		pod := c.runner.seen[id]
		slot, err := state.ParseSlotID(pod.Slot)
		known := err == nil && (c.index.retired[slot.Workload] || c.index.workloads[slot.Workload] != nil)
		if known && c.waitsForTemplate(slot) {
			continue
		}
		alone := len(c.members.byName) <= 1
		if patience := c.booted + c.cfg.OrphanGrace; !known && (c.now < patience || c.sync.done == 0 && !alone) {
			c.wake(max(patience, c.now+time.Second))
			continue
		}
		c.fact(true, "", "OrphanRemoved", "pod %s/%s (run %s) belongs to no slot of this node; stopping it", pod.Namespace, pod.Name, id)
		r := &run{id: id, stopped: true, restart: map[string]*backoff{}, template: &corev1.PodTemplateSpec{}, workload: &state.Workload{Namespace: pod.Namespace, Name: pod.Name, Key: state.MakeKey(state.Pods, pod.Namespace, pod.Name)}}
		c.runner.runs[id] = r
		c.order(r, Order{Kind: Stop, Grace: graceDefault})
	}
}

// waitsForTemplate reports whether a slot lives here but cannot be judged yet.
func (c *Core) waitsForTemplate(id state.SlotID) bool {
	w := c.index.workloads[id.Workload]
	s, ok := c.index.slots[id.Workload][id.Index]
	if w == nil || id.Index >= w.Replicas {
		return false
	}
	if !ok {
		return true // the slot's record is on its way
	}
	return c.index.template(w.UID, s.Run.Revision) == nil
}
