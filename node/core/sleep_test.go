package core

import (
	"testing"
	"time"

	"holon/crdt/state"
	"holon/p2p"
	"holon/p2p/swim"
)

// After a sleep a member does not count until it is heard, and from that Step on it
// does, though its word changes nothing else (seed 2668 of the histories).
func TestAWordAfterASleepCountsAtOnce(t *testing.T) {
	c := newSpreader(t)
	for name, peer := range map[string]p2p.PeerID{"n1": "p1", "n2": "p2"} {
		m := &member{Member: state.Member{Name: name}, peer: peer, live: peer != "p1", state: swim.Alive}
		c.members.byPeer[peer], c.members.byName[name] = m, m
	}
	c.counted.due = true
	majority := func(at time.Duration, ev Event) bool {
		c.Step(at, ev)
		return c.sched.booking.view.Majority
	}
	if !majority(time.Second, Woke{}) {
		t.Fatal("two of two are no majority")
	}
	if majority(time.Second+2*sleptMin, Woke{}) {
		t.Fatal("a member counts that was last heard before this node slept")
	}
	if !majority(time.Second+2*sleptMin+2*sleptDrain, Received{From: "p2", Frame: []byte{kindStatusAsk}}) {
		t.Fatal("a member does not count although it was heard")
	}
}

// A node that takes itself for slow believes for long in members that are gone, so only
// a fresh word of theirs counts (seed 5877 of the histories).
func TestASlowNodeCountsFreshWordsOnly(t *testing.T) {
	c := newSpreader(t)
	for name, peer := range map[string]p2p.PeerID{"n1": "p1", "n2": "p2"} {
		m := &member{Member: state.Member{Name: name}, peer: peer, live: peer != "p1", state: swim.Alive}
		c.members.byPeer[peer], c.members.byName[name] = m, m
	}
	c.counted.due = true
	for c.now < 10*time.Second { // without sleep
		c.Step(c.now+time.Second, Woke{})
	}
	c.swimOutput(c.members.swim.Join(c.now, "p2"))
	c.Step(c.now+time.Second, Woke{}) // later than it wanted to be woken
	if !c.members.swim.Slow() {
		t.Fatal("a late Step made no slow node")
	}
	b := c.members.byPeer["p2"]
	b.live, b.state = true, swim.Alive
	for _, test := range []struct {
		age    time.Duration
		counts bool
	}{{0, true}, {freshProbes * c.cfg.Swim.ProbeInterval, true}, {freshProbes*c.cfg.Swim.ProbeInterval + 1, false}} {
		if b.word = c.now - test.age; c.majority() != test.counts {
			t.Errorf("of a slow node and a word of %v ago: majority %v", test.age, !test.counts)
		}
	}
}
