package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/state"
	"holon/runtime"
)

// clinic is a node with one pod whose probes are answered by a function of time.
type clinic struct {
	*crowd
	disk   map[string][]byte
	answer func(p Probe, at int) (ok bool) // at: seconds since its container was first seen running
	slow   time.Duration                   // how long an attempt takes
	lazy   bool                            // nothing is done that is ordered
	code   int                             // with which a container takes its leave when it is told to
	// lasts says after which time an attempt of a container ends by itself, and how; nil: none does.
	lasts func(container string, attempt int) (runs time.Duration, code int, ends bool)
	hook  func(Hook) (takes time.Duration, ok bool) // nil: none is answered

	pods    []runtime.Status
	began   Instant // of the newest attempt of the container that is asked
	asked   []string
	kills   []Order
	facts   []string
	replies []reply // on their way
	exits   []exit
	orders  []Order
	starts  []string
	wake    Instant
}

type reply struct {
	at Instant
	Event
}

// exit is the end of an attempt.
type exit struct {
	at            Instant
	container     string
	attempt, code int
}

// always and never are answers.
func always(Probe, int) bool { return true }
func never(Probe, int) bool  { return false }

// admit makes a clinic with a pod of a spec in JSON's values.
func admit(t fataler, spec map[string]any) *clinic {
	x := &clinic{crowd: newCrowd(t, 1, state.Resources{CPU: 1 << 20, Memory: 1 << 40, Pods: 4}), disk: map[string][]byte{}, answer: always, slow: time.Millisecond}
	x.count++
	x.put(state.MakeKey(state.Pods, "default", "p"), crdt.UID{1}, map[string]any{"spec": spec})
	x.wake = x.now
	return x
}

// container is the spec of a pod with one.
func container(probes map[string]any) map[string]any {
	c := map[string]any{"name": "app", "image": "app"}
	for kind, p := range probes {
		c[kind] = p
	}
	return map[string]any{"containers": []any{c}}
}

// probe is one with periods and thresholds in their usual order; 0: not said.
func probe(delay, period, success, failure int64) map[string]any {
	p := map[string]any{"exec": map[string]any{"command": []any{"true"}}}
	for name, value := range map[string]int64{"initialDelaySeconds": delay, "periodSeconds": period, "successThreshold": success, "failureThreshold": failure} {
		if value != 0 {
			p[name] = value
		}
	}
	return p
}

// do steps, and performs what follows.
func (x *clinic) do(ev Event) {
	ready := x.Step(x.now, ev)
	x.wake = ready.Wake
	for _, kv := range ready.Persist {
		if x.disk[kv.Key] = kv.Value; kv.Value == nil {
			delete(x.disk, kv.Key)
		}
	}
	for _, f := range ready.Facts {
		x.facts = append(x.facts, f.Reason+": "+f.Message)
	}
	for _, p := range ready.Probe {
		x.asked = append(x.asked, fmt.Sprintf("%s@%d", p.Kind, x.seconds()))
		x.replies = append(x.replies, reply{x.now + x.slow, Probed{Probe: p, OK: x.answer(p, x.seconds()), Output: "no answer"}})
	}
	for _, h := range ready.Hook {
		if x.hook != nil {
			takes, ok := x.hook(h)
			x.replies = append(x.replies, reply{x.now + takes, Hooked{Hook: h, OK: ok, Output: "no answer"}})
		}
	}
	for _, o := range ready.Run {
		if !x.lazy {
			x.carryOut(o)
		}
	}
}

func (x *clinic) seconds() int { return int((x.now - x.began) / time.Second) }

// carryOut does at once what is ordered.
func (x *clinic) carryOut(o Order) {
	x.orders = append(x.orders, o)
	if o.Kind == Ensure && len(x.pods) == 0 {
		x.pods = []runtime.Status{{ID: o.Run, Slot: o.Spec.Slot}}
	}
	switch o.Kind {
	case Ensure:
		for _, c := range o.Spec.Containers {
			if x.container(c.Name) == nil && !c.Waits {
				x.set(runtime.ContainerStatus{Name: c.Name, State: runtime.Running})
			}
		}
	case Restart:
		x.set(runtime.ContainerStatus{Name: o.Container, State: runtime.Running, Attempt: o.Attempt})
	case Kill:
		x.kills = append(x.kills, o)
		x.set(runtime.ContainerStatus{Name: o.Container, State: runtime.Exited, Attempt: o.Attempt, ExitCode: x.code})
	case Stop:
		x.pods = nil
	}
	x.do(Observed{Pods: x.pods})
	x.do(Ordered{Order: o})
}

