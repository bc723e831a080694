package core

import (
	"testing"
	"time"

	"holon/crdt/state"
	"holon/runtime"
)

// TestWhatEndedBefore: an end is a container's state, and its last state from when the next
// attempt is waited for.
func TestWhatEndedBefore(t *testing.T) {
	seven := runtime.Ended{ID: "a", ExitCode: 7, Message: "words", StartedAt: time.Unix(1, 0), FinishedAt: time.Unix(2, 0)}
	lastSeven := state.Termination{ExitCode: 7, Reason: "Error", Message: "words", Started: "1970-01-01T00:00:01Z", Finished: "1970-01-01T00:00:02Z", ID: "a"}
	killed := runtime.Ended{ID: "b", ExitCode: 137, OOMKilled: true}
	lastKilled := state.Termination{ExitCode: 137, Reason: "OOMKilled", ID: "b"}
	for _, c := range []struct {
		name   string
		seen   []runtime.ContainerStatus // one after the other
		state  string
		reason string
		last   state.Termination
	}{
		{"runs", []runtime.ContainerStatus{{State: runtime.Running}}, "running", "", state.Termination{}},
		{"has ended", []runtime.ContainerStatus{{State: runtime.Exited, ExitCode: 7}}, "terminated", "Error", state.Termination{}},
		{"runs again", []runtime.ContainerStatus{{State: runtime.Running, Attempt: 1, Last: seven}}, "running", "", lastSeven},
		{"is made again", []runtime.ContainerStatus{{State: runtime.Created, Attempt: 1, Last: seven}}, "waiting", "ContainerCreating", lastSeven},
		{"ended well before", []runtime.ContainerStatus{{State: runtime.Running, Attempt: 1, Last: runtime.Ended{ID: "c"}}}, "running", "", state.Termination{Reason: "Completed", ID: "c"}},
		{"waits", []runtime.ContainerStatus{
			{State: runtime.Exited, ID: "a", ExitCode: 7},
			{State: runtime.Exited, Attempt: 1, ID: "b", ExitCode: 137, OOMKilled: true, Last: seven},
		}, "waiting", "CrashLoopBackOff", lastKilled},
		{"runs after that", []runtime.ContainerStatus{{State: runtime.Running, Attempt: 2, ID: "d", Last: killed}}, "running", "", lastKilled},
	} {
		x := admit(t, container(nil))
		x.run(time.Second)
		x.lazy = true
		for _, s := range c.seen {
			s.Name = "app"
			x.set(s)
			x.do(Observed{Pods: x.pods})
			x.do(Ordered{Order: Order{Kind: Restart, Run: x.pods[0].ID, Container: "app", Attempt: s.Attempt + 1}})
			x.run(time.Second)
		}
		if got := x.says().Containers[0]; got.State != c.state || got.Reason != c.reason || got.Last != c.last {
			t.Errorf("one that %s is %s %s, and was before %+v; want %s %s and %+v", c.name, got.State, got.Reason, got.Last, c.state, c.reason, c.last)
		}
	}
}
