package core

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/runtime"
	"holon/scheduler"
)

// The back-off of Kubernetes' Job controller, per slot.
const (
	jobBackoffFirst = 10 * time.Second
	jobBackoffMax   = 6 * time.Minute
	// elapsedShare is how much of a deadline passes between two notes of how much has:
	// at most that is forgotten when the node that counts is lost.
	elapsedShare = 16
	// keptMax bounds the ended pods of one Job that a node keeps for their logs.
	keptMax = 32
)

// jobTimes say since when this node knows what it knows of Jobs. Nothing of it
// outlives a boot: then all waits begin anew, and a deadline at what was noted.
type jobTimes map[crdt.UID]*jobTime

type jobTime struct {
	failed   map[int]failedAt // by slot
	elapsed  time.Duration    // that was noted
	since    Instant          // when it was, or the Job became active; 0: it is not
	finished Instant          // 0: it has not
}

type failedAt struct {
	times int
	at    Instant
}

// follow notes what is new about a workload, if it is a Job. before is the UID of what
// bore its name until now.
func (t jobTimes) follow(before crdt.UID, w *state.Workload, now Instant) {
	if w == nil || w.UID != before {
		delete(t, before)
	}
	if w == nil || w.Job == nil {
		return
	}
	j, seen := w.Job, t[w.UID]
	if seen == nil {
		seen = &jobTime{failed: map[int]failedAt{}}
		t[w.UID] = seen
	}
	for i := range w.Replicas {
		if _, n := j.Retry(i); n > seen.failed[i].times {
			seen.failed[i] = failedAt{n, now}
		}
	}
	active := j.State == state.JobOpen && !j.Suspended
	switch {
	case !active:
		seen.since = 0
	case seen.since == 0 || j.Elapsed > seen.elapsed:
		seen.elapsed, seen.since = j.Elapsed, max(now, 1)
	}
	if j.State == state.JobOpen {
		seen.finished = 0
	} else if seen.finished == 0 {
		seen.finished = max(now, 1)
	}
}

// jobDeeds are what a Job needs beside places for its slots: new runs after
// failures, its deadline, and its end.
func (c *Core) jobDeeds(w *state.Workload, slots []state.Slot, plan *scheduler.Plan) (deeds []deed) {
	seen, j := c.index.jobs[w.UID], w.Job
	later := func(at Instant) bool {
		if at > c.now && (plan.Again == 0 || at < plan.Again) {
			plan.Again = at
		}
		return at > c.now
	}
	if w.Deleting {
		return nil
	}
	if j.State != state.JobOpen {
		if j.TTL != nil && !later(seen.finished+*j.TTL) {
			deeds = append(deeds, deed{"end of " + string(w.Key), func() error {
				c.fact(false, w.Key, "TTLExpired", "finished %v ago, as long as ttlSecondsAfterFinished keeps it", *j.TTL)
				return c.end(w.Key, state.Background)
			}})
		}
		return deeds
	}
	for i := range slots {
		s := &slots[i]
		if s.Home.Node == "" || !j.Spent(s.ID.Index, s.Run.Nonce) {
			continue
		}
		nonce, failures := j.Retry(s.ID.Index)
		wait := min(jobBackoffFirst<<min(max(failures-1, 0), 10), jobBackoffMax)
		if !later(seen.failed[s.ID.Index].at + wait) {
			deeds = append(deeds, c.setRun(w, s, state.Run{Revision: s.Run.Revision, Nonce: nonce}))
		}
	}
	if j.Deadline > 0 && seen.since != 0 {
		deeds = append(deeds, c.deadline(w, seen, later)...)
	}
	return deeds
}

// deadline notes how long a Job has been active, and ends it. What counts is the
// time in which a node that plans for it was there to count, so no clock decides and
// a cluster that is off does not use it up.
func (c *Core) deadline(w *state.Workload, seen *jobTime, later func(Instant) bool) []deed {
	j := w.Job
	if !later(seen.since + j.Deadline - seen.elapsed) {
		return []deed{{"deadline of " + string(w.Key), func() error {
			c.fact(true, w.Key, "DeadlineExceeded", "the Job was active for longer than %v", j.Deadline)
			return c.set(w.Key, w.ObjectUID, map[string][]byte{state.JobExpired: state.EncodeRegister(true)})
		}}}
	}
	step := max(j.Deadline/elapsedShare, time.Second)
	if later(seen.since + step) {
		return nil
	}
	elapsed := int64((seen.elapsed + c.now - seen.since) / time.Second)
	return []deed{{fmt.Sprintf("%s active for %ds", w.Key, elapsed), func() error {
		return c.setRanked(w.Key, w.ObjectUID, state.JobElapsed, uint64(elapsed), state.EncodeRegister(elapsed))
	}}}
}