func (x *clinic) container(name string) *runtime.ContainerStatus {
	list := x.pods[0].Containers
	if i := slices.IndexFunc(list, func(c runtime.ContainerStatus) bool { return c.Name == name }); i >= 0 {
		return &list[i]
	}
	return nil
}

// set has a container do something else from now on.
func (x *clinic) set(s runtime.ContainerStatus) {
	x.pods = []runtime.Status{{ID: x.pods[0].ID, Slot: x.pods[0].Slot, Containers: slices.Clone(x.pods[0].Containers)}}
	if c := x.container(s.Name); c != nil {
		*c = s
	} else {
		x.pods[0].Containers = append(x.pods[0].Containers, s)
	}
	x.exits = slices.DeleteFunc(x.exits, func(e exit) bool { return e.container == s.Name })
	if s.State != runtime.Running {
		return
	}
	x.began = x.now
	x.starts = append(x.starts, fmt.Sprintf("%s#%d@%d", s.Name, s.Attempt, x.now/time.Second))
	if x.lasts != nil {
		if runs, code, ends := x.lasts(s.Name, s.Attempt); ends {
			x.exits = append(x.exits, exit{x.now + runs, s.Name, s.Attempt, code})
		}
	}
}

// run lets time pass: containers end before answers come, and these before the node wakes.
func (x *clinic) run(d time.Duration) {
	for end := x.now + d; ; {
		next, first, ends := x.wake, -1, -1
		for i, r := range x.replies {
			if next == 0 || r.at <= next && first < 0 || r.at < next {
				next, first = r.at, i
			}
		}
		for i, e := range x.exits {
			if next == 0 || e.at < next || e.at == next && (ends < 0 || e.container < x.exits[ends].container) {
				next, ends = e.at, i
			}
		}
		if next == 0 || next > end {
			x.now = end
			return
		}
		x.now = max(x.now, next)
		switch {
		case ends >= 0:
			e := x.exits[ends]
			x.set(runtime.ContainerStatus{Name: e.container, State: runtime.Exited, Attempt: e.attempt, ExitCode: e.code})
			x.do(Observed{Pods: x.pods})
		case first >= 0:
			r := x.replies[first]
			x.replies = slices.Delete(x.replies, first, first+1)
			x.do(r.Event)
		default:
			x.do(Woke{})
		}
	}
}

// says is what the node says of the pod; nil: nothing yet.
func (x *clinic) says() *state.RunStatus {
	for id := range x.runner.runs {
		return x.status.own.Find(id)
	}
	return nil
}

func (x *clinic) audit(t *testing.T) {
	t.Helper()
	for _, bad := range x.AuditPlan() {
		t.Error(bad)
	}
}

// course is what becomes of a container by Kubernetes' rules, second by second.
type course struct {
	ready []bool
	dies  int // the second; -1: it lives on
}

// rules are of one probe; a period of 0: there is none.
type rules struct{ delay, period, success, failure int }

// kubelet is a second reading of the rules, for attempts that take no time.
func kubelet(probes [3]rules, healthy func(kind probeKind, at int) bool, seconds int) (c course) {
	c.dies = -1
	started, ready := probes[startupProbe].period == 0, probes[readinessProbe].period == 0
	var next, good, bad [3]int
	for k := range probes {
		next[k] = probes[k].delay
	}
	for at := range seconds {
		for k := range probes {
			r := probes[k]
			if r.period == 0 || at < next[k] || (k == int(startupProbe)) == started {
				continue
			}
			next[k] = at + r.period
			if healthy(probeKind(k), at) {
				good[k], bad[k] = good[k]+1, 0
			} else {
				good[k], bad[k] = 0, bad[k]+1
			}
			switch {
			case k != int(readinessProbe) && bad[k] >= r.failure:
				c.dies = at
				return c
			case k == int(startupProbe) && good[k] >= r.success:
				started = true
			case k == int(readinessProbe) && good[k] >= r.success:
				ready = true
			case k == int(readinessProbe) && bad[k] >= r.failure:
				ready = false
			}
		}
		c.ready = append(c.ready, started && ready)
	}
	return c
}

