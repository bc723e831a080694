package runtimetest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holon/runtime"
)

func TestConformanceOfSimulated(t *testing.T) {
	Conformance(t, func(t *testing.T) Fixture {
		s := NewSimulated(HostConfig{StartDelay: 5 * time.Millisecond, RemoveDelay: time.Millisecond, Program: ScriptProgram})
		return Fixture{
			New:       s.Runtime,
			Command:   func(script string) ([]string, string) { return []string{"/bin/sh", "-c", script}, "sh" },
			Simulated: true,
			HostIP:    "127.0.0.1",
			Kill: func(t *testing.T, pod runtime.Status, container string) {
				s.Do(func(h *Host, now time.Duration) {
					if !h.Kill(now, pod.ID, container) {
						t.Errorf("%s is not running", container)
					}
				})
			},
			TakePort: func(*testing.T) (int, func()) {
				s.Do(func(h *Host, _ time.Duration) { h.TakePort("TCP", 8088) })
				return 8088, func() { s.Do(func(h *Host, _ time.Duration) { h.ReleasePort("TCP", 8088) }) }
			},
		}
	})
}

const ms = time.Millisecond

func simSpec(id string, scripts ...string) runtime.Spec {
	s := runtime.Spec{ID: runtime.RunID(id), Name: id}
	for i, script := range scripts {
		s.Containers = append(s.Containers, runtime.Container{Name: fmt.Sprint("c", i), Command: []string{"/bin/sh", "-c", script}})
	}
	return s
}

// states draws a pod as "Running/0 Exited/1=137", or "gone".
func states(h *Host, now time.Duration, id string) string {
	for _, s := range h.Statuses(now) {
		if string(s.ID) != id {
			continue
		}
		out := ""
		for _, c := range s.Containers {
			out += fmt.Sprintf(" %s/%d", c.State, c.Attempt)
			if c.State == runtime.Exited {
				out += fmt.Sprintf("=%d", c.ExitCode)
			}
		}
		return out[1:]
	}
	return "gone"
}

