package testnet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/core"
	"holon/testnet/check"
)

// accountsStage is a calm world that purges every second and counts a member
// that was silent for two as absent.
func accountsStage(t *testing.T) *stage {
	w := New(Config{Seed: 5, Nodes: 3, DelayMax: 2 * time.Millisecond, SyncMax: time.Millisecond, FloorEvery: time.Second})
	s := &stage{World: w, t: t}
	t.Cleanup(func() {
		for _, b := range w.Violations() {
			t.Error(b)
		}
	})
	w.Run(4 * time.Second)
	return s
}

func (s *stage) put40() {
	for i := range 40 {
		s.put(s.node(1), configMap(fmt.Sprint("c", i)), map[string]any{"data": map[string]any{"k": "v"}})
	}
	s.Run(3 * time.Second)
}

// absentSoon makes nodes count a silent member no longer after two seconds.
func (s *stage) absentSoon() {
	for _, n := range s.nodes {
		s.crash(n, false)
		n.absent = 2 * time.Second
	}
	for _, n := range s.nodes {
		n.start()
	}
	s.Run(3 * time.Second)
}

func (s *stage) sayEqual(when string) {
	for _, b := range check.Equal(s.replicas()) {
		s.t.Errorf("%s: %s", when, b)
	}
}

// What everybody knows to be deleted leaves nothing behind, on no disk.
func TestDeletedObjectsLeaveNothingBehind(t *testing.T) {
	s := accountsStage(t)
	s.put40()
	for i := range 40 {
		s.node(2).remove(configMap(fmt.Sprint("c", i)))
	}
	s.Run(10 * time.Second)
	for _, n := range s.nodes {
		for key := range n.disk.pairs {
			if strings.HasPrefix(key, "r/"+state.ConfigMaps) {
				t.Errorf("%s still has %s on its disk", n.name, key)
			}
		}
	}
}

// A node that was away while much was deleted and purged asks before it drops it,
// and drops it when a person agrees: aside, not for good.
func TestMuchIsDroppedOnlyWhenConfirmed(t *testing.T) {
	s := accountsStage(t)
	s.absentSoon()
	s.put40()
	s.crash(s.node(3), false)
	for i := range 40 {
		s.node(1).remove(configMap(fmt.Sprint("c", i)))
	}
	s.Run(10 * time.Second)
	late := s.node(3)
	late.start()
	s.Run(time.Second)
	held := late.core.View().Held
	if held == nil || held.Objects != 40 || late.seen[configMap("c0")].Live() == nil {
		t.Fatalf("it did not stop to ask: %+v, c0 is %v", held, late.seen[configMap("c0")])
	}
	s.Run(10 * time.Second) // the world's user confirms
	if late.core.View().Held != nil || late.seen[configMap("c0")] != nil {
		t.Errorf("after the confirmation it is held: %+v, c0 is %v", late.core.View().Held, late.seen[configMap("c0")])
	}
	if aside := late.core.View().Aside; len(aside) != 40 {
		t.Errorf("%d objects are aside", len(aside))
	}
	s.sayEqual("after the confirmation")
}

// A record that is missing on one disk, though its context claims it, is found by
// its fingerprint and comes back.
func TestALostRecordComesBack(t *testing.T) {
	s := accountsStage(t)
	s.put40()
	n := s.node(2)
	s.crash(n, false)
	delete(n.disk.pairs, "r/"+string(configMap("c7")))
	n.start()
	s.within(20*time.Second, "the lost record", func() bool { return n.register(configMap("c7"), "/data/k") == `"v"` })
	if s.Counts.Core.Divergences == 0 || s.Counts.Core.Repaired == 0 {
		t.Errorf("it came back by other ways: %+v", s.Counts.Core)
	}
	s.sayEqual("after the repair")
}

// A database that is rolled back under its owner's feet is found out by the first
// peer, and nothing that peers know is lost.
func TestARolledBackDatabaseIsFoundOut(t *testing.T) {
	for _, marked := range []bool{false, true} {
		t.Run(fmt.Sprint("marked ", marked), func(t *testing.T) {
			s := accountsStage(t)
			n := s.node(2)
			s.copyDisk(n)
			s.put(n, configMap("known"), map[string]any{"data": map[string]any{"k": "v"}})
			s.Run(2 * time.Second)
			before := n.core.Replica()
			s.rollBack(n, marked)
			n.start()
			s.within(5*time.Second, "what the peers know", func() bool { return n.register(configMap("known"), "/data/k") == `"v"` })
			if n.core.Replica() == before {
				t.Error("it writes under its old replica ID")
			}
			s.put(n, configMap("after"), map[string]any{"data": map[string]any{"k": "w"}})
			s.within(5*time.Second, "its next write", func() bool { return s.node(3).register(configMap("after"), "/data/k") == `"w"` })
			s.crash(n, false)
			n.start() // the new ID is the database's
			s.Run(3 * time.Second)
			if n.core.Replica() == before || !marked && s.Counts.Core.Forks != 1 {
				t.Errorf("replica %s, before %s, %d forks", n.core.Replica(), before, s.Counts.Core.Forks)
			}
			s.sayEqual("at last")
		})
	}
}