// TestProbesAreKubernetes: with any probes and any answers a container is ready in
// the seconds in which Kubernetes' rules say so, and ends when they say so.
func TestProbesAreKubernetes(t *testing.T) {
	names := [...]string{"startupProbe", "livenessProbe", "readinessProbe"}
	rapid.Check(t, func(t *rapid.T) {
		const seconds = 60
		var probes [3]rules
		spec, health := map[string]any{}, [3][]bool{}
		for k, name := range names {
			if !rapid.Bool().Draw(t, "has "+name) {
				continue
			}
			r := rules{rapid.IntRange(0, 9).Draw(t, "delay"), rapid.IntRange(1, 7).Draw(t, "period"), 1, rapid.IntRange(1, 4).Draw(t, "failure")}
			if k == int(readinessProbe) {
				r.success = rapid.IntRange(1, 3).Draw(t, "success")
			}
			probes[k], spec[name] = r, probe(int64(r.delay), int64(r.period), int64(r.success), int64(r.failure))
			well := rapid.Bool().Draw(t, "well")
			for len(health[k]) < seconds+1 {
				for range rapid.IntRange(1, 15).Draw(t, "for") {
					health[k] = append(health[k], well)
				}
				well = !well
			}
		}
		healthy := func(kind probeKind, at int) bool { return health[kind][at] }
		x := admit(t, container(spec))
		x.answer = func(p Probe, at int) bool {
			return healthy(probeKind(slices.Index([]string{"Startup", "Liveness", "Readiness"}, p.Kind)), at)
		}
		want := kubelet(probes, healthy, seconds)
		for at := range want.ready {
			x.run(900 * time.Millisecond)
			if says := x.says(); says == nil || says.Ready != want.ready[at] || len(x.kills) > 0 {
				t.Fatalf("in second %d of %+v it is %+v, want ready %v; ended %v; asked %v", at, probes, says, want.ready[at], x.kills, x.asked)
			}
			x.run(100 * time.Millisecond)
		}
		if want.dies >= 0 {
			x.run(900 * time.Millisecond)
		}
		if died := len(x.kills) > 0; died != (want.dies >= 0) {
			t.Fatalf("%+v: ended %v, want in second %d; asked %v", probes, x.kills, want.dies, x.asked)
		}
		for _, bad := range x.AuditPlan() {
			t.Error(bad)
		}
	})
}

// TestProbesAreAsked: when, for a few specs whose course is known.
func TestProbesAreAsked(t *testing.T) {
	for _, c := range []struct {
		name   string
		probes map[string]any
		well   func(p Probe, at int) bool
		want   string
	}{
		{"the defaults", map[string]any{"readinessProbe": probe(0, 0, 0, 0)}, always, "Readiness@0 Readiness@10 Readiness@20"},
		{"an initial delay", map[string]any{"livenessProbe": probe(7, 9, 1, 3)}, always, "Liveness@7 Liveness@16 Liveness@25"},
		{"startup holds the others back", map[string]any{"startupProbe": probe(1, 2, 1, 30), "livenessProbe": probe(0, 10, 1, 3), "readinessProbe": probe(12, 10, 1, 3)},
			func(_ Probe, at int) bool { return at >= 5 }, "Startup@1 Startup@3 Startup@5 Liveness@5 Readiness@12 Liveness@15 Readiness@22 Liveness@25"},
	} {
		x := admit(t, container(c.probes))
		x.answer = c.well
		x.run(29 * time.Second)
		if got := strings.Join(x.asked, " "); got != c.want {
			t.Errorf("%s: asked %s, want %s", c.name, got, c.want)
		}
		x.audit(t)
	}
}

