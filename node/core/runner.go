package core

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt"
	"holon/crdt/state"
	"holon/runtime"
)

// orderRetry is how long a failed order waits before it is tried again.
const (
	orderRetryFirst = 500 * time.Millisecond
	orderRetryMax   = 30 * time.Second
	graceDefault    = 30 * time.Second
	// A run that waits for its image is ordered again after a while, which doubles, and
	// at once when the image has Arrived. It holds up nothing else meanwhile.
	pullingFirst = 500 * time.Millisecond
	pullingMax   = 5 * time.Second
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
//
// A node may have a thousand runs, and each of them changes a dozen times while it
// starts. So what one change costs does not depend on how many there are, but for
// the sums of admission: every set below names the runs that one stage has to look
// at, and AuditRuns says what must be in them between two Steps.
type runner struct {
	runs map[state.RunID]*run
	of   map[crdt.UID]map[state.RunID]*run // the same, by workload; orphans under none
	seen map[state.RunID]runtime.Status
	// strangers are seen and have no run.
	strangers map[state.RunID]bool
	outside   map[state.RunID]bool // runs that are not admitted
	unsure    map[crdt.UID]bool    // workloads whose wanted runs may have changed
	unsureAll bool
	stirred   map[state.RunID]bool // runs for which there may be something to order
	blocked   map[state.RunID]bool // those of them that wait until fewer starts are under way
	held      map[crdt.UID]bool    // sets that wait until other nodes let go of their slots
	pausing   map[state.RunID]bool // all that wait for a time, and some that did
	lastSeen  Instant              // when the runtime was observed last; 0: never since boot
	draining  bool                 // this node goes down: slots shall move away, nothing starts
	stopping  bool                 // everything here stops, wanted or not
	dirty     bool                 // one of the stages has something to do
	sweepAt   Instant              // when strangers are looked at again
	next      Instant              // when the next pause ends; 0: nothing pauses. Known unless dirty
	starting  int                  // Ensure and Restart orders under way
	probing   map[state.RunID]bool // runs with a container to be probed
	probes    int                  // attempts under way
	probeAt   Instant              // when the next attempt is due; 0: none is
	kept      kept
}

// run is one run that this node executes, or shall, or still does.
type run struct {
	id       state.RunID
	slot     state.Slot
	workload *state.Workload // as it was when the run was last wanted
	revision string
	template *corev1.PodTemplateSpec

	needs  needs
	claims map[string]string // as it was ordered, see runtime.Status.Claims

	wanted   bool
	evicted  bool // is ended before its time, as this node lacks what it uses
	kept     bool // has ended for good, and stays for its log: a Job's
	admitted bool
	refused  string
	message  string

	busy    bool            // an order is under way
	ensured Instant         // when Ensure was ordered last
	asked   []bool          // which of its containers were to begin by that
	due     map[string]bool // those that have not been seen to begin since
	patient Instant         // until then they may take to start; 0: nobody waits for that
	retryAt Instant
	failed  int           // orders failed in a row
	pulling time.Duration // the wait for its image before this one; 0: it has not waited
	arrived bool          // while an order is under way, which may not have seen it
	reason  string
	restart map[string]*backoff
	watched map[string]*watched // containers with probes or hooks
	stopped bool                // a stop was ordered
	created string              // RFC 3339, display only
	warm    Instant             // since when it has been ready; 0: it is not
	stale   bool                // its files may not be what its ConfigMaps and Secrets say
	renewAt Instant             // when its tokens are to be made anew; 0: it has none, or they are due
	back    Instant             // since when the slot's home has been ready again; 0: it is not
}

func newRunner() runner {
	return runner{
		runs: map[state.RunID]*run{}, of: map[crdt.UID]map[state.RunID]*run{}, seen: map[state.RunID]runtime.Status{},
		strangers: map[state.RunID]bool{}, outside: map[state.RunID]bool{}, unsure: map[crdt.UID]bool{}, stirred: map[state.RunID]bool{},
		blocked: map[state.RunID]bool{}, pausing: map[state.RunID]bool{}, probing: map[state.RunID]bool{}, held: map[crdt.UID]bool{},
		dirty: true, unsureAll: true, kept: kept{removing: map[string]bool{}, failed: map[string]bool{}},
	}
}

// put adds a run, or gives one that is here its slot.
func (n *runner) put(r *run, s state.Slot) {
	if n.runs[r.id] == nil {
		n.runs[r.id], n.outside[r.id] = r, true
		delete(n.strangers, r.id)
	} else {
		dropPart(n.of, r.slot.ID.Workload, r.id)
	}
	r.slot = s
	setPart(n.of, s.ID.Workload, r.id, r)
	n.stirred[r.id] = true
}

func (n *runner) drop(r *run) {
	delete(n.runs, r.id)
	dropPart(n.of, r.slot.ID.Workload, r.id)
	for _, set := range []map[state.RunID]bool{n.outside, n.stirred, n.blocked, n.pausing, n.probing} {
		delete(set, r.id)
	}
	if _, here := n.seen[r.id]; here {
		n.strangers[r.id] = true
	}
}

// observed takes what the runtime sees. It is the whole truth about containers:
// what is not in it does not run.
func (c *Core) observed(ev Observed) {
	n, before, pods := &c.runner, c.runner.seen, ev.Pods
	if ev.Volumes != nil {
		n.kept.names = ev.Volumes
	}
	n.seen, n.strangers = make(map[state.RunID]runtime.Status, len(pods)), map[state.RunID]bool{}
	for i := range pods {
		id := state.RunID(pods[i].ID)
		n.seen[id] = pods[i]
		r := n.runs[id]
		if r == nil {
			n.strangers[id] = true
			if slot, err := state.ParseSlotID(pods[i].Slot); err == nil {
				n.unsure[slot.Workload] = true // it may be one that is kept
			}
			continue
		}
		r.created = pods[i].CreatedAt
		c.tellBegun(r, pods[i].Containers)
		if was, ok := before[id]; !ok || !slices.Equal(was.Containers, pods[i].Containers) {
			n.stirred[id] = true
		}
	}
	for id := range before {
		if _, here := n.seen[id]; !here && n.runs[id] != nil {
			n.stirred[id], n.unsure[n.runs[id].slot.ID.Workload] = true, true // it may have to start elsewhere now
		}
		if pod := before[id]; n.seen[id].ID == "" && pod.Claims != nil {
			n.unsureOf(&pod)
		}
	}
	n.unsureAll = n.unsureAll || n.draining // where nothing new starts, it counts what is there
	n.unsettleHeld()                        // one of theirs may have begun here in a former life
	n.lastSeen = c.now
	n.dirty, c.status.dirty = true, true
}

// unsureOf has the slot of a pod with claims judged again that is gone: as long as it was
// here, with data that does not count any more, its successor was not wanted.
func (n *runner) unsureOf(pod *runtime.Status) {
	if slot, err := state.ParseSlotID(pod.Slot); err == nil {
		n.unsure[slot.Workload] = true
	}
}

// ordered takes the outcome of an order.
func (c *Core) ordered(ev Ordered) {
	n := &c.runner
	if ev.Order.Kind == Discard {
		c.discarded(ev)
		return
	}
	if !ev.Order.Kind.Ends() {
		n.starting = max(n.starting-1, 0)
		maps.Copy(n.stirred, n.blocked)
		n.blocked = map[state.RunID]bool{}
	}
	n.dirty, c.status.dirty = true, true
	r := n.runs[state.RunID(ev.Order.Run)]
	if r == nil {
		return
	}
	arrived := r.arrived
	r.busy, r.arrived = false, false
	n.stirred[r.id], n.unsure[r.slot.ID.Workload] = true, true
	if ev.Order.Kind == Update {
		if ev.Err != nil {
			c.filesFailed(r, ev.Err)
		}
		return
	}
	if ev.Err == nil {
		r.failed, r.pulling, r.reason, r.message, r.retryAt = 0, 0, "", "", 0
		if ev.Order.Kind == Stop {
			c.podEnded(r)
			if pod := n.seen[r.id]; pod.Claims != nil {
				n.unsureOf(&pod)
			}
			delete(n.seen, r.id)
			n.drop(r)
		}
		return
	}
	if ev.Err.Kind == runtime.Pulling { // no failure
		r.reason, r.message = string(ev.Err.Kind), ev.Err.Err.Error()
		if !arrived {
			r.pulling = min(max(2*r.pulling, pullingFirst), pullingMax)
			r.retryAt = c.now + r.pulling
		}
		return
	}
	r.pulling = 0
	r.failed++
	r.retryAt = c.now + retryAfter(ev.Err.Kind, r.failed)
	r.reason, r.message = string(ev.Err.Kind), ev.Err.Error()
	if kind := ev.Err.Kind; ev.Order.Kind == Ensure && (kind == runtime.PortTaken || kind == runtime.NoDiskSpace) {
		r.refused, r.admitted, n.outside[r.id] = string(kind), false, true
	}
	if ev.Order.Kind == Stop {
		r.stopped = false
	}
	c.fact(true, r.about(), failureEvent(ev.Err.Kind, r.failed), "%s", r.message)
}

// arrived ends the wait of a run for its image. An order under way may still say that
// it waits.
func (c *Core) arrived(id runtime.RunID) {
	n := &c.runner
	r := n.runs[state.RunID(id)]
	switch {
	case r == nil:
	case r.busy:
		r.arrived = true
	case r.pulling != 0:
		r.pulling, r.retryAt = 0, 0
		n.stirred[r.id], n.dirty = true, true
	}
}

func (r *run) about() state.Key {
	if r.workload == nil {
		return ""
	}
	return state.MakeKey(state.Pods, r.workload.Namespace, podName(r.workload, r.slot.ID, r.revision, r.id))
}

// podName is the name of the pod that shows a run.
func podName(w *state.Workload, slot state.SlotID, revision string, id state.RunID) string {
	switch {
	case w.Bare():
		return w.Name
	case w.Job != nil:
		return jobPodName(w, slot, id)
	case w.Set():
		return state.SetPodName(w.Name, slot.Index)
	case w.Daemon():
		return state.PodName(w.Name, id)
	}
	return state.PodName(w.Name+"-"+revision, id)
}

// reconcile compares what shall run here with what does, and orders the
// difference. It comes back when a back-off, a retry or another pause ends.
func (c *Core) reconcile() {
	if c.cfg.Passive {
		return
	}
	n := &c.runner
	c.unsettleRuns(c.index.touched) // by what this plan has written
	if n.next != 0 && c.now >= n.next {
		c.endPauses()
	}
	if n.dirty {
		n.dirty = false
		c.wantRuns()
		c.admit()
		stirred := n.stirred
		n.stirred = map[state.RunID]bool{}
		for _, id := range sortedKeys(stirred) {
			c.drive(n.runs[id])
		}
		c.sweepOrphans()
		c.sweepVolumes()
		c.endPauses()
	}
	if n.next != 0 {
		c.wake(n.next)
	}
	if n.probeAt != 0 && c.now >= n.probeAt {
		c.probe()
	}
	if n.probeAt != 0 {
		c.wake(n.probeAt)
	}
}

// endPauses ends the pauses that are over, and finds when the next one will be.
func (c *Core) endPauses() {
	n := &c.runner
	n.next = 0
	pause := func(until *Instant) (over bool) {
		next := *until
		if next != 0 && next <= c.now {
			*until, next, over = 0, c.now, true
		}
		n.next, n.dirty = sooner(n.next, next), n.dirty || over
		return over
	}
	pause(&n.sweepAt)
	pause(&n.kept.retryAt)
	for id := range n.pausing {
		r := n.runs[id]
		over := pause(&r.retryAt)
		over = pause(&r.patient) || over
		if pause(&r.renewAt) {
			r.stale, over = true, true
		}
		for _, b := range r.restart {
			over = pause(&b.until) || over
		}
		if over {
			n.stirred[id] = true
		}
		if !r.pauses() {
			delete(n.pausing, id)
		}
	}
}

func (r *run) pauses() bool {
	waits := r.retryAt != 0 || r.patient != 0 || r.renewAt != 0
	for _, b := range r.restart {
		waits = waits || b.until != 0
	}
	return waits
}

func (c *Core) order(r *run, o Order) {
	o.Run = runtime.RunID(r.id)
	r.busy = true
	if !o.Kind.Ends() {
		c.runner.starting++
	}
	c.out.Run = append(c.out.Run, o)
}

// drive gives the next order for one run, if there is one.
func (c *Core) drive(r *run) {
	n := &c.runner
	_, here := n.seen[r.id]
	c.watchContainers(r)
	defer func() {
		if r.pauses() && n.runs[r.id] == r {
			n.pausing[r.id] = true
		}
	}()
	switch {
	case r.busy || r.retryAt > c.now:
	case r.kept:
		if !here {
			n.drop(r)
			c.status.dirty = true
		} else {
			c.endLast(r) // what a Job's verdict does not wait for
		}
	case !r.wanted && !here && !r.stopped && !r.admitted:
		n.drop(r)
		c.status.dirty = true
	case !r.wanted || r.evicted:
		r.stopped = true
		c.status.dirty = true
		c.fact(false, r.about(), "Killing", "stopping slot %d of %s on %s", r.slot.ID.Index, r.workload.Key, c.cfg.Node)
		c.order(r, Order{Kind: Stop, Grace: r.grace(), Ends: c.endings(r)})
	case !r.admitted:
	case c.killCondemned(r):
	case n.over(r):
		if !c.endLast(r) {
			c.ended(r)
		}
	case n.starting >= startsMax:
		n.blocked[r.id] = true
	case !here || c.incomplete(r):
		c.ensure(r)
	case c.ended(r):
	case r.stale:
		c.updateFiles(r)
	default:
		c.restartExited(r)
	}
}

// ensureAgain is how long an ordered container may take to start before the pod
// is ordered again: a crash may have come between.
const ensureAgain = 2 * time.Second

// incomplete reports whether a container whose turn it is is missing or has never
// started although it was ordered a while ago.
func (c *Core) incomplete(r *run) bool {
	if r.patient = 0; len(c.runner.missing(r)) == 0 {
		return false
	}
	if due := r.ensured + ensureAgain; r.ensured != 0 && c.now < due && slices.Equal(r.asked, c.runner.begun(r)) {
		c.wake(due)
		r.patient = due
		return false
	}
	return true
}

// grace is how long a run may take to end.
func (r *run) grace() time.Duration {
	if r.evicted {
		return evictedGrace
	}
	return grace(r.template)
}

func grace(template *corev1.PodTemplateSpec) time.Duration {
	if s := template.Spec.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return graceDefault
}

// configError is the reason of a run that cannot be made from what is stored.
const configError = "CreateContainerConfigError"

func (c *Core) ensure(r *run) {
	err := c.bind(r)
	var spec *runtime.Spec
	var sealed []SealedUse
	if err == nil {
		spec, sealed, err = c.podSpec(r)
	}
	if err != nil {
		if r.message != err.Error() {
			c.fact(true, r.about(), configError, "%v", err)
		}
		r.reason, r.message, r.retryAt = configError, err.Error(), c.now+orderRetryMax
		c.status.dirty = true
		return
	}
	r.ensured, r.asked, r.stale, r.claims = c.now, c.runner.begun(r), false, runtime.ClaimsOf(spec.Volumes)
	r.due = c.runner.missing(r)
	c.renewIn(r, tokenAge(r.template))
	credentials, absent := c.pullSecrets(r)
	c.order(r, Order{Kind: Ensure, Spec: spec, Sealed: append(sealed, credentials...), NoPullSecret: absent})
}