// Where gossip brings everything no pull is ever completed. An equal store is as
// good a proof that nothing is missed: without it the counters that a restart
// left unused stayed a gap, and no floor rose over it.
func TestARestartInAQuietClusterHoldsUpNoPurge(t *testing.T) {
	s := accountsStage(t)
	n := s.node(2)
	s.crash(n, false)
	n.start()
	s.Run(2 * time.Second)
	s.put(n, configMap("c"), map[string]any{"data": map[string]any{"k": "v"}})
	s.Run(2 * time.Second)
	s.node(1).remove(configMap("c"))
	s.Run(10 * time.Second)
	for _, other := range s.nodes {
		if rec := other.seen[configMap("c")]; rec != nil {
			t.Errorf("%s has not purged it: %v", other.name, rec.Vector)
		}
	}
}

// A peer that floods is cut short, and goes on being served when it stops.
func TestAFloodingPeerIsCutShort(t *testing.T) {
	s := accountsStage(t)
	from, to := s.node(1), s.node(2)
	for range 10_000 {
		to.step(core.Received{From: from.peer, Frame: []byte{7}})
	}
	if s.Counts.Core.Limited == 0 {
		t.Error("ten thousand frames in no time, and all were taken")
	}
	s.Run(20 * time.Second)
	s.put(from, configMap("then"), map[string]any{"data": map[string]any{"k": "v"}})
	s.within(3*time.Second, "the next write", func() bool { return to.register(configMap("then"), "/data/k") == `"v"` })
}

// A large record is offered and fetched, sooner than anti-entropy would come.
func TestLargeRecordsAreFetched(t *testing.T) {
	s := accountsStage(t)
	s.put(s.node(1), configMap("large"), map[string]any{"data": map[string]any{"k": largeValue}})
	s.within(300*time.Millisecond, "the large record", func() bool {
		return s.node(2).seen[configMap("large")] != nil && s.node(3).seen[configMap("large")] != nil
	})
	if s.Counts.Core.Fetched != 2 {
		t.Errorf("%d were fetched", s.Counts.Core.Fetched)
	}
}

// A record that does not decode is put aside by name, once, and the rest of what
// came with it is taken.
func TestAPoisonedRecordIsPutAside(t *testing.T) {
	s := accountsStage(t)
	good, err := (*crdt.Record)(nil).Set(crdt.UID{1}, crdt.Write{
		Dot: crdt.Dot{Replica: crdt.ReplicaID{9}, Counter: 1}, Stamp: crdt.Stamp{Time: 1, Replica: crdt.ReplicaID{9}},
	}, map[string][]byte{"/data/k": []byte(`"v"`)})
	if err != nil {
		t.Fatal(err)
	}
	frame := core.PutFrame(map[state.Key][]byte{configMap("bad"): []byte("nonsense"), configMap("good"): good.Encode()})
	n := s.node(2)
	for range 3 {
		n.step(core.Received{From: s.node(1).peer, Frame: frame})
		s.Run(100 * time.Millisecond)
	}
	if n.register(configMap("good"), "/data/k") != `"v"` {
		t.Error("the record beside it was not taken")
	}
	if aside := n.core.View().Aside; len(aside) != 1 || aside[0].Key != configMap("bad") {
		t.Errorf("aside: %+v", aside)
	}
}

// A slot that was made by a node that did not know that its workload was deleted
// and purged is nobody's, and is buried. Without the rule it stays for ever.
func TestSlotsOfAPurgedWorkloadAreBuried(t *testing.T) {
	for _, bug := range []Bug{NoBug, NoOrphanRule} {
		s := accountsStage(t)
		s.cfg.Bug = bug
		web := deployment("web")
		s.deploy(s.node(1), "web", "web", map[string]any{"replicas": int64(1)})
		s.within(5*time.Second, "one pod", s.whole(web, 1))
		slot, made := state.Key(""), []byte(nil)
		for key, value := range s.node(3).disk.pairs {
			if strings.HasPrefix(key, "r/"+state.Slots) {
				slot, made = state.Key(key[2:]), value
			}
		}
		rec, err := crdt.Decode(made)
		if err != nil {
			t.Fatal(err)
		}
		// Another node made it as well, and told one that has forgotten since.
		elsewhere := crdt.ReplicaID{9}
		for _, n := range s.nodes {
			rec = rec.Rename(n.replica, elsewhere, 0, func(path string) string { return path })
		}
		made = rec.Encode()
		s.node(1).remove(web)
		s.Run(10 * time.Second)
		for _, n := range s.nodes {
			s.crash(n, false)
			for key := range n.disk.pairs { // nor does any remember what was purged
				if strings.HasPrefix(key, "d/") {
					delete(n.disk.pairs, key)
				}
			}
		}
		s.node(1).disk.pairs["r/"+string(slot)] = made
		s.node(1).disk.wrote(slot)
		for _, n := range s.nodes {
			n.start()
		}
		s.Run(15 * time.Second)
		if alive := s.node(2).seen[slot].Live() != nil; alive != (bug == NoOrphanRule) {
			t.Errorf("with %q the slot lives: %v", bug, alive)
		}
	}
}
