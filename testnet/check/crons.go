package check

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"holon/crdt"
	"holon/crdt/state"
)

// DueOf is the time for which a Job was made, as it says itself.
func DueOf(job *state.Workload) (time.Time, error) {
	meta, _ := job.Object["metadata"].(map[string]any)
	notes, _ := meta["annotations"].(map[string]any)
	return time.Parse(time.RFC3339, fmt.Sprint(notes[state.ScheduledAt]))
}

// Crons reports times for which there are several Jobs of one CronJob, and times between
// from and to, while all was calm, for which there is none, but for those that were made
// too early by a wrong clock, and may have been deleted since.
func Crons(replicas []Replica, from, to time.Time, early map[state.Key]bool) []string {
	if len(replicas) == 0 {
		return nil
	}
	var bad []string
	records := replicas[0].Records
	made := map[crdt.UID]map[time.Time][]string{}
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if key.Resource() != state.Jobs {
			continue
		}
		job, err := state.DecodeWorkload(key, records[key])
		if err != nil || job == nil || job.Job.Owner == nil {
			continue
		}
		owner := job.Job.Owner.UID
		due, err := DueOf(job)
		if err != nil {
			bad = append(bad, fmt.Sprintf("eventually: %s does not say when it was due: %v", key, err))
			continue
		}
		if made[owner] == nil {
			made[owner] = map[time.Time][]string{}
		}
		if made[owner][due.UTC()] = append(made[owner][due.UTC()], job.Name); len(made[owner][due.UTC()]) > 1 {
			bad = append(bad, fmt.Sprintf("eventually: for %v there are several Jobs: %v", due.UTC(), made[owner][due.UTC()]))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if key.Resource() != state.CronJobs {
			continue
		}
		c, err := state.DecodeCronJob(key, records[key])
		if err != nil || c == nil || c.Suspended || c.Concurrency != "Allow" {
			continue // others may have had a reason
		}
		for due, ok := c.Schedule.Next(from); ok && due.Before(to); due, ok = c.Schedule.Next(due) {
			if len(made[c.UID][due.UTC()]) == 0 && !early[state.MakeKey(state.Jobs, c.Namespace, fmt.Sprintf("%s-%d", c.Name, due.Unix()/60))] {
				bad = append(bad, fmt.Sprintf("eventually: %s was due at %v and there is no Job; made were %v", key, due, made[c.UID]))
			}
		}
	}
	return bad
}
