package state

import (
	"time"

	"holon/crdt"
)

// JobRef is a Job of a CronJob as its face needs it.
type JobRef struct {
	Name      string
	UID       crdt.UID
	Succeeded string // when it did, RFC 3339; empty: it has not
}

// RefOf is what the CronJob of a Job shows of it.
func RefOf(w *Workload) JobRef {
	ref := JobRef{Name: w.Name, UID: w.ObjectUID}
	if w.Job.State == JobComplete {
		ref.Succeeded = w.Job.finished()
	}
	return ref
}

// CronJobFace adds the derived status to a stored CronJob: the Jobs that have not
// ended, and when one was due and one succeeded last.
func CronJobFace(c *CronJob, active []JobRef, succeeded string) map[string]any {
	v := WithMeta(c.Key, c.ObjectUID.String(), copyObject(c.Object))
	status := map[string]any{}
	var list []any
	for _, j := range active {
		list = append(list, map[string]any{"apiVersion": "batch/v1", "kind": "Job", "namespace": c.Namespace, "name": j.Name, "uid": j.UID.String()})
	}
	if list != nil {
		status["active"] = list
	}
	if last := c.Scheduled.Last; last != 0 {
		timestamp(status, "lastScheduleTime", time.Unix(last*60, 0).UTC().Format(time.RFC3339))
	}
	timestamp(status, "lastSuccessfulTime", succeeded)
	v["status"] = status
	return v
}
