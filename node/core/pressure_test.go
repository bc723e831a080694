package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/state"
	"holon/runtime"
)

// TestPressureHasHysteresis, by a second reading of the rule: what is felt follows from
// the last low sample and the first one after it.
func TestPressureHasHysteresis(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s strain
		var now, after Instant // after: the first sample that was not low
		felt := false
		for range rapid.IntRange(1, 40).Draw(t, "samples") {
			now += time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second
			low := rapid.IntRange(0, 3).Draw(t, "low") == 0
			s.sample(low, now)
			switch {
			case low:
				felt, after = true, 0
			case after == 0:
				after = now
			}
			if want := felt && (low || now-after < pressureCalm); s.felt != want || s.low != low {
				t.Fatalf("at %v, low %v, not so since %v: felt is %v", now, low, after, s.felt)
			}
		}
	})
}

func TestWhatALowDiskIs(t *testing.T) {
	for _, c := range []struct {
		free, total int64
		low         bool
	}{
		{0, 0, false}, {1, 1 << 30, true}, {53687091, 1 << 30, false}, {53687090, 1 << 30, true}, // a twentieth of a small one
		{1 << 30, 1 << 40, false}, {1<<30 - 1, 1 << 40, true}, // 1 GiB of a large one
	} {
		if got := (Gauge{c.free, c.total}).lowDisk(); got != c.low {
			t.Errorf("%d of %d: low is %v", c.free, c.total, got)
		}
	}
}

func drawBurdens(t *rapid.T) (all []*burden) {
	for i := range rapid.IntRange(0, 8).Draw(t, "runs") {
		all = append(all, &burden{
			run: &run{id: state.RunID(fmt.Sprint(i))}, used: int64(rapid.IntRange(0, 4).Draw(t, "used")), request: int64(rapid.IntRange(0, 4).Draw(t, "request")),
			priority: int32(rapid.IntRange(0, 2).Draw(t, "priority")), daemon: rapid.IntRange(0, 3).Draw(t, "daemon") == 0, last: rapid.Bool().Draw(t, "last"),
		})
	}
	return all
}

// TestWhoIsEvicted: nobody who keeps to what he asks for goes if he is the last one or
// nobody is more urgent; and whoever comes first has it to answer for.
func TestWhoIsEvicted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawBurdens(t)
		goes := evictable(slices.Clone(all))
		for _, b := range all {
			stays := b.used <= b.request && (b.last || !slices.ContainsFunc(all, func(o *burden) bool { return o.priority > b.priority }))
			if (stays || b.used == 0) == slices.Contains(goes, b) {
				t.Fatalf("%+v goes: %v", b, slices.Contains(goes, b))
			}
		}
		for i := 1; i < len(goes); i++ {
			switch a, b := goes[i-1], goes[i]; {
			case a.daemon != b.daemon:
				if a.daemon {
					t.Fatalf("the daemon %+v before %+v", a, b)
				}
			case (a.used > a.request) != (b.used > b.request):
				if b.used > b.request {
					t.Fatalf("%+v, which keeps to what it asks for, before %+v", a, b)
				}
			case a.priority != b.priority:
				if a.priority > b.priority {
					t.Fatalf("%+v before the less urgent %+v", a, b)
				}
			case a.used-a.request < b.used-b.request:
				t.Fatalf("%+v before %+v, which uses more", a, b)
			}
		}
	})
}

// squeezed is a crowd of one node on which a workload of a kind runs, that uses more
// memory than it asks for.
func squeezed(t *testing.T, resource string, spec object) *crowd {
	return squeezedOf(t, 1, resource, spec)
}

// squeezedOf is squeezed among other nodes, which have no room.
func squeezedOf(t *testing.T, nodes int, resource string, spec object) *crowd {
	x := newCrowd(t, nodes, state.Resources{CPU: 4000, Memory: 1 << 30, Pods: 8})
	for _, other := range x.nodes[1:] {
		x.say(other, state.Resources{}, nil)
	}
	pod := object{"containers": []any{object{"name": "app", "image": "app", "resources": object{"requests": object{"memory": "1Mi"}}}}}
	if resource == state.Jobs {
		pod["restartPolicy"] = "Never"
	}
	if resource != state.Pods {
		spec["template"], pod = object{"spec": pod}, spec
	}
	x.put(state.MakeKey(resource, "default", "w"), crdt.UID{1}, object{"spec": pod})
	x.hear()
	return x
}

// hear lets all be done that is due, and be told.
func (x *crowd) hear() {
	for range 10 { // or the other scheduler of two is waited for
		x.now += statusSoon
		x.rest()
	}
}

