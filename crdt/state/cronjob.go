package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"holon/crdt"
	"holon/crdt/state/valid"
)

// CronJob makes a Job at each time that is due. The Job's name and identity follow from
// the CronJob, the minute and the template, and so do its registers: whoever makes it,
// on whichever side of a split, makes one by the same name with the same slots. The
// older object stays, the slots are joined, and what has come of them there and here is
// united. They may run on both sides.
type CronJob struct {
	Key               Key
	UID               crdt.UID // by which its Jobs know it; see IdentityPath
	ObjectUID         crdt.UID // of the object that the API shows
	Birth             crdt.Dot
	Name, Namespace   string
	Schedule          *valid.Schedule
	Concurrency       batchv1.ConcurrencyPolicy
	StartingDeadline  time.Duration // 0: none
	Suspended         bool
	Succeeded, Failed int // how many ended Jobs are kept
	Scheduled         Scheduled
	Object            map[string]any // as stored, to show it
	Invalid           string         // see Workload
	Conflicts         []Conflict
	Deleting          bool // it is marked: no Job of it begins any more
	template          map[string]any
	labels, notes     map[string]string
}

// Scheduled is how far a CronJob has come, in minutes since 1970. It is the last
// writer's word: if that had a wrong clock, what is due is looked for again, and a
// Job that was made is not made again, as its name is taken.
type Scheduled struct {
	Since int64 `json:"since"`          // what was due until then has been seen to
	Last  int64 `json:"last,omitempty"` // for which a Job was made last
}

// The hidden registers of CronJobs and their Jobs.
const (
	CronScheduled = "#scheduled" // of a CronJob: Scheduled
	JobOwner      = "#cronjob"   // of a Job that a CronJob owns: CronOwner
)

// CronOwner is the CronJob that a Job goes with.
type CronOwner struct {
	Key   Key      `json:"key"`
	UID   crdt.UID `json:"uid"`
	Birth crdt.Dot `json:"birth"` // as Slot.OwnerBirth
}

// ScheduledAt is the annotation that tells for which time a Job was made.
const ScheduledAt = batchv1.CronJobScheduledTimestampAnnotation

// DecodeCronJob reads a CronJob from its record; nil if it is gone.
func DecodeCronJob(key Key, rec *crdt.Record) (*CronJob, error) {
	obj, ok, err := DecodeObject(rec)
	if err != nil || !ok {
		return nil, err
	}
	_, namespace, name := key.Split()
	live := rec.Live()
	c := &CronJob{Key: key, UID: identity(live), ObjectUID: obj.UID, Birth: obj.Birth.Dot, Name: name, Namespace: namespace, Object: obj.Value, Conflicts: Conflicts(key, rec)}
	value := obj.Value
	if kept, why := lastValid(key, live, value); why != nil {
		value, c.Invalid = kept, why.Error()
	}
	if err := c.read(value); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	life := LifeOf(live)
	c.Deleting = life.Deleting
	return c, DecodeRegisters(key, live, map[string]any{CronScheduled: &c.Scheduled})
}

func (c *CronJob) read(value map[string]any) error {
	var typed batchv1.CronJob
	if err := Convert(value, &typed); err != nil {
		return err
	}
	schedule, wrong := valid.ScheduleOf(&typed)
	if wrong != nil {
		return wrong
	}
	spec := &typed.Spec
	c.Schedule, c.Concurrency, c.Suspended = schedule, spec.ConcurrencyPolicy, or(spec.Suspend, false)
	c.StartingDeadline = time.Duration(or(spec.StartingDeadlineSeconds, 0)) * time.Second
	c.Succeeded, c.Failed = int(or(spec.SuccessfulJobsHistoryLimit, 3)), int(or(spec.FailedJobsHistoryLimit, 1))
	c.labels, c.notes = spec.JobTemplate.Labels, spec.JobTemplate.Annotations
	stored, _ := value["spec"].(map[string]any)
	template, _ := stored["jobTemplate"].(map[string]any)
	c.template, _ = template["spec"].(map[string]any)
	return nil
}

