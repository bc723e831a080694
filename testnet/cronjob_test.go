package testnet

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"holon/crdt/state"
	"holon/testnet/check"
)

func cronKey(name string) state.Key { return state.MakeKey(state.CronJobs, "default", name) }

// newCronStage is a stage on which all clocks are right.
func newCronStage(t *testing.T, nodes int) *stage {
	s := newStage(t, nodes)
	for _, n := range s.nodes {
		n.clock = clocksByTurns[1]
		n.tellHost()
	}
	s.Run(2 * time.Second)
	return s
}

// repeat creates a CronJob of one container; spec is what it holds besides the template.
func (s *stage) repeat(n *Node, name, image string, spec map[string]any) {
	s.t.Helper()
	whole := map[string]any{"schedule": "* * * * *", "successfulJobsHistoryLimit": int64(100), "concurrencyPolicy": "Allow", "jobTemplate": map[string]any{"spec": map[string]any{
		"template": map[string]any{"spec": map[string]any{
			"restartPolicy": "Never", "containers": []any{map[string]any{"name": "app", "image": image}},
		}}}}}
	maps.Copy(whole, spec)
	s.put(n, cronKey(name), map[string]any{"spec": whole})
}

// jobsOf lists the live Jobs of a CronJob that a node has, by name.
func (n *Node) jobsOf(name string) (jobs []string) {
	for _, key := range slices.Sorted(maps.Keys(n.seen)) {
		_, _, job := key.Split()
		if key.Resource() == state.Jobs && strings.HasPrefix(job, name+"-") && n.seen[key].Live() != nil {
			jobs = append(jobs, job)
		}
	}
	return jobs
}

// untilSecond lets time pass until the hosts' clocks show a second of the minute.
func (s *stage) untilSecond(second int) {
	s.Run(time.Duration((60+second-s.sane().Second())%60) * time.Second)
}

// TestCronJobMakesOneJobPerMinute: whoever makes it, each is made once, runs once, and is
// not made again after a reboot of everybody; deleting the CronJob deletes all of them.
func TestCronJobMakesOneJobPerMinute(t *testing.T) {
	s := newCronStage(t, 3)
	s.untilSecond(30)
	s.repeat(s.node(1), "tick", "done", nil)
	s.Run(3 * time.Minute)
	s.audited()
	for _, n := range s.nodes {
		s.crash(n, true)
	}
	s.Run(time.Second)
	for _, n := range s.nodes {
		n.start()
	}
	s.Run(20 * time.Second)
	for _, n := range s.nodes {
		if jobs := n.jobsOf("tick"); len(jobs) != 3 {
			t.Errorf("%s has %v", n.name, jobs)
		}
		status, _ := n.shown[cronKey("tick")]["status"].(map[string]any)
		last, _ := time.Parse(time.RFC3339, status["lastScheduleTime"].(string))
		if late := s.sane().Sub(last); late < 0 || late > time.Minute || status["lastSuccessfulTime"] == nil || status["active"] != nil {
			t.Errorf("%s shows %v at %v", n.name, status, s.sane())
		}
	}
	for slot, times := range s.starts() {
		if times != 1 {
			t.Errorf("slot %s began %d times", slot, times)
		}
	}
	s.audited()
	s.node(2).remove(cronKey("tick"))
	s.Run(20 * time.Second)
	for _, bad := range check.NothingLeaked(s.replicas(), false) {
		t.Error(bad)
	}
	s.Run(2 * time.Minute)
	if jobs := s.node(1).jobsOf("tick"); len(jobs) > 0 {
		t.Errorf("made after the end: %v", jobs)
	}
}

// TestCronJobOnTwoSides: both sides make the same Job, and it is one after the heal.
func TestCronJobOnTwoSides(t *testing.T) {
	s := newCronStage(t, 5)
	s.untilSecond(30)
	s.repeat(s.node(1), "tick", "done", nil)
	s.Run(5 * time.Second)
	s.split([]int{1, 2}, []int{3, 4, 5})
	s.Run(3 * time.Minute)
	one, other := s.node(1).jobsOf("tick"), s.node(5).jobsOf("tick")
	if len(one) != 3 || !slices.Equal(one, other) {
		t.Fatalf("one side has made %v, the other %v", one, other)
	}
	s.net.heal()
	s.Run(20 * time.Second)
	for _, n := range s.nodes {
		if jobs := n.jobsOf("tick"); !slices.Equal(jobs, one) {
			t.Errorf("%s has %v", n.name, jobs)
		}
		for _, job := range one {
			rec := n.seen[jobKey(job)]
			if len(state.Conflicts(jobKey(job), rec)) > 0 || n.status(job)["succeeded"] != int64(1) {
				t.Errorf("%s on %s is in conflict: %v, and shows %v", job, n.name, state.Conflicts(jobKey(job), rec), n.status(job))
			}
		}
	}
	for _, bad := range check.Equal(s.replicas()) {
		t.Error(bad)
	}
	s.audited()
}

