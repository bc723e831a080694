package core

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"holon/p2p/swim"
)

// Each return costs more, and quiet is a remedy.
func TestWhatAReturnCosts(t *testing.T) {
	const long = flapQuiet - time.Second
	var f flaps
	now := time.Hour
	for i, step := range []struct{ after, penalty time.Duration }{
		{0, 0}, {time.Second, time.Minute}, {long, 2 * time.Minute}, {long, 4 * time.Minute}, {0, 8 * time.Minute},
		{time.Second, flapPenaltyMax}, {long, flapPenaltyMax}, {time.Second, flapPenaltyMax},
		{flapQuiet, 4 * time.Minute}, {2 * flapQuiet, time.Minute}, {flapQuiet, time.Minute}, {2 * flapQuiet, 0}, {flapQuiet, 0},
	} {
		now += step.after
		if penalty := f.back(now); penalty != step.penalty || f.until != now+penalty {
			t.Errorf("return %d costs %v until %v, want %v", i, penalty, f.until, step.penalty)
		}
	}
}

// Whoever comes back at most once in 15 minutes is steady, whatever was before is
// forgotten after an hour, and no return ends a penalty early.
func TestPenaltiesAreBoundedAndEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f flaps
		now := time.Hour
		for _, wait := range rapid.SliceOf(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 14 * time.Minute, flapQuiet, 4 * flapQuiet})).Draw(t, "returns") {
			now += wait
			before := f.until
			switch penalty := f.back(now); {
			case penalty > flapPenaltyMax || f.count > flapsMax:
				t.Fatalf("%d returns cost %v", f.count, penalty)
			case f.until < before:
				t.Fatalf("one more return ends the penalty at %v instead of %v", f.until, before)
			case wait >= 4*flapQuiet && penalty > 0:
				t.Fatalf("after %v of quiet a return costs %v", wait, penalty)
			}
		}
	})
}

// becomes has a member change its state, and everybody plan by it.
func (c *Core) becomes(who string, to swim.State) {
	b := c.members.byName[who]
	c.memberChanged(swim.Change{ID: swim.ID(b.peer), From: b.state, To: to, Epoch: b.epoch})
	c.Step(c.now+time.Second, Woke{})
}

func (c *Core) comesAndGoes(who string, away swim.State) {
	c.becomes(who, away)
	c.becomes(who, swim.Alive)
}

// flappers is a crowd whose members were all heard of.
func flappers(t *testing.T, n int) *Core {
	c := crowdOf(t, n)
	for _, b := range c.members.byPeer {
		b.seen = true
	}
	return c
}

func (c *Core) shownUnsteady(who string) bool { return c.sched.booking.view.Node(who).Unsteady }

func TestWhoComesAndGoesIsTheLastChoiceForAWhile(t *testing.T) {
	c := flappers(t, 5)
	c.comesAndGoes("n2", swim.Unreachable)
	if c.shownUnsteady("n2") {
		t.Error("the first return is not free")
	}
	c.comesAndGoes("n2", swim.Unreachable)
	c.comesAndGoes("n3", swim.Unreachable)
	if !c.shownUnsteady("n2") || c.shownUnsteady("n3") {
		t.Errorf("after two returns n2 is the last choice: %v, and n3 after one: %v", c.shownUnsteady("n2"), c.shownUnsteady("n3"))
	}
	c.comesAndGoes("n3", swim.Unreachable)
	for _, who := range []string{"n2", "n3"} {
		end := c.members.byName[who].flaps.until
		if ready := c.Step(end-1, Woke{}); !c.shownUnsteady(who) || ready.Wake == 0 || ready.Wake > end+time.Millisecond {
			t.Errorf("%s is the last choice just before the end: %v; the next Step is at %v, the end at %v", who, c.shownUnsteady(who), ready.Wake, end)
		}
		if c.Step(end, Woke{}); c.shownUnsteady(who) {
			t.Errorf("%s is the last choice for longer than that", who)
		}
		for _, bad := range c.AuditPlan() {
			t.Error(bad)
		}
	}
	if c.members.steadyAt != 0 {
		t.Error("an end is waited for and there is none")
	}
}

func TestWhatIsNoFlap(t *testing.T) {
	for name, play := range map[string]func(c *Core){
		"an announced restart, during which a member is suspect": func(c *Core) { c.comesAndGoes("n2", swim.Suspect) },
		"one that said that it stops":                            func(c *Core) { c.comesAndGoes("n2", swim.Left) },
		"one that was never heard before": func(c *Core) {
			c.becomes("n2", swim.Unreachable)
			c.members.byName["n2"].seen = false
			c.becomes("n2", swim.Alive)
		},
		"this node was cut off itself": func(c *Core) {
			for _, to := range []swim.State{swim.Unreachable, swim.Alive} {
				for _, who := range []string{"n2", "n3", "n4", "n5"} {
					c.becomes(who, to)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := flappers(t, 5)
			for range 3 {
				play(c)
			}
			for who, b := range c.members.byName {
				if b.flaps.count > 0 {
					t.Errorf("%d returns of %s count", b.flaps.count, who)
				}
			}
		})
	}
}
