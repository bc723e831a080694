package check

import (
	"strings"
	"testing"

	"holon/crdt"
	"holon/crdt/state"
	"holon/runtime"
)

var (
	one   = crdt.ReplicaID{1}
	two   = crdt.ReplicaID{2}
	thing = state.MakeKey(state.ConfigMaps, "default", "c")
)

func write(r crdt.ReplicaID, counter, time uint64) crdt.Write {
	return crdt.Write{Dot: crdt.Dot{Replica: r, Counter: counter}, Stamp: crdt.Stamp{Time: time, Replica: r}}
}

func set(t *testing.T, rec *crdt.Record, w crdt.Write, value string) *crdt.Record {
	t.Helper()
	next, err := rec.Set(crdt.UID{9}, w, map[string][]byte{"/data/k": []byte(value)})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func complains(t *testing.T, bad []string, want string) {
	t.Helper()
	if len(bad) == 0 || !strings.Contains(bad[0], want) {
		t.Errorf("want %q, got %q", want, bad)
	}
}

func holds(rec *crdt.Record) Durable { return func(state.Key) *crdt.Record { return rec } }

// An acknowledged value must be there or superseded, whatever the vector says.
func TestAcknowledgedValuesSurvive(t *testing.T) {
	first := set(t, nil, write(one, 1, 1), "a")
	later := set(t, first, write(two, 1, 2), "b")
	l := NewLedger()
	l.Acked("n1", thing, later)
	l.Survived("n1", holds(later))
	l.Everywhere("n2", holds(set(t, later, write(one, 2, 3), "c")))
	dead, err := later.Delete(crdt.UID{9}, write(one, 3, 4))
	if err != nil {
		t.Fatal(err)
	}
	l.Everywhere("n2", holds(dead))
	if len(l.Violations()) > 0 {
		t.Fatal(l.Violations())
	}
	l.Survived("n1", holds(first))
	complains(t, l.Violations(), "acknowledged was")

	l = NewLedger()
	l.Acked("n1", thing, later)
	lies := &crdt.Record{Objects: first.Objects, Vector: later.Vector}
	l.Everywhere("n2", holds(lies))
	complains(t, l.Violations(), `"a", acknowledged was "b"`)

	l = NewLedger()
	l.Acked("n1", thing, later)
	l.DiskLost("n1")
	l.Everywhere("n2", holds(nil))
	if len(l.Violations()) > 0 {
		t.Error("a lost disk is held against its node")
	}
}

// What comes back to life is held against nobody only if it was deleted, and by
// the node's own word: renamed after a rollback in secret.
func TestOnlyARolledBackDiskRevives(t *testing.T) {
	born := set(t, nil, write(one, 1, 1), "a")
	dead, err := born.Delete(crdt.UID{9}, write(two, 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	again := born.Rename(one, crdt.ReplicaID{3}, 0, func(path string) string { return path })
	for _, c := range []struct {
		deleted, rolledBack bool
		now                 *crdt.Record
		want                string
	}{
		{true, true, again, ""},
		{true, true, born, "was deleted and lives"},
		{true, false, again, "was deleted and lives"},
		{false, true, again, "was deleted and lives"},
	} {
		l := NewLedger()
		if c.deleted {
			l.Issued("n2", two, thing, born, dead)
		}
		if c.rolledBack {
			l.RolledBack(one, 0)
		}
		l.Acked("n2", thing, dead)
		l.Everywhere("n1", holds(c.now))
		if c.want != "" {
			complains(t, l.Violations(), c.want)
		} else if len(l.Violations()) > 0 {
			t.Error(l.Violations())
		}
	}
}

func TestDotsAreIssuedOnce(t *testing.T) {
	l := NewLedger()
	l.Issued("n1", one, thing, nil, set(t, nil, write(one, 1, 1), "a"))
	l.Issued("n1", one, thing, nil, set(t, nil, write(one, 1, 1), "a"))
	if len(l.Violations()) > 0 {
		t.Fatal(l.Violations())
	}
	l.Issued("n1", one, thing, nil, set(t, nil, write(one, 1, 1), "b"))
	complains(t, l.Violations(), "twice")
}

func TestNothingLeavesBeforeItIsDurable(t *testing.T) {
	l := NewLedger()
	l.Released("n1", "sent", thing, set(t, nil, write(one, 1, 1), "a"), func(state.Key) crdt.Vector { return nil })
	complains(t, l.Violations(), "before it was on its disk")
}

func TestEqual(t *testing.T) {
	a := Replica{Node: "n1", Records: map[state.Key]*crdt.Record{thing: set(t, nil, write(one, 1, 1), "a")}}
	b := Replica{Node: "n2", Records: map[state.Key]*crdt.Record{}}
	complains(t, Equal([]Replica{a, b}), "differs between n1 and n2")
	if bad := Equal([]Replica{a, a}); len(bad) > 0 {
		t.Error(bad)
	}
}

func TestAllocatable(t *testing.T) {
	pods := []runtime.Status{{ID: "r", Containers: []runtime.ContainerStatus{{State: runtime.Running}}}}
	request := func(runtime.RunID) state.Resources { return state.Resources{CPU: 200, Pods: 1} }
	complains(t, Allocatable("n1", state.Resources{CPU: 100, Pods: 10}, pods, request), "with room for")
	pods[0].Containers[0].State = runtime.Exited
	if bad := Allocatable("n1", state.Resources{CPU: 100, Pods: 10}, pods, request); len(bad) > 0 {
		t.Error("an exited pod takes room:", bad)
	}
}

func TestStrayRunsAreNotWanted(t *testing.T) {
	slot := state.SlotID{Workload: crdt.UID{5}}
	pods := []runtime.Status{{ID: "r", Slot: slot.String(), Containers: []runtime.ContainerStatus{{State: runtime.Running}}}}
	r := []Replica{{Node: "n1", Records: map[state.Key]*crdt.Record{}, Pods: pods}}
	complains(t, ExactlyOnce(r, true), "is not wanted and runs")
	complains(t, NothingLeaked(r, false), "still has pod r")
}

func TestFacesAgreeWithWhatRuns(t *testing.T) {
	pod := state.MakeKey(state.Pods, "default", "p")
	const made, adopted = "2026-01-01T01:00:04Z", "2026-01-01T01:00:08Z"
	runs := []runtime.Status{{ID: "r", Namespace: "default", Name: "p", CreatedAt: made}}
	shown := map[string]any{"spec": map[string]any{"nodeName": "n1"}, "status": map[string]any{"phase": "Running", "startTime": made}}
	right := Replica{Node: "n1", Pods: runs, Shown: map[state.Key]map[string]any{pod: shown}}
	if bad := Faces([]Replica{right}); len(bad) > 0 {
		t.Error(bad)
	}
	complains(t, Faces([]Replica{{Node: "n1", Pods: runs}}), "it runs on n1")
	young := []runtime.Status{{ID: "r", Namespace: "default", Name: "p", CreatedAt: adopted}}
	complains(t, Faces([]Replica{{Node: "n1", Pods: young, Shown: right.Shown}}), "it was made with "+adopted)
	complains(t, Faces([]Replica{{Node: "n1", Shown: right.Shown}}), "runs nowhere")
}

// A conflict that is still shown is not settled.
func TestSettled(t *testing.T) {
	first := set(t, nil, write(one, 1, 1), "a")
	both := crdt.Join(set(t, first, write(one, 2, 2), "b"), set(t, first, write(two, 1, 2), "c"))
	complains(t, Settled("n1", thing, "/data/k", both), "shows 1 losers")
	if bad := Settled("n1", thing, "/data/k", set(t, both, write(one, 3, 3), "d")); len(bad) > 0 {
		t.Error(bad)
	}
}

// What takes the place of an object says the same, by the same slots, and keeps
// nothing of removed fields.
func TestCompacted(t *testing.T) {
	web := state.MakeKey(state.Deployments, "default", "web")
	object := func(uid crdt.UID, w crdt.Write, values map[string][]byte) *crdt.Record {
		rec, err := (*crdt.Record)(nil).Set(uid, w, values)
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	values := func(more string, value []byte) map[string][]byte {
		return map[string][]byte{"/spec/replicas": []byte("2"), more: value}
	}
	before := object(crdt.UID{1}, write(one, 1, 1), values("/metadata/labels/a", nil))
	same := values(state.IdentityPath, state.EncodeRegister(crdt.UID{1}.String()))
	for want, after := range map[string]*crdt.Record{
		"":                       object(crdt.UID{2}, write(one, 2, 2), same),
		"another object":         object(crdt.UID{3}, write(one, 2, 2), same),
		"removed fields":         object(crdt.UID{2}, write(one, 2, 2), values("/metadata/labels/a", nil)),
		"and says":               object(crdt.UID{2}, write(one, 2, 2), values("/metadata/labels/a", []byte(`"x"`))),
		"go by another UID than": object(crdt.UID{2}, write(one, 2, 2), map[string][]byte{"/spec/replicas": []byte("2")}),
	} {
		bad := Compacted("n1", web, crdt.UID{2}, before, after)
		if want != "" {
			complains(t, bad, want)
		} else if len(bad) > 0 {
			t.Error(bad)
		}
	}
}