// sample tells what memory is available, and answers what is asked then.
func (x *crowd) sample(free int64) {
	x.now += 5 * time.Second
	host := x.host
	host.Spare.Memory = Gauge{free, 1 << 30}
	ready := x.Step(x.now, HostChanged{Host: host})
	orders := ready.Run
	if ready.Measure != nil {
		var used []runtime.PodUsage
		for _, id := range sortedKeys(x.runner.seen) {
			used = append(used, runtime.PodUsage{ID: runtime.RunID(id), Containers: []runtime.ContainerUsage{{Name: "app", Memory: 2 << 20}}})
		}
		orders = append(orders, x.Step(x.now, Measured{Pods: used}).Run...)
	}
	for len(orders) > 0 {
		o := orders[0]
		orders = append(orders[1:], x.Step(x.now, Observed{Pods: x.after(o)}).Run...)
		orders = append(orders, x.Step(x.now, Ordered{Order: o}).Run...)
	}
	x.hear()
}

// after is pods, also where a container was killed that stays.
func (x *crowd) after(o Order) (pods []runtime.Status) {
	if o.Kind != Kill {
		return x.pods(o)
	}
	for id, s := range x.runner.seen {
		if id == state.RunID(o.Run) {
			s.Containers = []runtime.ContainerStatus{{Name: o.Container, State: runtime.Exited, ExitCode: 143}}
		}
		pods = append(pods, s)
	}
	return pods
}

// shownPods is what is shown of the pods of the workload: phase, reason, message.
func (x *crowd) shownPods() (lines []string) {
	for _, w := range x.index.workloads {
		for _, f := range x.podFaces(w, x.runsOf(w.UID)) {
			v, err := f.Value()
			if err != nil {
				x.t.Fatal(err)
			}
			status := v["status"].(map[string]any)
			lines = append(lines, fmt.Sprint(status["phase"], " ", status["reason"], " ", status["message"]))
		}
	}
	return lines
}

const evictedSays = "Evicted The node was low on resource: memory. Threshold quantity: 100Mi, available: 1Mi. Container app was using 2Mi, and its pod asks for 1Mi."

// TestEvictionOfEachKind: what becomes of a pod, and of its successor while the pressure
// lasts and after it.
func TestEvictionOfEachKind(t *testing.T) {
	for resource, c := range map[string]struct {
		spec          object
		during, after []string
	}{
		state.Pods:         {nil, []string{"Failed " + evictedSays}, []string{"Failed " + evictedSays}},
		state.Deployments:  {object{"replicas": int64(1)}, []string{"Pending " + evictedSays}, []string{"Running <nil> <nil>"}},
		state.StatefulSets: {object{"replicas": int64(1)}, []string{"Pending " + evictedSays}, []string{"Running <nil> <nil>"}},
		state.DaemonSets:   {object{}, []string{"Pending " + evictedSays}, []string{"Running <nil> <nil>"}},
		state.Jobs: {
			object{"backoffLimit": int64(3)}, []string{"Failed " + evictedSays, "Pending " + evictedSays}, []string{"Failed " + evictedSays, "Running <nil> <nil>"},
		},
	} {
		t.Run(resource, func(t *testing.T) {
			x := squeezed(t, resource, c.spec)
			if before := x.shownPods(); !slices.Equal(before, []string{"Running <nil> <nil>"}) {
				t.Fatalf("before: %q", before)
			}
			x.sample(1 << 20)
			for range 4 { // a Job waits before its next try
				x.sample(1 << 20)
			}
			if got := x.shownPods(); !slices.Equal(slices.Sorted(slices.Values(got)), c.during) {
				t.Errorf("while memory is short: %q, want %q", got, c.during)
			}
			for range 9 {
				x.sample(1 << 29)
			}
			if got := x.shownPods(); !slices.Equal(slices.Sorted(slices.Values(got)), c.after) {
				t.Errorf("after it: %q, want %q", got, c.after)
			}
			for _, bad := range x.AuditPlan() {
				t.Error(bad)
			}
			if resource != state.Pods {
				return
			}
			slot := x.index.slots[crdt.UID{1}][0]
			if err := x.evict(Evict{Slot: slot.ID, Node: x.cfg.Node}); err != nil || len(x.index.workloads) != 0 {
				t.Errorf("a drain of what was evicted leaves %d, error %v", len(x.index.workloads), err)
			}
		})
	}
}

// TestTheLastOneStays as long as it keeps to what it asks for; somebody more urgent is here.
func TestTheLastOneStays(t *testing.T) {
	x := newCrowd(t, 1, state.Resources{CPU: 4000, Memory: 1 << 30, Pods: 8})
	x.put(state.MakeKey(state.PriorityClasses, "", "high"), crdt.UID{9}, object{"value": int64(100)})
	put := func(uid byte, replicas int64, class string) {
		pod := object{"priorityClassName": class, "containers": []any{object{"name": "app", "image": "app", "resources": object{"requests": object{"memory": "2Mi"}}}}}
		x.put(state.MakeKey(state.Deployments, "default", fmt.Sprint("w", uid)), crdt.UID{uid}, object{"spec": object{"replicas": replicas, "template": object{"spec": pod}}})
		x.hear()
	}
	put(1, 1, "high")
	put(2, 2, "")
	evicted := func() (count int) {
		for _, line := range x.shownPods() {
			if strings.Contains(line, state.Evicted) {
				count++
			}
		}
		return count
	}
	for i := range 8 {
		x.sample(1 << 20)
		if want := 1; evicted() != want {
			t.Fatalf("after sample %d %d are evicted, want %d: one of two", i, evicted(), want)
		}
	}
}