// TestCronJobMissedRuns: of what passed while nobody lived the last one is made up for,
// unless that is too late.
func TestCronJobMissedRuns(t *testing.T) {
	s := newCronStage(t, 3)
	s.untilSecond(30)
	s.repeat(s.node(1), "any", "done", map[string]any{"schedule": "*/5 * * * *"})
	s.repeat(s.node(1), "strict", "done", map[string]any{"schedule": "*/5 * * * *", "startingDeadlineSeconds": int64(60)})
	s.Run(5 * time.Second)
	for _, n := range s.nodes {
		s.crash(n, false)
	}
	s.Run(time.Duration(10*60+2*60)*time.Second + time.Duration(60*(5-s.sane().Minute()%5))*time.Second) // more than 60 s after a run
	for _, n := range s.nodes {
		n.start()
	}
	s.Run(30 * time.Second)
	if any, strict := s.node(2).jobsOf("any"), s.node(2).jobsOf("strict"); len(any) != 1 || len(strict) != 0 {
		t.Errorf("made %v, and %v that may not be late", any, strict)
	}
	s.audited()
}

// TestCronJobConcurrency: what becomes of a run while the one before goes on.
func TestCronJobConcurrency(t *testing.T) {
	s := newCronStage(t, 3)
	s.untilSecond(30)
	for _, policy := range []string{"Allow", "Forbid", "Replace"} {
		s.repeat(s.node(1), strings.ToLower(policy), "web", map[string]any{"concurrencyPolicy": policy})
	}
	s.untilSecond(10)
	first := s.node(3).jobsOf("replace")
	s.Run(2 * time.Minute)
	n := s.node(3)
	if allow, forbid, replace := n.jobsOf("allow"), n.jobsOf("forbid"), n.jobsOf("replace"); len(allow) != 3 || len(forbid) != 1 || len(replace) != 1 || slices.Equal(first, replace) {
		t.Errorf("with Allow %v, with Forbid %v, with Replace %v", allow, forbid, replace)
	}
	s.audited()
	n.remove(jobKey(n.jobsOf("forbid")[0]))
	s.within(5*time.Second, "the one that was held back", func() bool { return len(s.node(1).jobsOf("forbid")) == 1 })
	s.audited()
}

// TestCronJobHistory: as many ended Jobs stay as are asked for; a suspended CronJob makes
// none.
func TestCronJobHistory(t *testing.T) {
	s := newCronStage(t, 3)
	s.untilSecond(30)
	s.repeat(s.node(1), "tick", "done", map[string]any{"successfulJobsHistoryLimit": int64(2)})
	s.repeat(s.node(1), "still", "done", map[string]any{"suspend": true})
	s.Run(5 * time.Minute)
	if tick, still := s.node(2).jobsOf("tick"), s.node(2).jobsOf("still"); len(tick) != 2 || len(still) != 0 {
		t.Errorf("kept %v, and %v although it is suspended", tick, still)
	}
	s.audited()
}

// TestCronJobOfAWrongClock: a side that lives in 2099 for a while makes Jobs of its own,
// and afterwards the schedule goes on as if nothing had been.
func TestCronJobOfAWrongClock(t *testing.T) {
	s := newCronStage(t, 3)
	s.untilSecond(30)
	s.repeat(s.node(1), "tick", "done", nil)
	s.Run(5 * time.Second)
	s.split([]int{3}, []int{1, 2})
	s.node(3).clock = clocksByTurns[2]
	s.node(3).tellHost()
	s.Run(2 * time.Minute)
	s.net.heal()
	s.Run(20 * time.Second)
	before := len(s.node(1).jobsOf("tick"))
	s.Run(3 * time.Minute)
	if jobs := s.node(1).jobsOf("tick"); len(jobs) != before+3 {
		t.Errorf("%d more Jobs in three minutes: %v", len(jobs)-before, jobs)
	}
	s.audited()
}
