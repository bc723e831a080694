package state

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"holon/crdt"
)

// Job is what a Job asks for beside its template, and what has come of it.
//
// How an attempt ended is a hidden register of the Job itself, one per run, written
// by the node that ran it before anybody is told. So the ends of two sides of a
// partition are united, whoever ran what twice; none is counted twice, none is ever
// taken back, and all go with their Job. What the Job has come to follows from them
// alone: every node that has them says the same.
//
//	slot: open -> run -> succeeded, for ever
//	               |---> failed -> (back-off) -> next run
//	Job:  open -> complete (also if it counted as failed on one side)
//	           -> failed (too many attempts, or its deadline)
type Job struct {
	Completions int  // how many slots succeed; 0: any, see Single
	Single      bool // no completions are asked for: it is done when one succeeded and all ended
	Parallelism int
	Indexed     bool
	Limit       int // backoffLimit
	Suspended   bool
	Deadline    time.Duration // 0: none
	TTL         *time.Duration
	Attempts    []Attempt // by slot, then nonce, then run
	Elapsed     time.Duration
	Expired     bool       // its deadline is over
	Owner       *CronOwner // the CronJob that it goes with, if any

	Succeeded, Failed int
	State             JobState
	Why               string // of JobFailed, in Kubernetes' words
	open              map[int]bool
}

// JobState is what a Job has come to.
type JobState uint8

// The states of a Job.
const (
	JobOpen JobState = iota
	JobComplete
	JobFailed
)

// Attempt is how one run of a slot ended.
type Attempt struct {
	Index    int    `json:"-"`
	Run      RunID  `json:"-"`
	OK       bool   `json:"ok,omitempty"`
	Over     bool   `json:"over,omitempty"` // its restarts alone exceeded the limit
	Node     string `json:"node"`
	Nonce    uint64 `json:"nonce,omitempty"`
	Finished string `json:"finished,omitempty"` // RFC 3339, display only
	Evicted  string `json:"evicted,omitempty"`  // why its node has ended it; empty: it has not
}

// The hidden registers of a Job.
const (
	attemptPrefix = "#attempt/" // + index, run: an Attempt
	JobElapsed    = "#elapsed"  // seconds for which it was worked on, ranked by themselves
	JobExpired    = "#expired"  // true: that was its deadline
)

// hiddenOfJob reports whether a register says how far a Job has come or with what it
// goes, or how far a CronJob has.
func hiddenOfJob(path string) bool {
	return strings.HasPrefix(path, attemptPrefix) || path == JobElapsed || path == JobExpired || path == JobOwner || path == CronScheduled
}

// AttemptPath is where the end of a run is written.
func AttemptPath(index int, run RunID) string {
	return attemptPrefix + strconv.Itoa(index) + "/" + string(run)
}

// The labels and annotations of a Job's pods, Kubernetes' old names included.
const (
	JobNameLabel    = "batch.kubernetes.io/job-name"
	JobUIDLabel     = "batch.kubernetes.io/controller-uid"
	oldJobNameLabel = "job-name"
	oldJobUIDLabel  = "controller-uid"
	JobIndexLabel   = "batch.kubernetes.io/job-completion-index" // an annotation, too
)

func (w *Workload) fromJob(value map[string]any) error {
	var j batchv1.Job
	if err := Convert(value, &j); err != nil {
		return err
	}
	job := &Job{
		Completions: int(or(j.Spec.Completions, 0)), Single: j.Spec.Completions == nil, Parallelism: int(or(j.Spec.Parallelism, 1)),
		Indexed: or(j.Spec.CompletionMode, "") == batchv1.IndexedCompletion, Limit: int(or(j.Spec.BackoffLimit, 6)), Suspended: or(j.Spec.Suspend, false),
		Deadline: time.Duration(or(j.Spec.ActiveDeadlineSeconds, 0)) * time.Second,
	}
	if ttl := j.Spec.TTLSecondsAfterFinished; ttl != nil {
		after := time.Duration(*ttl) * time.Second
		job.TTL = &after
	}
	w.Replicas = job.Completions
	if job.Single {
		w.Replicas = job.Parallelism
	}
	w.Replicas = min(max(w.Replicas, 0), ReplicasMax)
	w.Template, w.Generation, w.MaxUnavailable = &j.Spec.Template, j.Generation, w.Replicas
	w.Template.Labels = withLabels(w.Template.Labels, jobLabels(w))
	w.readPolicy(j.Annotations)
	w.Created = creation(value)
	w.Job = job
	return nil
}