// ended reports whether a run of a Job has ended for good, and writes down how. The
// next Step plans with that; until it is durable nobody is told (withheld).
func (c *Core) ended(r *run) bool {
	w := c.index.workloads[r.slot.ID.Workload]
	if w == nil || w.Job == nil || r.stopped {
		return false
	}
	a, over := c.runner.endOf(r, w.Job.Limit)
	if !over {
		return false
	}
	a.Node, a.Nonce = c.cfg.Node, r.slot.Run.Nonce
	if err := c.set(w.Key, w.ObjectUID, map[string][]byte{state.AttemptPath(r.slot.ID.Index, r.id): state.EncodeRegister(a)}); err != nil {
		c.fact(true, w.Key, "ResultNotWritten", "%v", err)
		r.retryAt = c.now + orderRetryMax
		return true
	}
	word := "Completed"
	if !a.OK {
		word = "PodFailed"
	}
	c.fact(!a.OK, w.Key, word, "%s on %s", podName(w, r.slot.ID, r.revision, r.id), c.cfg.Node)
	return true
}

// endOf judges the containers of a pod: over says that none of them goes on, or that
// one has been restarted as often as the Job lets it fail. How sidecars end says nothing.
func (n *runner) endOf(r *run, limit int) (a state.Attempt, over bool) {
	a.OK, over = true, n.over(r)
	for at, spec := range r.containers() {
		s := n.sees(r, spec.Name)
		if s == nil || s.State != runtime.Exited {
			over = over && (s == nil || s.State == runtime.Created)
			continue
		}
		if r.role(at) == sidecarRole {
			continue
		}
		a.Finished = max(a.Finished, stamp(s.FinishedAt))
		a.OK = a.OK && s.ExitCode == 0
		if !r.restarts(s) {
			continue
		}
		if s.Attempt >= limit {
			return state.Attempt{Over: true, Finished: a.Finished}, true
		}
		over = false
	}
	return a, over
}

// keepEnded keeps the pods of ended runs that are here, the newest of each Job, for
// who wants to see their logs. They take no room.
func (c *Core) keepEnded(w *state.Workload) {
	if w.Job == nil {
		return
	}
	left := keptMax
	for _, a := range slices.Backward(w.Job.Attempts) {
		if a.Node != c.cfg.Node || c.runner.seen[a.Run].ID == "" || left == 0 {
			continue
		}
		left--
		r := c.runner.runs[a.Run]
		if r == nil {
			r = &run{id: a.Run, restart: map[string]*backoff{}}
			slot := state.Slot{ID: state.SlotID{Workload: w.UID, Index: a.Index}, Namespace: w.Namespace, Owner: w.Key, Run: state.Run{Revision: w.Revision, Nonce: a.Nonce}}
			c.runner.put(r, slot)
			r.revision = w.Revision
		}
		if !r.stopped && r.slot.ID.Workload == w.UID {
			r.workload, r.template, r.wanted, r.kept = w, w.Template, true, true
		}
	}
}

// withheld is what may be told of a run of a Job: that and how it has ended is what
// is written down of it.
func withheld(w *state.Workload, r *state.RunStatus) *state.RunStatus {
	if w.Job == nil {
		return r
	}
	told := *r
	switch a := w.Job.Ended(r.Run); {
	case a != nil && a.OK:
		told.Phase = state.Succeeded
	case a != nil:
		told.Phase = state.Failed
	case r.Phase == state.Succeeded || r.Phase == state.Failed:
		told.Phase = state.Running
	}
	return &told
}

// jobPodName is <job>-<5 characters>, with the index between them if the Job has some.
func jobPodName(w *state.Workload, slot state.SlotID, id state.RunID) string {
	if w.Job.Indexed {
		return state.PodName(w.Name+"-"+strconv.Itoa(slot.Index), id)
	}
	return state.PodName(w.Name, id)
}

// jobIndex is the variable that tells a container of an Indexed Job which one it is.
func jobIndex(r *run) []runtime.Env {
	if r.workload.Job == nil || !r.workload.Job.Indexed {
		return nil
	}
	return []runtime.Env{{Name: "JOB_COMPLETION_INDEX", Value: strconv.Itoa(r.slot.ID.Index)}}
}

// madeJob is what the face of a Job was made of.
type madeJob struct {
	workload *state.Workload
	counts   state.JobCounts
	token    uint64
}

func (c *Core) deriveJob(w *state.Workload, shown map[state.Key]bool) {
	var n state.JobCounts
	for _, s := range c.wanted(w) {
		if s.Home.Node == "" || w.Job.Spent(s.ID.Index, s.Run.Nonce) {
			continue
		}
		n.Active++
		if c.slotReady(&s, s.Run.Revision) {
			n.Ready++
		}
	}
	token := c.store.entries[w.Key].token
	shown[w.Key] = true
	if !c.derived.shownAs(w.Key, madeJob{w, n, token}) {
		c.publish(w.Key, state.JobFace(w, n), token)
	}
}
