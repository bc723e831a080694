package swim

import (
	"fmt"
	"testing"
	"time"
)

func TestHealIsNoticedWithinOneAndAHalfSeconds(t *testing.T) {
	for _, c := range []struct{ n, k int }{{2, 1}, {3, 1}, {5, 2}, {10, 1}, {10, 5}, {30, 15}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			var took []time.Duration
			for seed := range uint64(20) {
				w := newWorld(t, c.n, seed, LAN())
				w.settle()
				w.split(c.k)
				w.run(20*time.Second + w.upTo(time.Second))
				if got, want := w.count(Unreachable, 0), 2*c.k*(c.n-c.k); got != want {
					t.Fatalf("seed %d: %d verdicts across the cut, want %d", seed, got, want)
				}
				w.cut = nil
				healed := w.now
				took = append(took, w.until(10*time.Second, w.agreed))
				w.run(5 * time.Second)
				if n := w.count(Unreachable, healed); n != 0 || !w.agreed() {
					t.Errorf("seed %d: the heal itself made %d unreachable", seed, n)
				}
			}
			t.Logf("%d | %d: %s", c.k, c.n-c.k, summary(took))
			if took[len(took)-1] > 1500*time.Millisecond {
				t.Error("too slow")
			}
		})
	}
}

func TestAccusedMemberRefutesByAHigherIncarnation(t *testing.T) {
	w := newWorld(t, 5, 1, LAN())
	w.settle()
	victim := w.nodes[2]
	before := victim.m.Incarnation()
	w.isolate(2)
	w.until(5*time.Second, func() bool { return w.nodes[0].view[victim.id] == Suspect })
	w.cut = nil
	w.run(3 * time.Second)
	if victim.m.Incarnation() <= before || victim.stored != victim.m.Incarnation() {
		t.Errorf("incarnation %d, stored %d, before %d", victim.m.Incarnation(), victim.stored, before)
	}
	if !w.agreed() || w.count(Unreachable, 0) != 0 {
		t.Errorf("not refuted in time:\n%s", w.views())
	}
	for _, n := range w.nodes {
		if row, ok := n.m.Member(victim.id); n != victim && (!ok || row.Incarnation != victim.m.Incarnation()) {
			t.Errorf("%s holds incarnation %d", n.id, row.Incarnation)
		}
	}
}

// isolate cuts off one node.
func (w *world) isolate(k int) { w.cut = func(a, b int) bool { return (a == k) != (b == k) } }

func TestRestartRefutesAnOldVerdictWithItsFirstPacket(t *testing.T) {
	w := newWorld(t, 5, 2, LAN())
	w.settle()
	victim := w.nodes[0]
	detection(t, w, victim)
	w.start(victim)
	took := w.until(5*time.Second, func() bool { return w.all(victim, Alive) })
	if took > 100*time.Millisecond {
		t.Errorf("%v until everybody saw it again", took)
	}
	for _, n := range w.nodes[1:] {
		last := n.log[len(n.log)-1]
		if last.ID != victim.id || last.To != Alive || last.Epoch != 2 {
			t.Errorf("%s reports %+v, want the second boot alive", n.id, last)
		}
	}
}

func TestRestartThatNobodyMissedIsReportedByItsEpoch(t *testing.T) {
	w := newWorld(t, 3, 3, LAN())
	w.settle()
	victim := w.nodes[0]
	w.stop(victim)
	w.run(50 * time.Millisecond)
	w.start(victim)
	w.settle()
	for _, n := range w.nodes[1:] {
		found := false
		for _, c := range n.log {
			found = found || c.ID == victim.id && c.From == Alive && c.To == Alive && c.Epoch == 2 && !c.Restarting
		}
		if !found {
			t.Errorf("%s did not report the new boot: %+v", n.id, n.log)
		}
	}
}

func TestNodeThatLostItsIncarnationIsHeardAgain(t *testing.T) {
	for _, left := range []bool{false, true} {
		w := newWorld(t, 4, 4, LAN())
		w.settle()
		victim := w.nodes[0]
		if left {
			w.take(victim, victim.m.Leave(w.now))
			w.run(time.Second)
			w.stop(victim)
		} else {
			detection(t, w, victim)
		}
		victim.stored = 0
		victim.boot = 7
		victim.m = nil
		w.start(victim)
		victim.stored = 1000
		if took := w.until(5*time.Second, func() bool { return w.agreed() }); took > time.Second {
			t.Errorf("left %v: %v until everybody saw it again:\n%s", left, took, w.views())
		}
		w.run(time.Second)
		if row, _ := w.nodes[1].m.Member(victim.id); row.Epoch != 8 || row.Incarnation != victim.m.Incarnation() {
			t.Errorf("left %v: row %+v, own incarnation %d", left, row, victim.m.Incarnation())
		}
	}
}