// TestLivenessRestarts: the container is ended with the grace period that it has for
// that, counts a restart even if it took its leave well, and backs off when it dies
// again.
func TestLivenessRestarts(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		kind         string
		grace        int64 // of the probe; 0: the pod's
		code         int
		attempts     []int // that were ended
		wants        string
	}{
		{"liveness", "Always", "livenessProbe", 0, 143, []int{0, 1}, "Container app failed liveness probe, will be restarted"},
		{"its own grace", "Always", "livenessProbe", 7, 143, []int{0, 1}, "Container app failed liveness probe, will be restarted"},
		{"startup", "Always", "startupProbe", 0, 143, []int{0, 1}, "Container app failed startup probe, will be restarted"},
		{"code 0 is no success", "OnFailure", "livenessProbe", 0, 0, []int{0, 1}, "Container app failed liveness probe, will be restarted"},
		{"never", "Never", "livenessProbe", 0, 143, []int{0}, "Container app failed liveness probe"},
	} {
		p := probe(0, 1, 1, 3)
		want := 40 * time.Second
		if c.grace != 0 {
			p["terminationGracePeriodSeconds"], want = c.grace, time.Duration(c.grace)*time.Second
		}
		spec := container(map[string]any{c.kind: p})
		spec["restartPolicy"], spec["terminationGracePeriodSeconds"] = c.policy, int64(40)
		x := admit(t, spec)
		x.answer, x.code = never, c.code
		x.run(7 * time.Second) // less than the back-off after the second one
		var attempts []int
		for _, o := range x.kills {
			if attempts = append(attempts, o.Attempt); o.Grace != want || o.Container != "app" {
				t.Errorf("%s: ended by %+v, want a grace of %v", c.name, o, want)
			}
		}
		if !slices.Equal(attempts, c.attempts) || !slices.Contains(x.facts, "Killing: "+c.wants) {
			t.Errorf("%s: ended attempts %v, want %v; said %q", c.name, attempts, c.attempts, x.facts)
		}
		if !slices.ContainsFunc(x.facts, func(f string) bool { return strings.HasSuffix(f, " probe failed: no answer") }) {
			t.Errorf("%s: nobody says that it is unhealthy: %q", c.name, x.facts)
		}
		got := x.says().Containers[0]
		if back := len(c.attempts) > 1; back && (got.Restarts != 1 || got.Reason != "CrashLoopBackOff") || !back && (got.Restarts != 0 || got.State != "terminated") {
			t.Errorf("%s: it is %+v", c.name, got)
		}
		x.audit(t)
	}
}

// TestReadinessEndsNothing: who is not ready goes on, and becomes ready again.
func TestReadinessEndsNothing(t *testing.T) {
	x := admit(t, container(map[string]any{"readinessProbe": probe(0, 1, 2, 2)}))
	x.answer = func(_ Probe, at int) bool { return at < 5 || at >= 20 }
	x.run(4 * time.Second)
	for i, want := range []bool{true, false, true} {
		if x.run(time.Duration(min(i, 1)) * 10 * time.Second); x.says().Ready != want {
			t.Errorf("after %d s it is ready: %v", x.seconds(), !want)
		}
	}
	if len(x.kills) > 0 || x.says().Containers[0].Restarts != 0 {
		t.Errorf("ended %v; it is %+v", x.kills, x.says())
	}
}

// TestOvertakenAttempt: a container that is lost sight of while it is asked is probed on
// when it is seen again, and what it said before counts for nothing.
func TestOvertakenAttempt(t *testing.T) {
	x := admit(t, container(map[string]any{"livenessProbe": probe(0, 1, 1, 1)}))
	x.slow, x.answer = 5*time.Second, never
	x.run(time.Second)
	seen := x.pods
	x.lazy = true
	x.do(Observed{})
	x.run(x.slow)
	x.answer, x.slow = always, time.Millisecond
	x.do(Observed{Pods: seen})
	before := len(x.asked)
	if x.run(3 * time.Second); len(x.asked) < before+2 || len(x.kills) > 0 {
		t.Errorf("asked %v; ended %v", x.asked[before:], x.kills)
	}
	x.audit(t)
}

