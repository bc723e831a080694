package core

import (
	"slices"
	"strings"
	"testing"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/runtime"
)

// hooks is the lifecycle of a container.
func hooks(names ...string) map[string]any {
	h := map[string]any{}
	for _, name := range names {
		h[name] = map[string]any{"exec": map[string]any{"command": []any{name}}}
	}
	return h
}

func named(name string, more map[string]any) map[string]any {
	c := map[string]any{"name": name, "image": "app"}
	for k, v := range more {
		c[k] = v
	}
	return c
}

// TestPostStartFails: the container is ended and begins again as its policy says, with
// the usual back-off; and what its probes say before does not count, for they wait.
func TestPostStartFails(t *testing.T) {
	for policy, want := range map[string]int{"Always": 2, "OnFailure": 2, "Never": 1} {
		spec := container(map[string]any{"livenessProbe": probe(0, 1, 1, 1), "lifecycle": hooks("postStart", "preStop")})
		spec["restartPolicy"] = policy
		x := admit(t, spec)
		x.answer = never
		x.hook = func(Hook) (time.Duration, bool) { return 3 * time.Second, false }
		x.run(2 * time.Second)
		if says := x.says(); says.Ready || !says.Containers[0].Starting || len(x.asked) > 0 {
			t.Errorf("%s: before its hook has ended it is %+v; asked %v", policy, says, x.asked)
		}
		x.run(6 * time.Second)
		if len(x.kills) != want || len(x.asked) > 0 || x.kills[0].Ends[0][0].PreStop == nil {
			t.Errorf("%s: ended %+v, asked %v", policy, x.kills, x.asked)
		}
		if !slices.Contains(x.facts, "FailedPostStartHook: postStart hook of container app failed: no answer") ||
			!slices.ContainsFunc(x.facts, func(f string) bool { return strings.HasPrefix(f, "Killing: Container app failed its postStart hook") }) {
			t.Errorf("%s: said %q", policy, x.facts)
		}
		x.audit(t)
	}
}

// TestPostStartIsTold: once for each attempt; a container that a daemon finds running was told.
func TestPostStartIsTold(t *testing.T) {
	told := 0
	x := admit(t, container(map[string]any{"lifecycle": hooks("postStart")}))
	x.hook = func(Hook) (time.Duration, bool) { told++; return time.Second, true }
	x.run(3 * time.Second)
	if told != 1 || !x.says().Ready {
		t.Fatalf("told %d times; it is %+v", told, x.says())
	}
	x.reboot()
	x.do(Observed{Pods: x.pods})
	if x.run(3 * time.Second); told != 1 || !x.says().Ready {
		t.Errorf("after the daemon's restart told %d times; it is %+v", told, x.says())
	}
	x.set(runtime.ContainerStatus{Name: "app", State: runtime.Exited, ExitCode: 1})
	x.do(Observed{Pods: x.pods})
	if x.run(3 * time.Second); told != 2 || !x.says().Ready {
		t.Errorf("after its own told %d times; it is %+v", told, x.says())
	}
	x.audit(t)
}

// TestOvertakenHook: what a hook says whose container has ended meanwhile is of no use.
func TestOvertakenHook(t *testing.T) {
	x := admit(t, container(map[string]any{"lifecycle": hooks("postStart")}))
	x.hook = func(h Hook) (time.Duration, bool) { return 4 * time.Second, h.Attempt > 0 }
	x.run(time.Second)
	x.set(runtime.ContainerStatus{Name: "app", State: runtime.Exited, ExitCode: 1})
	x.do(Observed{Pods: x.pods})
	if x.run(8 * time.Second); len(x.kills) > 0 || !x.says().Ready {
		t.Errorf("ended %+v; it is %+v", x.kills, x.says())
	}
}

