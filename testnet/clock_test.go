package testnet

import (
	"testing"
	"time"
)

// tellsTime reports whether a node has the cluster time that a clock with a battery has.
func (n *Node) tellsTime() bool {
	t, ok := n.core.ClusterTime(n.w.now)
	return ok && t.Sub(n.w.sane()).Abs() < time.Second
}

// showsTime is tellsTime by what the shell knows.
func (n *Node) showsTime() bool {
	t, ok := n.core.View().ClusterTime(n.w.now)
	return ok && t.Sub(n.w.sane()).Abs() < time.Second
}

// TestClusterTime: a node that was never set and one in 2099 follow the others, and say
// by how much they are off; cut off, they have nothing but their own.
func TestClusterTime(t *testing.T) {
	s := newStage(t, 5)
	unset, sane, far := s.node(1), s.node(2), s.node(3)
	s.node(4).clock = clocksByTurns[1]
	s.node(4).tellHost()
	s.within(5*time.Second, "one time", s.everywhere((*Node).tellsTime))
	s.within(5*time.Second, "one time in the views", s.everywhere((*Node).showsTime))
	s.Run(time.Minute)
	for _, n := range s.nodes {
		if off := n.core.View().ClockOff; (off == 0) != (n == sane || n.clock == sane.clock) || off < 0 != (n == unset) {
			t.Errorf("%s says that its clock is off by %v", n.name, off)
		}
	}
	s.split([]int{3}, []int{1, 2, 4, 5})
	s.within(20*time.Second, "its own", func() bool { return !far.tellsTime() && !far.showsTime() && far.core.View().ClockOff == 0 })
	if !unset.tellsTime() {
		t.Error("the others lost the time of day with one node")
	}
	s.net.heal()
	s.within(20*time.Second, "one time again", s.everywhere((*Node).showsTime))
}

// TestClockIsToldAnewWhenItIsSet: a status is not sent again because time goes on, but
// soon after somebody has set the clock.
func TestClockIsToldAnewWhenItIsSet(t *testing.T) {
	s := newStage(t, 2)
	s.node(1).clock, s.node(2).clock = clocksByTurns[1], clocksByTurns[1]
	s.node(1).tellHost()
	s.node(2).tellHost()
	s.within(10*time.Second, "one time", s.everywhere((*Node).tellsTime))
	s.Run(35 * time.Second)
	seq := func() uint64 { return s.node(2).core.View().Members[0].Status.Seq }
	before := seq()
	s.node(1).clock.gains = 1 // a drift of 1 ms/s is none for whoever hears of it every half minute
	for range 20 {
		s.Run(time.Second)
		s.node(1).tellHost()
	}
	if now := seq(); now > before+1 {
		t.Errorf("%d statuses in 20 s, because time goes on", now-before)
	}
	s.node(1).clock.began -= 10_000
	before = seq()
	s.node(1).tellHost()
	s.within(time.Second, "word of it", func() bool { return seq() > before && !s.node(2).tellsTime() })
}
