package state

import (
	"fmt"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
)

// JobCounts are what the status of a Job counts beside how attempts ended.
type JobCounts struct {
	Active, Ready int
}

// JobFace adds to a stored Job what is derived: labels, selector and status.
func JobFace(w *Workload, n JobCounts) map[string]any {
	v := WithMeta(w.Key, w.ObjectUID.String(), copyObject(w.Object))
	spec := object(v, "spec")
	template := object(spec, "template")
	merge(object(object(template, "metadata"), "labels"), jobLabels(w))
	spec["selector"] = map[string]any{"matchLabels": map[string]any{JobUIDLabel: w.ObjectUID.String()}}
	j := w.Job
	status := map[string]any{"ready": int64(n.Ready), "terminating": int64(0), "uncountedTerminatedPods": map[string]any{}}
	for name, count := range map[string]int{"active": n.Active, "succeeded": j.Succeeded, "failed": j.Failed} {
		if count > 0 {
			status[name] = int64(count)
		}
	}
	if !j.Suspended || len(j.Attempts) > 0 {
		timestamp(status, "startTime", w.Created)
	}
	if j.State == JobComplete {
		timestamp(status, "completionTime", j.finished())
	}
	if j.Indexed && j.Succeeded > 0 {
		status["completedIndexes"] = j.completedIndexes()
	}
	if conditions := append(j.conditions(), mergeConditions(w.Conflicts, w.Invalid)...); len(conditions) > 0 {
		status["conditions"] = conditions
	}
	v["status"] = status
	return v
}

// finished is when the last attempt ended, as its node's clock said.
func (j *Job) finished() (last string) {
	for i := range j.Attempts {
		last = max(last, j.Attempts[i].Finished)
	}
	return last
}

func (j *Job) conditions() []any {
	var list []any
	switch j.State {
	case JobComplete:
		list = append(list, condition("SuccessCriteriaMet", true, batchv1.JobReasonCompletionsReached, "Reached expected number of succeeded pods"),
			condition("Complete", true, batchv1.JobReasonCompletionsReached, "Reached expected number of succeeded pods"))
	case JobFailed:
		message := "Job has reached the specified backoff limit"
		if j.Why == batchv1.JobReasonDeadlineExceeded {
			message = "Job was active longer than specified deadline"
		}
		list = append(list, condition("FailureTarget", true, j.Why, message), condition("Failed", true, j.Why, message))
	default:
		if j.Suspended {
			list = append(list, condition("Suspended", true, "JobSuspended", "Job suspended"))
		}
	}
	for _, c := range list { // a Job's conditions are only shown with a time
		timestamp(c.(map[string]any), "lastTransitionTime", j.finished())
	}
	return list
}

// completedIndexes spells the slots that succeeded as Kubernetes does: 0-2,5.
func (j *Job) completedIndexes() string {
	text, first, last := "", -1, -1
	flush := func() {
		if first < 0 {
			return
		}
		if text != "" {
			text += ","
		}
		switch text += strconv.Itoa(first); {
		case last == first+1:
			text += fmt.Sprintf(",%d", last)
		case last > first:
			text += fmt.Sprintf("-%d", last)
		}
	}
	for i := range j.Attempts {
		a := &j.Attempts[i]
		switch {
		case !a.OK || a.Index == last:
		case last >= 0 && a.Index == last+1:
			last = a.Index
		default:
			flush()
			first, last = a.Index, a.Index
		}
	}
	flush()
	return text
}

func (p *PodFace) ofJob(meta, labels, notes map[string]any) {
	w := p.Workload
	meta["generateName"], meta["ownerReferences"] = w.Name+"-", ownerRef("batch/v1", "Job", w.Name, w.ObjectUID.String())
	if w.Job.Indexed {
		index := strconv.Itoa(p.Slot.Index)
		meta["generateName"] = w.Name + "-" + index + "-"
		labels[JobIndexLabel], notes[JobIndexLabel] = index, index
	}
}
