package testnet

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"holon/crdt/state"
	"holon/testnet/check"
)

// clockTold is how often a host's clock is looked at.
const clockTold = 5 * time.Second

// tellClocks has every node look at its host's clock, for ever.
func (w *World) tellClocks() {
	for _, n := range w.nodes {
		if n.up {
			n.guarded(n.boot, n.tellHost)
		}
	}
	w.after(clockTold, w.tellClocks)
}

// operateCrons does something to a CronJob, to a Job of one, or to this node's clock.
func (n *Node) operateCrons() {
	name := fmt.Sprintf("t%d", n.w.rng.IntN(3))
	key := state.MakeKey(state.CronJobs, "default", name)
	switch k := n.w.rng.IntN(10); {
	case k < 4:
		n.putCron(key)
	case k < 5:
		if n.seen[key].Live() != nil {
			n.put(key, map[string]any{"spec": map[string]any{"suspend": n.w.rng.IntN(2) == 0}})
		}
	case k < 6:
		n.remove(key)
	case k < 7:
		for _, key := range slices.Sorted(maps.Keys(n.seen)) {
			if key.Resource() == state.Jobs && n.w.rng.IntN(3) == 0 {
				n.remove(key)
				return
			}
		}
	default:
		n.w.Counts.ClocksSet++
		n.clock = n.w.anyClock()
		n.w.did("the clock of %s is set to %v", n.name, time.UnixMilli(n.clock.reads(n.w.now)).UTC())
		n.tellHost()
	}
}

// anyClock is a right one, or one that is off by a little or by a lot, or that drifts.
func (w *World) anyClock() wallClock {
	k := clocksByTurns[1]
	switch w.rng.IntN(6) {
	case 0:
		return clocksByTurns[0]
	case 1:
		return clocksByTurns[2]
	case 2:
		k.began += w.rng.Int64N(600_000) - 300_000
	case 3:
		k.gains = w.rng.Int64N(100) - 50
	}
	return k
}

func (n *Node) putCron(key state.Key) {
	rng := n.w.rng
	image := []string{"done", "done", "crash"}[rng.IntN(3)]
	spec := map[string]any{
		"schedule": fmt.Sprintf("*/%d * * * *", 1+rng.IntN(2)), "suspend": false, "concurrencyPolicy": []string{"Allow", "Allow", "Forbid", "Replace"}[rng.IntN(4)],
		"successfulJobsHistoryLimit": int64(100), "failedJobsHistoryLimit": int64(100),
		"jobTemplate": map[string]any{"spec": map[string]any{"backoffLimit": int64(0), "template": map[string]any{"spec": map[string]any{
			"restartPolicy": "Never", "containers": []any{map[string]any{
				"name": "app", "image": image, "resources": map[string]any{"requests": map[string]any{"cpu": "10m"}},
			}},
		}}}},
	}
	if rng.IntN(2) == 0 {
		spec["startingDeadlineSeconds"] = int64(30)
	}
	n.put(key, map[string]any{"spec": spec})
}

// auditCron judges a Job that this node has made: its time is due by cluster time in
// this view, and not too late.
func (n *Node) auditCron(key state.Key) {
	job, err := state.DecodeWorkload(key, n.newest[key])
	if err != nil || job == nil || job.Job.Owner == nil {
		n.w.violate("anytime: %s says that it has made %s: %v", n.name, key, err)
		return
	}
	cron, err := state.DecodeCronJob(job.Job.Owner.Key, n.newest[job.Job.Owner.Key])
	if err != nil || cron == nil {
		n.w.violate("anytime: %s makes %s of no CronJob: %v", n.name, key, err)
		return
	}
	n.w.Counts.CronRuns++
	if n.w.shape.Crons { // it is not calm yet
		n.w.early[key] = true
	}
	due, err := check.DueOf(job)
	now, ok := n.core.ClusterTime(n.w.now)
	every := everyMinutes(cron)
	switch late := now.Sub(due); {
	case err != nil || !ok || late < -time.Second || due.Minute()%every != 0 || due.Second() != 0:
		n.w.violate("anytime: %s makes %s for %v, every %d minutes, at %v (%v): %v", n.name, key, due, every, now, ok, err)
	case cron.StartingDeadline > 0 && late > cron.StartingDeadline+time.Second, cron.Suspended:
		n.w.violate("anytime: %s makes %s %v late, of at most %v; suspended: %v", n.name, key, late, cron.StartingDeadline, cron.Suspended)
	}
}

// everyMinutes reads the schedules that are made here: "* * * * *" and "*/N * * * *".
func everyMinutes(c *state.CronJob) int {
	text := c.Object["spec"].(map[string]any)["schedule"].(string)
	every := 1
	if _, err := fmt.Sscanf(text, "*/%d * * * *", &every); err != nil && text != "* * * * *" {
		panic(text)
	}
	return every
}

// calmClocks leaves fewer than half of the clocks wrong.
func (w *World) calmClocks() {
	for i, n := range w.nodes {
		if n.clock = clocksByTurns[1]; i < (len(w.nodes)-1)/2 {
			n.clock = clocksByTurns[2*(i%2)]
		}
		n.clock.gains = int64(i % 2) // milliseconds per second, from now on
		n.clock.began -= n.clock.gains * int64(w.now/time.Second)
	}
}

// calmTime is cluster time; it is one time once all is calm.
func (w *World) calmTime() time.Time {
	first := time.Time{}
	for _, n := range w.nodes {
		t, ok := n.core.ClusterTime(w.now)
		if first.IsZero() {
			first = t
		}
		if !ok || t.Sub(first).Abs() > 2*time.Second || t.Sub(w.sane()).Abs() > 2*time.Second {
			w.violate("eventually: it is %v on %s (%v), and %v by most clocks", t, n.name, ok, w.sane())
		}
	}
	return first
}

// sane is what the hosts' clocks with a battery say.
func (w *World) sane() time.Time { return time.UnixMilli(clocksByTurns[1].reads(w.now)).UTC() }

// judgeCrons lets Jobs that were made last end, and judges those of the calm.
func (w *World) judgeCrons(from time.Time) {
	w.Run(time.Duration((60+35-w.sane().Second())%60) * time.Second)
	w.bad = append(w.bad, check.Crons(w.replicas(), from.Add(10*time.Second), w.calmTime().Add(-10*time.Second), w.early)...)
}