func TestHostTimeline(t *testing.T) {
	h := NewHost(HostConfig{StartDelay: 10 * ms, RemoveDelay: 2 * ms, Program: ScriptProgram})
	at := func(now time.Duration, want string) {
		t.Helper()
		if got := states(h, now, "a"); got != want {
			t.Fatalf("at %v: %s, want %s", now, got, want)
		}
	}
	next := func(now, want time.Duration) {
		t.Helper()
		if got := h.Next(now); got != want {
			t.Fatalf("next change after %v is %v, want %v", now, got, want)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a := simSpec("a", "sleep 0.1; exit 3", "trap 'sleep 0.02; exit 0' TERM; sleep 1000")
	next(0, Never)
	must(h.Apply(0, a))
	at(0, "Created/0 Created/0")
	next(0, 10*ms)
	at(10*ms, "Running/0 Running/0")
	next(10*ms, 110*ms)
	must(h.Apply(20*ms, a))
	at(110*ms, "Exited/0=3 Running/0")
	must(h.Start(120*ms, a, "c0", 1))
	must(h.Start(120*ms, a, "c0", 1))
	at(120*ms, "Created/1 Running/0")
	at(130*ms, "Running/1 Running/0")
	if !h.Kill(140*ms, "a", "c0") {
		t.Fatal("not killed")
	}
	at(140*ms, "Exited/1=137 Running/0")
	must(h.Stop(150*ms, "a", 50*ms))
	next(150*ms, 170*ms)
	at(170*ms, "Exited/1=137 Exited/0=0")
	at(171*ms, "Exited/1=137 Exited/0=0")
	at(172*ms, "gone")
	for start, n := range h.Starts() {
		if n != 1 {
			t.Errorf("%v was started %d times", start, n)
		}
	}
	want := Counts{Applied: 1, Adopted: 1, Started: 3, Exited: 3, Removed: 1, Killed: 1}
	if got := h.Counts(); got != want {
		t.Errorf("counts are %+v, want %+v", got, want)
	}
}

func TestHostFaults(t *testing.T) {
	h := NewHost(HostConfig{StartDelay: 10 * ms, Program: ScriptProgram})
	wantKind := func(err error, kind runtime.Kind) {
		t.Helper()
		if err == nil || runtime.KindOf(err) != kind {
			t.Fatalf("got %v, want %v", err, kind)
		}
	}
	a := simSpec("a", "sleep 1000")
	a.Containers[0].Image = "web"
	h.SetImageMissing("web", true)
	wantKind(h.Apply(0, a), runtime.ImageMissing)
	h.SetImageMissing("web", false)
	h.SetDown(true)
	wantKind(h.Apply(0, a), runtime.Unavailable)
	h.SetDown(false)
	if err := h.Apply(0, a); err != nil {
		t.Fatal(err)
	}
	h.SetDown(true)
	if _, err := h.Pods(20 * ms); runtime.KindOf(err) != runtime.Unavailable {
		t.Fatalf("Pods while down: %v", err)
	}
	if got := states(h, 20*ms, "a"); got != "Running/0" {
		t.Fatalf("while the socket is down: %s", got)
	}
	h.SetDown(false)

	// A crash of the daemon forgets the stop under way; the pod stays.
	b := simSpec("b", "trap '' TERM; sleep 1000")
	if err := h.Apply(20*ms, b); err != nil {
		t.Fatal(err)
	}
	if err := h.Stop(40*ms, "b", 100*ms); err != nil {
		t.Fatal(err)
	}
	h.CrashDaemon(50 * ms)
	if got := states(h, time.Second, "b"); got != "Running/0" {
		t.Fatalf("after the daemon's crash: %s", got)
	}
	// A crash of the host kills all; what is starting never starts.
	c := simSpec("c", "sleep 1000")
	if err := h.Apply(time.Second, c); err != nil {
		t.Fatal(err)
	}
	h.Crash(time.Second + ms)
	for id, want := range map[string]string{"a": "Exited/0=137", "b": "Exited/0=137", "c": "Created/0"} {
		if got := states(h, time.Minute, id); got != want {
			t.Errorf("%s after the crash: %s, want %s", id, got, want)
		}
	}
	if got := h.Next(time.Minute); got != Never {
		t.Errorf("something will happen at %v on a dead host", got)
	}
	if err := h.Apply(time.Minute, c); err != nil {
		t.Fatal(err)
	}
	if got := states(h, time.Minute+10*ms, "c"); got != "Running/0" {
		t.Errorf("ordered again: %s", got)
	}
	if err := h.Start(time.Minute, a, "c0", 1); err != nil {
		t.Fatal(err)
	}
	if got := states(h, time.Minute+10*ms, "a"); got != "Running/1" {
		t.Errorf("restarted after the crash: %s", got)
	}
}

// Looking more often changes nothing, and Next is never late: a host that is
// only looked at when Next says so shows the same as one looked at every ms.
func TestHostNextIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := HostConfig{StartDelay: 3 * ms, RemoveDelay: 2 * ms, Program: ScriptProgram}
		often, seldom := NewHost(cfg), NewHost(cfg)
		scripts := []string{"exit 1", "sleep 0.007; exit 2", "sleep 1000", "trap '' TERM; sleep 1000", "trap 'sleep 0.004; exit 5' TERM; sleep 1000"}
		attempt, wake, shown := 0, Never, seldom.Statuses(0)
		for now := time.Duration(0); now < 100*ms; now += ms {
			if rapid.IntRange(0, 5).Draw(t, "act") == 0 {
				op := rapid.SampledFrom([]string{"apply", "start", "stop", "kill", "crash", "daemon"}).Draw(t, "op")
				id := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "id")
				spec := simSpec(id, rapid.SampledFrom(scripts).Draw(t, "script"))
				attempt++
				grace := time.Duration(rapid.IntRange(0, 9).Draw(t, "grace")) * ms
				for _, h := range []*Host{often, seldom} {
					switch op {
					case "apply":
						h.Apply(now, spec)
					case "start":
						h.Start(now, spec, "c0", attempt)
					case "stop":
						h.Stop(now, spec.ID, grace)
					case "kill":
						h.Kill(now, spec.ID, "c0")
					case "crash":
						h.Crash(now)
					case "daemon":
						h.CrashDaemon(now)
					}
				}
				wake = now
			}
			if wake <= now {
				shown = seldom.Statuses(now)
				wake = seldom.Next(now)
				if wake <= now {
					t.Fatalf("Next(%v) is %v, not later", now, wake)
				}
			}
			if got := often.Statuses(now); !reflect.DeepEqual(got, shown) {
				t.Fatalf("at %v: %+v, but the last change shown is %+v", now, got, shown)
			}
		}
		if often.Counts() != seldom.Counts() {
			t.Fatalf("counts %+v and %+v", often.Counts(), seldom.Counts())
		}
		for start, n := range often.Starts() {
			if n > 1 && start.Attempt > 0 {
				t.Fatalf("%v was started %d times", start, n)
			}
		}
	})
}

func TestParseScriptRefusesWhatItCannotRun(t *testing.T) {
	for _, script := range []string{"ls", "exit x", "sleep long", "trap 'sleep 1000' TERM; ls", "trap 'while :; do true; done' TERM"} {
		if _, err := ParseScript(script); err == nil {
			t.Errorf("%q is accepted", script)
		}
	}
}

// TestHostTellsOutOfMemory: that an attempt was killed for its memory is said of it after the next
// one has begun, too.
func TestHostTellsOutOfMemory(t *testing.T) {
	h := NewHost(HostConfig{Program: func(_ runtime.Spec, _ runtime.Container, attempt int) (Program, error) {
		return Program{RunFor: ms, ExitCode: 137, OOMKilled: attempt == 0}, nil
	}})
	spec := simSpec("a", "")
	if err := h.Apply(0, spec); err != nil {
		t.Fatal(err)
	}
	first := h.Statuses(ms)[0].Containers[0]
	for attempt := 1; attempt <= 2; attempt++ {
		if err := h.Start(time.Duration(attempt)*ms, spec, "c0", attempt); err != nil {
			t.Fatal(err)
		}
		now := h.Statuses(time.Duration(attempt) * ms)[0].Containers[0]
		if now.Last.OOMKilled != (attempt == 1) || attempt == 1 && now.Last != first.Ended() {
			t.Errorf("attempt %d says of the one before %+v", attempt, now.Last)
		}
	}
}