// TestProbesAtOnce: of many that are due not more than probesMax are asked at once,
// and each has its turn.
func TestProbesAtOnce(t *testing.T) {
	var all []any
	for i := range probesMax + 20 {
		all = append(all, map[string]any{"name": fmt.Sprintf("c%03d", i), "image": "app", "readinessProbe": probe(0, 3600, 1, 3)})
	}
	x := admit(t, map[string]any{"containers": all})
	x.slow = time.Second
	if x.run(x.slow / 2); len(x.replies) != probesMax {
		t.Errorf("%d attempts at once", len(x.replies))
	}
	if x.run(2 * x.slow); len(x.asked) != len(all) || !x.says().Ready {
		t.Errorf("asked %d of %d containers, and the pod is ready: %v", len(x.asked), len(all), x.says().Ready)
	}
	x.audit(t)
}

// reboot ends the daemon and begins another one, whose containers run on.
func (x *clinic) reboot() {
	x.replies, x.asked, x.began = nil, nil, x.now
	x.boot(2, 1, func(prefix string, f func(string, []byte) error) error {
		for _, key := range sortedKeys(x.disk) {
			if strings.HasPrefix(key, prefix) {
				if err := f(key, x.disk[key]); err != nil {
					return err
				}
			}
		}
		return nil
	})
	x.do(HostChanged{Host: Host{Runtime: runtime.Info{Name: "r"}, Allocatable: state.Resources{CPU: 1 << 20, Memory: 1 << 40, Pods: 4}}})
}

// TestAdopted: the daemon's restart does not make a ready pod look unready, however
// patient its probe is; and nothing else waits for that.
func TestAdopted(t *testing.T) {
	patient := container(map[string]any{"readinessProbe": probe(30, 10, 3, 3)})
	for _, c := range []struct {
		name string
		spec map[string]any
		well func(Probe, int) bool
		slow time.Duration
		held time.Duration // how long nothing is said, about
		want bool          // whether it is ready when something is
	}{
		{"ready", patient, always, time.Second, time.Second, true},
		{"not ready", patient, never, time.Second, time.Second, false},
		{"hangs", patient, always, time.Minute, adoptedMax, false},
		{"not started", container(map[string]any{"startupProbe": probe(0, 10, 1, 9), "readinessProbe": probe(0, 10, 1, 3)}), never, time.Second, time.Second, false},
		{"liveness only", container(map[string]any{"livenessProbe": probe(0, 10, 1, 3)}), always, time.Second, 0, true},
		{"no probes", container(nil), always, time.Second, 0, true},
	} {
		x := admit(t, c.spec)
		x.run(2 * time.Minute)
		if !x.says().Ready {
			t.Fatalf("%s: it has not become ready: asked %v", c.name, x.asked)
		}
		x.answer, x.slow = c.well, c.slow
		x.reboot()
		if waits := x.status.own.Seq == 0; waits != (c.name != "no probes") {
			t.Errorf("%s: before the runtime was seen something is said: %v", c.name, !waits)
		}
		x.do(Observed{Pods: x.pods})
		if c.held > 0 {
			if x.run(c.held - time.Millisecond); x.status.own.Seq != 0 {
				t.Errorf("%s: after %v it is said that it is %+v", c.name, c.held, x.says())
			}
		}
		if x.run(100 * time.Millisecond); x.status.own.Seq == 0 || x.says() == nil || x.says().Ready != c.want {
			t.Errorf("%s: then it is said that it is %+v", c.name, x.says())
		}
		if len(x.kills) > 0 {
			t.Errorf("%s: ended %v", c.name, x.kills)
		}
		x.audit(t)
	}
}

// TestAdoptedKeepsItsDelay: nobody knows how long a container that was found running
// has run, so what could end it waits for as long as at its start.
func TestAdoptedKeepsItsDelay(t *testing.T) {
	for kind, want := range map[string]string{"livenessProbe": "Liveness@40 Liveness@45", "startupProbe": "Startup@0 Startup@40 Startup@45"} {
		x := admit(t, container(map[string]any{kind: probe(40, 5, 1, 2)}))
		x.run(time.Second)
		x.reboot()
		x.answer = never
		x.do(Observed{Pods: x.pods})
		if x.run(44 * time.Second); len(x.kills) > 0 {
			t.Errorf("%s: ended after %v", kind, x.asked)
		}
		began := x.now
		if x.run(2 * time.Second); len(x.kills) != 1 || !strings.HasPrefix(strings.Join(x.asked, " "), want) {
			t.Errorf("%s: ended %v after %v and %v", kind, x.kills, x.asked, began)
		}
	}
}