// TestStopInTurn: a pod's main containers end together, then its sidecars one by one, the
// last one first; each that has a hook brings it along. A pod that needs none of that just ends.
func TestStopInTurn(t *testing.T) {
	always := func(more map[string]any) map[string]any {
		return map[string]any{"restartPolicy": "Always", "lifecycle": more}
	}
	for _, c := range []struct {
		name         string
		inits, mains []any
		want         string
	}{
		{"plain", nil, []any{named("a", nil), named("b", nil)}, ""},
		{"a hook", nil, []any{named("a", nil), named("b", map[string]any{"lifecycle": hooks("preStop")})}, "b+ a"},
		{"only after a start", nil, []any{named("a", map[string]any{"lifecycle": hooks("postStart")})}, ""},
		{"sidecars", []any{named("s", always(nil)), named("t", always(hooks("preStop")))}, []any{named("a", nil), named("b", nil)}, "b a | t+ | s"},
	} {
		x := admit(t, map[string]any{"initContainers": c.inits, "containers": c.mains})
		x.hook = func(Hook) (time.Duration, bool) { return 0, true }
		x.run(time.Second)
		x.remove(state.MakeKey(state.Pods, "default", "p"), crdt.UID{1})
		x.run(time.Second)
		var groups []string
		stop := x.orders[len(x.orders)-1]
		for _, group := range stop.Ends {
			var words []string
			for _, e := range group {
				if words = append(words, e.Container); e.PreStop != nil {
					words[len(words)-1] += "+"
				}
			}
			groups = append(groups, strings.Join(words, " "))
		}
		if got := strings.Join(groups, " | "); stop.Kind != Stop || got != c.want {
			t.Errorf("%s: %v in turn %q, want %q", c.name, stop.Kind, got, c.want)
		}
	}
}

// TestSidecarsEndLast: when the rest of a pod has ended, its sidecars are ended one by
// one, the last one first, and how they end says nothing of the pod.
func TestSidecarsEndLast(t *testing.T) {
	parts := []part{
		{name: "s", init: true, sidecar: true, hook: -1, startup: -1, runs: []int{-1}, codes: []int{0}},
		{name: "t", init: true, sidecar: true, hook: -1, startup: -1, runs: []int{-1}, codes: []int{0}},
		{name: "m", hook: -1, startup: -1, runs: []int{5}, codes: []int{0}},
	}
	x := play(t, parts, "Never")
	x.run(10 * time.Second)
	var killed []string
	for _, o := range x.kills {
		killed = append(killed, o.Container)
	}
	if says := x.says(); !slices.Equal(killed, []string{"t", "s"}) || says.Phase != state.Succeeded {
		t.Errorf("ended %v; it is %+v", killed, says)
	}
}

// TestWaitingNeedsNothing: what a container needs that waits is not looked for yet, and
// nobody connects to a plain init container.
func TestWaitingNeedsNothing(t *testing.T) {
	missing := []any{map[string]any{"configMapRef": map[string]any{"name": "later"}}}
	port := []any{map[string]any{"containerPort": int64(80), "hostPort": int64(80)}}
	x := admit(t, map[string]any{
		"initContainers": []any{named("i", map[string]any{"ports": port})},
		"containers":     []any{named("m", map[string]any{"envFrom": missing, "ports": port})},
	})
	x.lasts = func(string, int) (time.Duration, int, bool) { return 3 * time.Second, 0, true }
	if x.run(time.Second); len(x.starts) != 1 {
		t.Fatalf("begun: %v", x.starts)
	}
	first := x.orders[0].Spec.Containers
	if first[0].Waits || !first[1].Waits || len(first[0].Ports) != 0 || len(first[1].Ports) != 1 {
		t.Errorf("ordered %+v", first)
	}
	if x.run(3 * time.Second); len(x.starts) != 1 || x.says().Containers[0].Reason != "CreateContainerConfigError" || x.says().Initializing {
		t.Errorf("begun: %v; it is %+v", x.starts, x.says())
	}
	x.put(state.MakeKey(state.ConfigMaps, "default", "later"), crdt.UID{2}, map[string]any{"data": map[string]any{"K": "v"}})
	x.run(time.Minute)
	if last := x.orders[len(x.orders)-1].Spec.Containers[1]; len(last.Env) != 1 || last.Waits {
		t.Errorf("at last ordered %+v", last)
	}
}

// remove deletes an object.
func (x *clinic) remove(key state.Key, uid crdt.UID) {
	if _, err := x.mutate(Mutate{Key: key, UID: uid, Delete: true}); err != nil {
		x.t.Fatal(err)
	}
	x.do(Woke{})
}