// judge reads how the attempts at a Job of so many slots ended, and what follows.
// Another object under the name may be about to go, and its slots are the same ones.
func (j *Job) judge(key Key, rec *crdt.Record, slots int) error {
	live := rec.Live()
	for _, o := range sortedObjects(rec) {
		if o != live && o.Dead == nil && identity(o) == identity(live) {
			if err := j.readEnds(key, o); err != nil {
				return err
			}
		}
	}
	if err := j.readEnds(key, live); err != nil {
		return err
	}
	j.conclude(slots)
	return nil
}

func or[T any](p *T, preset T) T {
	if p != nil {
		return *p
	}
	return preset
}

func jobLabels(w *Workload) map[string]string {
	uid := w.ObjectUID.String()
	return map[string]string{JobNameLabel: w.Name, oldJobNameLabel: w.Name, JobUIDLabel: uid, oldJobUIDLabel: uid}
}

func withLabels(labels, more map[string]string) map[string]string {
	all := make(map[string]string, len(labels)+len(more))
	for _, from := range []map[string]string{labels, more} {
		for k, v := range from {
			all[k] = v
		}
	}
	return all
}

// readEnds reads the hidden registers.
func (j *Job) readEnds(key Key, o *crdt.Object) error {
	into, seconds := map[string]any{JobExpired: &j.Expired, JobOwner: &j.Owner}, int64(0)
	into[JobElapsed] = &seconds
	for path := range o.Registers {
		rest, ok := strings.CutPrefix(path, attemptPrefix)
		if !ok {
			continue
		}
		slot, run, _ := strings.Cut(rest, "/")
		index, err := strconv.Atoi(slot)
		if err != nil || index < 0 || index >= ReplicasMax || run == "" {
			return fmt.Errorf("%q names no attempt", path)
		}
		a := Attempt{Index: index, Run: RunID(run)}
		if err := DecodeRegisters(key, o, map[string]any{path: &a}); err != nil {
			return err
		}
		j.Attempts = append(j.Attempts, a)
	}
	slices.SortFunc(j.Attempts, func(a, b Attempt) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Nonce, b.Nonce), cmp.Compare(a.Run, b.Run))
	})
	err := DecodeRegisters(key, o, into)
	j.Elapsed = time.Duration(seconds) * time.Second
	return err
}

// conclude judges a Job of so many slots by how its attempts ended.
func (j *Job) conclude(slots int) {
	done, ended, over := map[int]bool{}, map[int]bool{}, false
	for i := range j.Attempts {
		a := &j.Attempts[i]
		ended[a.Index] = true
		switch {
		case a.OK:
			done[a.Index] = true
		default:
			j.Failed++
			over = over || a.Over
		}
	}
	left := 0
	for i := range slots {
		switch {
		case done[i]:
			j.Succeeded++
		case !ended[i] || !j.Single:
			left++
		}
	}
	switch {
	case !j.Single && left == 0 || j.Single && left == 0 && j.Succeeded > 0:
		j.State = JobComplete
	case over || j.Failed > j.Limit:
		j.State, j.Why = JobFailed, batchv1.JobReasonBackoffLimitExceeded
	case j.Expired:
		j.State, j.Why = JobFailed, batchv1.JobReasonDeadlineExceeded
	}
	j.open = map[int]bool{}
	if j.State != JobOpen || j.Suspended {
		return
	}
	for i := 0; i < slots && len(j.open) < j.Parallelism; i++ {
		if !done[i] && (!ended[i] || !j.Single || j.Succeeded == 0) {
			j.open[i] = true
		}
	}
}

// Spent reports whether the run of a slot that a nonce stands for has ended, here or
// elsewhere: it never starts again.
func (j *Job) Spent(index int, nonce uint64) bool {
	next, any := j.nextNonce(index)
	return any && nonce < next
}

// nextNonce is the least that no ended attempt of a slot had; any is false if none has ended.
func (j *Job) nextNonce(index int) (next uint64, any bool) {
	for i := range j.Attempts {
		if a := &j.Attempts[i]; a.Index == index {
			next, any = max(next, a.Nonce+1), true
		}
	}
	return next, any
}

// Retry is the nonce with which a slot goes on after a failure, and how many there were.
func (j *Job) Retry(index int) (nonce uint64, failures int) {
	nonce, _ = j.nextNonce(index)
	for i := range j.Attempts {
		if a := &j.Attempts[i]; a.Index == index && !a.OK {
			failures++
		}
	}
	return nonce, failures
}

// Ended finds how a run ended; nil: it has not, as far as is known.
func (j *Job) Ended(run RunID) *Attempt {
	for i := range j.Attempts {
		if j.Attempts[i].Run == run {
			return &j.Attempts[i]
		}
	}
	return nil
}

// OneTemplate reports whether w has the same template for ever, so that no revision
// of it is stored.
func (w *Workload) OneTemplate() bool { return w.Bare() || w.Job != nil }
