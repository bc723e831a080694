package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"holon/crdt"
	"holon/crdt/state"
)

const (
	// aheadMax is how far what was scheduled last may lie ahead of cluster time: that
	// differs a little from node to node. Beyond, whoever wrote it had a wrong one.
	aheadMax = 30 * time.Second
	// missedMax bounds how many missed times are counted; Kubernetes stops there, too.
	missedMax = 100
)

// owned is what goes with an owner: a Job of a CronJob.
type owned struct {
	owner state.Key
	birth crdt.Dot   // of the owner
	born  crdt.Stamp // of the Job
}

// reindexCron follows a CronJob.
func (x *index) reindexCron(key state.Key, rec *crdt.Record) error {
	j, err := state.DecodeCronJob(key, rec)
	if err != nil {
		return err
	}
	if j == nil {
		x.follow(key, rec, crdt.UID{})
		return nil
	}
	x.follow(key, rec, j.ObjectUID)
	delete(x.retired, j.UID)
	x.crons[j.UID], x.byKey[key] = j, j.UID
	x.touchWorkload(j.UID)
	return nil
}

// ownJob notes with which CronJob a Job goes, and has that one looked at.
func (x *index) ownJob(w *state.Workload, born crdt.Stamp) {
	if w.Job == nil || w.Job.Owner == nil {
		return
	}
	o := w.Job.Owner
	setPart(x.owned, o.UID, w.UID, owned{o.Key, o.Birth, born})
	x.touchWorkload(o.UID)
}

// disownJob forgets it.
func (x *index) disownJob(uid crdt.UID) {
	w := x.workloads[uid]
	if w == nil || w.Job == nil || w.Job.Owner == nil {
		return
	}
	dropPart(x.owned, w.Job.Owner.UID, uid)
	x.touchWorkload(w.Job.Owner.UID)
}

// jobsOf lists the Jobs that go with a CronJob, the first born first.
func (x *index) jobsOf(cron crdt.UID) []*state.Workload {
	set := x.owned[cron]
	uids := slices.SortedFunc(maps.Keys(set), func(a, b crdt.UID) int {
		return cmp.Or(set[a].born.Compare(set[b].born), a.Compare(b))
	})
	jobs := make([]*state.Workload, 0, len(uids))
	for _, uid := range uids {
		if w := x.workloads[uid]; w != nil {
			jobs = append(jobs, w)
		}
	}
	return jobs
}

// cronOf is the CronJob that a Job names as its controller when a user makes it, as
// kubectl create job --from does; nil if there is none.
func (c *Core) cronOf(op Mutate) *state.CronJob {
	resource, namespace, _ := op.Key.Split()
	if resource != state.Jobs {
		return nil
	}
	name, uid := state.CronNamed(op.New)
	j := c.index.crons[c.index.byKey[state.MakeKey(state.CronJobs, namespace, name)]]
	if j == nil || j.ObjectUID.String() != uid {
		return nil
	}
	return j
}

// keepTime has every CronJob planned anew, and the view told, if cluster time has come,
// gone or jumped. Until then it goes on as this node's Instant does.
func (c *Core) keepTime() {
	k := &c.status.clocks
	if !k.moved && !c.index.dirtyAll {
		return
	}
	k.moved = false
	t, ok := c.ClusterTime(c.now)
	ahead := time.Duration(t.UnixNano()) - c.now
	if ok == k.known && (ahead-k.kept).Abs() <= clockSlack {
		return
	}
	k.kept, k.known = ahead, ok
	c.derived.dirty = true
	for uid := range c.index.crons {
		c.index.touchWorkload(uid)
	}
}

// timeOfDay is cluster time as CronJobs go by it; false if there is none.
func (c *Core) timeOfDay() (time.Time, bool) {
	k := &c.status.clocks
	return time.Unix(0, int64(k.kept+c.now)).UTC(), k.known
}

// cronDeeds are what a CronJob needs now, and when it has to be looked at again.
func (c *Core) cronDeeds(j *state.CronJob) (deeds []deed, again Instant) {
	jobs := c.index.jobsOf(j.UID)
	deeds = c.cronHistory(j, jobs)
	now, ok := c.timeOfDay()
	if !ok || j.Suspended || j.Deleting {
		return deeds, 0
	}
	since := time.Unix(j.Scheduled.Since*60, 0)
	if j.Scheduled.Since == 0 || since.Sub(now) > aheadMax {
		return append(deeds, c.cronBegins(j, now)), 0
	}
	if next, ok := j.Schedule.Next(now); ok {
		again = c.now + next.Sub(now)
	}
	due, ok := j.Schedule.Last(since, now)
	if !ok || j.StartingDeadline > 0 && now.Sub(due) > j.StartingDeadline {
		return deeds, again
	}
	return append(deeds, c.cronRun(j, jobs, due, now)...), again
}