func TestLeftStaysLeftUntilAHigherIncarnation(t *testing.T) {
	for _, n := range []int{2, 5, 10} {
		w := newWorld(t, n, 5, LAN())
		w.loss = 0.1
		w.settle()
		gone := w.nodes[1]
		w.take(gone, gone.m.Leave(w.now))
		w.run(300 * time.Millisecond)
		w.stop(gone)
		w.run(30 * time.Second)
		if !w.all(gone, Left) {
			t.Fatalf("N=%d: not left everywhere:\n%s", n, w.views())
		}
		for _, nd := range w.running() {
			w.take(nd, nd.m.Heard(w.now, gone.id))
			w.take(nd, nd.m.Closed(w.now, gone.id))
		}
		w.run(10 * time.Second)
		if !w.all(gone, Left) || w.count(Unreachable, 0) != 0 {
			t.Fatalf("N=%d: left did not stay:\n%s", n, w.views())
		}
		w.start(gone)
		w.settle()
	}
}

func TestAnnouncedRestartHoldsUnreachableBack(t *testing.T) {
	const hold = 30 * time.Second
	w := newWorld(t, 5, 6, LAN())
	w.settle()
	victim := w.nodes[3]
	w.take(victim, victim.m.Restarting(w.now, hold))
	announced := w.now
	w.run(10 * time.Millisecond)
	w.stop(victim)
	w.run(hold - time.Second)
	if n := w.count(Unreachable, announced); n != 0 {
		t.Fatalf("%d verdicts during the announced restart", n)
	}
	for _, n := range w.running() {
		if row, _ := n.m.Member(victim.id); !row.Restarting || row.State != Suspect {
			t.Errorf("%s: %+v, want suspect and restarting", n.id, row)
		}
	}
	if took := w.until(5*time.Second, func() bool { return w.all(victim, Unreachable) }); took > 2*time.Second {
		t.Errorf("%v until the verdict after the hold", took+hold-time.Second)
	}
}

func TestRestartThatIsCarriedOutOrNotEndsTheHold(t *testing.T) {
	for _, carriedOut := range []bool{true, false} {
		w := newWorld(t, 5, 7, LAN())
		w.settle()
		victim := w.nodes[3]
		w.take(victim, victim.m.Restarting(w.now, 5*time.Second))
		w.run(100 * time.Millisecond)
		if row, _ := w.nodes[0].m.Member(victim.id); !row.Restarting {
			t.Fatal("not announced")
		}
		if carriedOut {
			w.stop(victim)
			w.run(2 * time.Second)
			w.start(victim)
			w.run(time.Second)
		} else {
			w.run(6 * time.Second)
		}
		if !w.agreed() || w.count(Unreachable, time.Second) != 0 {
			t.Errorf("carried out %v:\n%s", carriedOut, w.views())
		}
		for _, n := range w.nodes {
			if n == victim {
				continue
			}
			if last := n.lastOf(victim.id); last.Restarting || last.To != Alive {
				t.Errorf("carried out %v: %s last reported %+v", carriedOut, n.id, last)
			}
		}
	}
}

func (n *node) lastOf(id ID) (last stamped) {
	for _, c := range n.log {
		if c.ID == id {
			last = c
		}
	}
	return last
}

func TestPausedMachineAccusesNobodyWhenItResumes(t *testing.T) {
	for _, n := range []int{2, 5, 20} {
		for seed := range uint64(10) {
			w := newWorld(t, n, seed, LAN())
			w.settle()
			w.run(w.upTo(time.Second))
			sleeper := w.nodes[0]
			w.pause(sleeper, 10*time.Second)
			w.run(9900 * time.Millisecond)
			if !w.allBut(sleeper, Unreachable) {
				t.Fatalf("N=%d seed %d: the others did not miss it", n, seed)
			}
			w.run(100 * time.Millisecond)
			if h := sleeper.m.Stats(); h.Pauses == 0 {
				t.Errorf("N=%d seed %d: the pause went unnoticed", n, seed)
			}
			if took := w.until(5*time.Second, w.agreed); took > 1500*time.Millisecond {
				t.Errorf("N=%d seed %d: %v until all agreed:\n%s", n, seed, took, w.views())
			}
			w.run(10 * time.Second)
			for _, c := range sleeper.log {
				if c.To == Unreachable {
					t.Errorf("N=%d seed %d: the sleeper holds %s unreachable at %v", n, seed, c.ID, c.at)
				}
			}
		}
	}
}

// allBut: everybody but the subject believes state of it.
func (w *world) allBut(subject *node, state State) bool {
	for _, n := range w.nodes {
		if n != subject && n.view[subject.id] != state {
			return false
		}
	}
	return true
}

func TestPauseRaisesTheHealthScoreBeforeAnythingElse(t *testing.T) {
	w := newWorld(t, 5, 1, LAN())
	w.settle()
	m := w.nodes[0].m
	out := m.Tick(w.now + 10*time.Second)
	if s := m.Stats(); s.Pauses != 1 || s.Health < 3 || len(out.Changes) != 0 {
		t.Fatalf("after a jump of 10 s: %+v, changes %+v", s, out.Changes)
	}
}