// TestPressureIsTold: as conditions, taints and Events, and new pods stay away.
func TestPressureIsTold(t *testing.T) {
	x := newCrowd(t, 1, state.Resources{CPU: 4000, Memory: 1 << 30, Pods: 8})
	var facts []string
	tell := func(s Spare) {
		x.now += 5 * time.Second
		host := x.host
		host.Spare = s
		for _, f := range x.Step(x.now, HostChanged{Host: host}).Facts {
			facts = append(facts, f.Reason)
		}
		x.hear()
	}
	says := func() string {
		text := ""
		for _, c := range x.status.own.Conditions {
			text += fmt.Sprintf("%s=%v ", c.Type, c.True)
		}
		for _, taint := range x.sched.booking.view.Node(x.cfg.Node).Taints {
			text += taint.Key + " "
		}
		return strings.TrimSpace(text)
	}
	plenty, full := Gauge{1 << 30, 1 << 31}, Gauge{1 << 20, 1 << 40}
	for _, step := range []struct {
		spare Spare
		want  string
	}{
		{Spare{}, "Ready=true"}, // of what is not known nothing is said
		{Spare{Memory: plenty}, "MemoryPressure=false Ready=true"},
		{Spare{Memory: full, Disks: []Gauge{plenty}}, "MemoryPressure=true DiskPressure=false Ready=true node.kubernetes.io/memory-pressure"},
		{Spare{Memory: full, Disks: []Gauge{plenty, full}}, "MemoryPressure=true DiskPressure=true Ready=true node.kubernetes.io/memory-pressure node.kubernetes.io/disk-pressure"},
	} {
		if tell(step.spare); says() != step.want {
			t.Errorf("%+v: the node says %q, want %q", step.spare, says(), step.want)
		}
	}
	x.create(0, object{})
	x.rest()
	for _, w := range x.index.workloads {
		if why := x.whyPlaced(w, 0); !strings.Contains(why, "untolerated taint {"+corev1.TaintNodeMemoryPressure) {
			t.Errorf("a new pod: %q", why)
		}
	}
	for range 8 {
		tell(Spare{Memory: plenty, Disks: []Gauge{plenty}})
	}
	if want := "MemoryPressure=false DiskPressure=false Ready=true"; says() != want {
		t.Errorf("in the end the node says %q", says())
	}
	if want := []string{"EvictionThresholdMet", "EvictionThresholdMet", "NodeHasSufficientMemory", "NodeHasNoDiskPressure"}; !slices.Equal(facts, want) {
		t.Errorf("it told %q, want %q", facts, want)
	}
}

// TestAnotherNodeTakesWhatWasEvicted, also the next try of a Job, whose last one is kept
// here for its log.
func TestAnotherNodeTakesWhatWasEvicted(t *testing.T) {
	for _, resource := range []string{state.Deployments, state.Jobs} {
		room := state.Resources{CPU: 4000, Memory: 1 << 30, Pods: 8}
		x := squeezedOf(t, 2, resource, object{})
		for range 4 {
			x.say("n0001", room, nil) // it has room now
			x.sample(1 << 20)
		}
		if s := x.index.slots[crdt.UID{1}][0]; x.assigned(&s) != "n0001" {
			t.Errorf("a slot of %s whose pod was evicted is on %q: %s", resource, x.assigned(&s), x.whyPlaced(x.index.workloads[crdt.UID{1}], 0))
		}
		if r := x.sched.refusals[refusal{state.SlotID{Workload: crdt.UID{1}}, "n0000"}]; r == nil || r.times != 1 {
			t.Errorf("the refusal of a slot of %s is remembered as %+v, want one", resource, r)
		}
	}
}

// TestAnAnswerServesOneEviction: one that comes late, or twice, ends nobody.
func TestAnAnswerServesOneEviction(t *testing.T) {
	x := squeezed(t, state.Deployments, object{"replicas": int64(3)})
	x.sample(1 << 20)
	var used []runtime.PodUsage
	for _, id := range sortedKeys(x.runner.seen) {
		used = append(used, runtime.PodUsage{ID: runtime.RunID(id), Containers: []runtime.ContainerUsage{{Name: "app", Memory: 2 << 20}}})
	}
	if len(used) != 2 {
		t.Fatalf("%d of 3 are left", len(used))
	}
	if orders := x.Step(x.now, Measured{Pods: used}).Run; len(orders) > 0 {
		t.Errorf("the same answer again ends %v", orders)
	}
	x.sample(1 << 29)
	if orders := x.Step(x.now, Measured{Pods: used}).Run; len(orders) > 0 {
		t.Errorf("a late answer ends %v, and there is memory again", orders)
	}
}