// cronBegins notes that what was due until now is none of a CronJob's business: it is
// new, or somebody with a wrong clock has moved it into the future.
func (c *Core) cronBegins(j *state.CronJob, now time.Time) deed {
	to := state.Scheduled{Since: now.Unix() / 60, Last: j.Scheduled.Last}
	if to.Last > to.Since {
		to.Last = 0
	}
	return deed{fmt.Sprintf("begin %s", j.Key), func() error { return c.cronMark(j, to) }}
}

func (c *Core) cronMark(j *state.CronJob, to state.Scheduled) error {
	return c.set(j.Key, j.ObjectUID, map[string][]byte{state.CronScheduled: state.EncodeRegister(to)})
}

// cronRun makes the Job that is due, unless that was done, and notes it.
func (c *Core) cronRun(j *state.CronJob, jobs []*state.Workload, due, now time.Time) []deed {
	minute := due.Unix() / 60
	to := state.Scheduled{Since: minute, Last: minute}
	key, values, err := j.JobAt(due)
	if err != nil {
		return []deed{{fmt.Sprintf("run %s at %d", j.Key, minute), func() error { return err }}}
	}
	if c.cfg.Ablate == CronRule {
		key += state.Key("-" + c.cfg.Node)
	}
	if rec := c.store.record(key); rec != nil && len(rec.Objects) > 0 { // there, or deleted since
		return []deed{{fmt.Sprintf("note %s", key), func() error {
			if live := rec.Live(); live != nil && live.Registers[state.JobOwner].Value == nil {
				c.fact(true, j.Key, "UnexpectedJob", "%s is not of this CronJob and bears the name that is due; nothing is started", key)
			}
			return c.cronMark(j, to)
		}}}
	}
	active := slices.DeleteFunc(jobs, func(w *state.Workload) bool { return w.Job.State != state.JobOpen })
	if len(active) > 0 && j.Concurrency == batchv1.ForbidConcurrent {
		return nil // until one ends; then the last one that was due is made up for
	}
	return []deed{{fmt.Sprintf("make %s", key), func() error {
		if j.Concurrency == batchv1.ReplaceConcurrent {
			for _, w := range active {
				c.fact(false, j.Key, "SuccessfulDelete", "deleted job %s, which the next one replaces", w.Name)
				if err := c.end(w.Key, state.Background); err != nil {
					return err
				}
			}
		}
		c.sayMissed(j, due)
		_, _, name := key.Split()
		c.fact(false, j.Key, "SuccessfulCreate", "created job %s", name)
		err := c.write(key, func(rec *crdt.Record, at crdt.Write) (*crdt.Record, error) {
			return rec.Set(state.DerivedUID("job object", string(key), at.Dot.String()), at, values)
		})
		if err != nil {
			return err
		}
		return c.cronMark(j, to)
	}}}
}

// sayMissed tells how many times passed while nobody was there to make a Job.
func (c *Core) sayMissed(j *state.CronJob, due time.Time) {
	missed, at := 0, time.Unix(j.Scheduled.Since*60, 0)
	for ; missed <= missedMax; missed++ {
		next, ok := j.Schedule.Next(at)
		if !ok || !next.Before(due) {
			break
		}
		at = next
	}
	switch {
	case missed > missedMax:
		c.fact(true, j.Key, "TooManyMissedTimes", "more than %d times were missed; only the last one is made up for", missedMax)
	case missed > 0:
		c.fact(true, j.Key, "MissedSchedule", "%d times were missed; only the last one is made up for", missed)
	}
}

// cronHistory deletes the first of those Jobs that have ended, beyond as many as are to
// be kept.
func (c *Core) cronHistory(j *state.CronJob, jobs []*state.Workload) (deeds []deed) {
	for ended, most := range map[state.JobState]int{state.JobComplete: j.Succeeded, state.JobFailed: j.Failed} {
		list := slices.DeleteFunc(slices.Clone(jobs), func(w *state.Workload) bool { return w.Job.State != ended || w.Deleting })
		for _, w := range list[:max(len(list)-most, 0)] {
			deeds = append(deeds, deed{"end the history of " + string(w.Key), func() error { return c.end(w.Key, state.Background) }})
		}
	}
	slices.SortFunc(deeds, func(a, b deed) int { return cmp.Compare(a.what, b.what) })
	return deeds
}

// madeCron is what the face of a CronJob was made of.
type madeCron struct {
	cron   *state.CronJob
	active string
	last   string
	token  uint64
}

func (c *Core) deriveCron(j *state.CronJob, shown map[state.Key]bool) {
	var active []state.JobRef
	last, text := "", ""
	for _, w := range c.index.jobsOf(j.UID) {
		ref := state.RefOf(w)
		last = max(last, ref.Succeeded)
		if w.Job.State == state.JobOpen {
			active = append(active, ref)
			text += ref.UID.String()
		}
	}
	token := c.store.entries[j.Key].token
	shown[j.Key] = true
	if !c.derived.shownAs(j.Key, madeCron{j, text, last, token}) {
		c.publish(j.Key, state.CronJobFace(j, active, last), token)
	}
}