// JobAt is the Job that c makes for a time that is due. The UID of its object is another
// one for each write that makes it, as it may be deleted (see crdt.Record.Purge); that
// of its slots is not.
func (c *CronJob) JobAt(due time.Time) (key Key, values map[string][]byte, err error) {
	meta := map[string]any{
		// When it was due, not when it was made: that differs from node to node.
		"creationTimestamp": due.UTC().Format(time.RFC3339),
		"generation":        int64(1),
		"ownerReferences":   ownerRef("batch/v1", "CronJob", c.Name, c.ObjectUID.String()),
	}
	merge(object(meta, "annotations"), c.notes)
	merge(object(meta, "annotations"), map[string]string{ScheduledAt: c.Schedule.In(due).Format(time.RFC3339)})
	if len(c.labels) > 0 {
		merge(object(meta, "labels"), c.labels)
	}
	key = MakeKey(Jobs, c.Namespace, valid.JobName(c.Name, due))
	values, err = FlattenAs(Jobs, map[string]any{"metadata": meta, "spec": c.template})
	if err != nil {
		return key, nil, fmt.Errorf("%s: %w", key, err)
	}
	values[JobOwner] = EncodeRegister(c.Owner())
	text, err := json.Marshal(values)
	if err != nil {
		return key, nil, fmt.Errorf("%s: %w", key, err)
	}
	values[IdentityPath] = EncodeRegister(DerivedUID("job", c.UID.String(), string(key), string(text)).String())
	return key, values, nil
}

// Results are the hidden registers of a Job that lost its name to another one with the
// same slots, as far as that one lacks them.
func Results(loser, winner *crdt.Object) map[string][]byte {
	if identity(loser) != identity(winner) {
		return nil
	}
	values := map[string][]byte{}
	for path, g := range loser.Registers {
		if _, has := winner.Registers[path]; !has && hiddenOfJob(path) {
			values[path] = g.Value
		}
	}
	return values
}

// Owner is what a Job of c keeps of it.
func (c *CronJob) Owner() CronOwner { return CronOwner{Key: c.Key, UID: c.UID, Birth: c.Birth} }

// CronNamed reads from the registers of a Job which CronJob is its controller, by name
// and UID; empty: none.
func CronNamed(values map[string][]byte) (name, uid string) {
	value, err := Build(values)
	if err != nil {
		return "", ""
	}
	var j batchv1.Job
	if err := Convert(value, &j); err != nil {
		return "", ""
	}
	for _, ref := range j.OwnerReferences {
		if ref.Kind == "CronJob" && strings.HasPrefix(ref.APIVersion, "batch/") && or(ref.Controller, false) {
			return ref.Name, string(ref.UID)
		}
	}
	return "", ""
}

// DueOf is the minute for which a Job of c was made; false if by hand.
func (c *CronJob) DueOf(job string) (due time.Time, ok bool) {
	text, ok := strings.CutPrefix(job, c.Name+"-")
	if !ok {
		return due, false
	}
	var minute int64
	if _, err := fmt.Sscanf(text, "%d", &minute); err != nil || valid.JobName(c.Name, time.Unix(minute*60, 0)) != job {
		return due, false
	}
	return time.Unix(minute*60, 0).UTC(), true
}

// Plans reports whether something follows from objects of a resource that nodes plan:
// slots, or the Jobs of a CronJob.
func Plans(resource string) bool { return IsWorkload(resource) || resource == CronJobs }

// checkOwners: the CronJob that a Job goes with may be on its way, or be gone with the
// burial on the way; a Job says which one it is, until it is orphaned.
func (c *checker) checkOwners() {
	for _, key := range c.of(Jobs) {
		live := c.doc[key].Live()
		if live == nil {
			continue
		}
		g, owned := live.Registers[JobOwner]
		if !owned || g.Value == nil {
			continue
		}
		var owner CronOwner
		if err := json.Unmarshal(g.Value, &owner); err != nil || owner.Key.Resource() != CronJobs {
			c.find(Broken, key, "its owner is %q: %v", g.Value, err)
			continue
		}
		for _, s := range g.Siblings {
			if !bytes.Equal(s.Value, g.Value) {
				c.find(Broken, key, "it has two owners, %s and %s", g.Value, s.Value)
			}
		}
		if !c.crons[owner.UID] {
			c.find(Unsettled, key, "its %s is not here", owner.Key)
		}
	}
}
