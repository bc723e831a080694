package testnet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/core"
)

// An object whose removed fields have used up its registers is refused one more
// field, and takes it after it was compacted. Its pods run on, its generation
// goes on, and deleting it leaves nothing.
func TestCompactAtTheBoundOfRegisters(t *testing.T) {
	s := newStage(t, 3)
	web := deployment("web")
	s.deploy(s.node(1), "web", "web", map[string]any{"replicas": int64(2)})
	s.within(5*time.Second, "two pods", s.whole(web, 2))
	before := s.running(web)
	old, generation := s.uid(web), s.generation(s.node(1), web)

	annotate := func(from, to int) error {
		o := s.object(s.node(1), web)
		next := state.Object{Value: map[string]any{"spec": o.Value["spec"]}}
		notes := map[string]any{}
		for i := from; i < to; i++ {
			notes[fmt.Sprint("k", i)] = "v"
		}
		next.Value["metadata"] = map[string]any{"annotations": notes}
		op := core.Mutate{Key: web, UID: o.UID}
		var err error
		if op.Old, err = state.FlattenAs(state.Deployments, o.Value); err != nil {
			t.Fatal(err)
		}
		if op.New, err = state.FlattenAs(state.Deployments, next.Value); err != nil {
			t.Fatal(err)
		}
		var answer error
		answered := false
		s.node(1).ask(op, func(ack core.Ack) { answer, answered = ack.Err, true })
		s.within(time.Second, "an answer", func() bool { return answered })
		return answer
	}
	var err error
	step := 0
	for ; err == nil && step < 10; step++ { // other annotations each time
		err = annotate(step*900, step*900+900)
	}
	if err == nil || !strings.Contains(err.Error(), "holon compact deployments.apps/web -n default --recreate") {
		t.Fatalf("after %d rounds: %v", step, err)
	}
	uid := state.DerivedUID("compacted")
	s.ask(s.node(2), core.Compact{Key: web, Recreate: true, NewUID: uid})
	s.within(5*time.Second, "the new object everywhere", func() bool {
		return s.node(1).seen[web].Live().UID == uid && s.node(3).seen[web].Live().UID == uid
	})
	if err := annotate(0, 900); err != nil {
		t.Errorf("after compaction: %v", err)
	}
	s.Run(5 * time.Second)
	if g := s.generation(s.node(3), web); g != generation {
		t.Errorf("generation %v was %v", g, generation)
	}
	if absent, _ := state.Absent(s.node(3).seen[web].Live()); absent > 900 {
		t.Errorf("%d absent registers are left", absent)
	}
	after := s.runningSlots(old)
	if len(after) != 2 {
		t.Fatalf("%d pods run: %s", len(after), s.table())
	}
	for i := range after {
		if after[i].ID != before[i].ID || after[i].node != before[i].node {
			t.Errorf("slot %d: %s on %s became %s on %s", i, before[i].ID, before[i].node.name, after[i].ID, after[i].node.name)
		}
	}
	shown := s.node(2).shown[web]["metadata"].(map[string]any)["uid"]
	if shown != uid.String() || old == uid {
		t.Errorf("the API shows UID %v, want %s", shown, uid)
	}
	s.node(3).remove(web)
	s.within(10*time.Second, "nothing", func() bool { return s.pods() == 0 })
	s.Run(10 * time.Second)
	s.finally()
}

// An object that lost its name to the one that is compacted stays a loser, and can
// still be taken: it is older than what takes the winner's place (seed 46).
func TestCompactLetsNoLoserWin(t *testing.T) {
	s := newStage(t, 2)
	value := func(v string) map[string]any { return map[string]any{"data": map[string]any{"k": v}} }
	c := configMap("c")
	s.split([]int{1}, []int{2})
	s.Run(5 * time.Second)
	s.put(s.node(1), c, value("older"))
	s.Run(time.Second)
	s.put(s.node(2), configMap("later"), value("x")) // Lamport time goes on
	s.put(s.node(2), c, value("younger"))
	s.net.heal()
	conflicts := func() []state.Conflict { return state.Conflicts(c, s.node(2).seen[c]) }
	s.within(10*time.Second, "a conflict", func() bool { return len(conflicts()) == 1 })
	before := s.node(2).register(c, "/data/k")
	s.ask(s.node(1), core.Compact{Key: c, Recreate: true, NewUID: state.DerivedUID("compacted")})
	s.Run(5 * time.Second)
	if after := s.node(2).register(c, "/data/k"); after != before || len(conflicts()) != 1 {
		t.Fatalf("%s became %s, and %d conflicts are left", before, after, len(conflicts()))
	}
	loser := string(conflicts()[0].Losers[0].Value)
	s.ask(s.node(2), core.Settle{Key: c, Path: conflicts()[0].Path, Loser: 0})
	s.Run(5 * time.Second)
	if after := s.node(1).register(c, "/data/k"); after == before || !strings.Contains(loser, after) {
		t.Errorf("%s was taken and is %s", loser, after)
	}
	s.sayEqual("at last")
}

// Without consent nothing is written, and the words say what it would cost.
func TestCompactAsksFirst(t *testing.T) {
	s := newStage(t, 1)
	s.put(s.node(1), configMap("c"), map[string]any{"data": map[string]any{"a": "1"}})
	before := s.node(1).seen[configMap("c")]
	var err error
	s.node(1).ask(core.Compact{Key: configMap("c"), NewUID: crdt.UID{1}}, func(ack core.Ack) { err = ack.Err })
	s.Run(time.Second)
	if err == nil || !strings.Contains(err.Error(), "--recreate") || !crdt.Equal(before, s.node(1).seen[configMap("c")]) {
		t.Errorf("%v", err)
	}
}