func TestSlowMachineDoubtsItselfAndAccusesNobodyForGood(t *testing.T) {
	w := newWorld(t, 8, 1, LAN())
	w.settle()
	slow := w.nodes[0]
	w.lag = func(to int) time.Duration {
		if to == slow.at {
			return 450 * time.Millisecond
		}
		return 0
	}
	ill := 0
	for range 600 {
		w.run(100 * time.Millisecond)
		ill = max(ill, slow.m.Stats().Health)
	}
	for _, c := range slow.log {
		if c.To == Unreachable {
			t.Errorf("the slow machine holds %s unreachable at %v", c.ID, c.at)
		}
	}
	if ill < 2 {
		t.Errorf("its health score never rose above %d", ill)
	}
	t.Logf("worst score %d; %d verdicts, %d suspicions in all views", ill, w.count(Unreachable, time.Second), w.count(Suspect, 0))
}

func TestFlappingLinkMakesNobodyUnreachable(t *testing.T) {
	for seed := range uint64(5) {
		w := newWorld(t, 6, seed, LAN())
		w.settle()
		start := w.now
		down := false
		for range 200 {
			down = !down
			if down {
				w.cut = func(a, b int) bool { return a+b == 1 } // the link between nodes 0 and 1
			} else {
				w.cut = nil
			}
			w.run(50*time.Millisecond + w.upTo(time.Second))
		}
		w.cut = nil
		if n := w.count(Unreachable, start); n != 0 {
			t.Errorf("seed %d: %d verdicts over a link that others could relay for", seed, n)
		}
		w.settle()
	}
}

func TestHelpersVouchOverABrokenLink(t *testing.T) {
	for _, n := range []int{3, 6} {
		w := newWorld(t, n, 1, LAN())
		w.settle()
		start := w.now
		w.cut = func(a, b int) bool { return a+b == 1 } // the link between nodes 0 and 1
		w.run(time.Minute)
		if s := w.count(Suspect, start); s != 0 {
			t.Errorf("N=%d: %d suspicions although helpers could reach both", n, s)
		}
	}
}

func TestAllViewsAgreeAfterCalm(t *testing.T) {
	taken := map[string]int{}
	for seed := range uint64(30) {
		n := 2 + int(seed)%9
		w := newWorld(t, n, seed, LAN())
		w.onChange = func(_ *node, c Change) { taken[c.From.String()+"-"+c.To.String()]++ }
		w.settle()
		w.loss = 0.2
		gone := map[*node]State{}
		for range 20 {
			w.trouble(gone)
			w.run(w.upTo(3 * time.Second))
		}
		w.loss, w.cut = 0, nil
		for _, nd := range w.nodes {
			nd.resume(w)
		}
		w.run(20 * time.Second)
		for _, nd := range w.nodes {
			want := Alive
			if s, ok := gone[nd]; ok {
				want = s
			}
			if !w.all(nd, want) {
				t.Fatalf("seed %d: %s is not %v everywhere:\n%s", seed, nd.id, want, w.views())
			}
		}
	}
	for _, arrow := range []string{
		"alive-suspect", "suspect-alive", "suspect-unreachable", "unreachable-alive",
		"alive-left", "unreachable-left", "left-alive",
	} {
		if taken[arrow] == 0 {
			t.Errorf("no run went %s: the trouble is too tame (%v)", arrow, taken)
		}
	}
}

// trouble does one bad or good thing at random; gone are those that stay down.
func (w *world) trouble(gone map[*node]State) {
	n := w.nodes[w.rand.IntN(len(w.nodes))]
	switch w.rand.IntN(7) {
	case 0:
		w.split(w.rand.IntN(len(w.nodes)))
	case 1:
		w.cut = nil
	case 2:
		if n.up && len(gone) < len(w.nodes)-1 {
			w.stop(n)
			gone[n] = Unreachable
		}
	case 3:
		if !n.up {
			delete(gone, n)
			w.start(n)
		}
	case 4:
		if n.up && !n.paused {
			w.pause(n, w.upTo(5*time.Second))
		}
	case 5:
		if n.up && !n.paused && w.cut == nil && len(gone) < len(w.nodes)-1 {
			w.take(n, n.m.Leave(w.now))
			w.run(500 * time.Millisecond)
			w.stop(n)
			gone[n] = Left
		}
	case 6:
		if n.up && !n.paused {
			w.take(n, n.m.Restarting(w.now, w.upTo(4*time.Second)))
		}
	}
}

func TestSameSeedGivesTheSameTrace(t *testing.T) {
	one := func(seed uint64) uint64 {
		w := newWorld(t, 7, seed, LAN())
		w.loss = 0.2
		gone := map[*node]State{}
		for range 30 {
			w.trouble(gone)
			w.run(w.upTo(2 * time.Second))
		}
		return w.trace()
	}
	if one(5) != one(5) {
		t.Error("two runs of one seed differ")
	}
	if one(5) == one(6) {
		t.Error("two seeds give one trace: the trace sees nothing")
	}
}
