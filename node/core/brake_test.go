package core

import (
	"fmt"
	"testing"
	"time"

	"holon/crdt/state"
	"holon/p2p"
	"holon/p2p/swim"
)

// crowdOf is a core among n members that count, all of them there.
func crowdOf(t *testing.T, n int) *Core {
	c := newSpreader(t)
	for i := range n {
		peer, name := p2p.PeerID(fmt.Sprintf("p%d", 1+i)), fmt.Sprintf("n%d", 1+i)
		m := &member{Member: state.Member{Name: name}, peer: peer, live: i > 0, state: swim.Alive}
		c.members.byPeer[peer], c.members.byName[name] = m, m
	}
	c.counted.due = true
	c.Step(time.Second, Woke{})
	return c
}

func (c *Core) vanish(i int) {
	b := c.members.byPeer[p2p.PeerID(fmt.Sprintf("p%d", i))]
	b.live, b.state = false, swim.Unreachable
	c.reachChanged(b)
}

func TestManyWhoVanishAtOnceHoldHomes(t *testing.T) {
	window := 2*swim.LAN().SuspicionMax + 1
	for _, test := range []struct {
		name    string
		members int
		after   []time.Duration // between one who vanishes and the next
		held    bool
	}{
		{"three of seven", 7, []time.Duration{0, 0, 0}, true},
		{"three of seven within the window", 7, []time.Duration{0, window / 2, window / 2}, true},
		{"three of seven, one after the other", 7, []time.Duration{0, window, window}, false},
		{"two of five", 5, []time.Duration{0, 0}, false},
		{"three of ten, which is not more than a third", 10, []time.Duration{0, 0, 0}, false},
		{"four of ten", 10, []time.Duration{0, 0, 0, 0}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := crowdOf(t, test.members)
			for i, d := range test.after {
				c.now += d
				c.vanish(2 + i)
			}
			if !c.majority() || c.homesHeld() != test.held {
				t.Errorf("majority %v, held %v", c.majority(), c.homesHeld())
			}
		})
	}
}

// Whoever comes or goes meanwhile makes it longer.
func TestHomesMoveOnceTheViewIsQuiet(t *testing.T) {
	c := crowdOf(t, 9)
	for i := range 3 {
		c.vanish(2 + i)
	}
	c.now += brakeCalm - 1
	if !c.homesHeld() {
		t.Error("homes move before the view was quiet for long enough")
	}
	c.vanish(5)
	c.now += brakeCalm - 1
	if !c.homesHeld() {
		t.Error("homes move although somebody has just vanished")
	}
	if c.now++; c.homesHeld() {
		t.Error("homes are held for longer than that")
	}
}
