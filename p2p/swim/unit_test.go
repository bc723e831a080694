package swim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// lone returns a machine that has heard of members a, b, c... with incarnation 5
// long enough ago that accusations count.
func lone(t *testing.T, cfg Config, ids ...ID) (*Machine, Instant) {
	t.Helper()
	m := New(Self{ID: "self", Incarnation: 1000, Epoch: 1}, cfg, 1)
	now := time.Second
	for _, id := range ids {
		m.Join(now, id)
		m.Receive(now, id, packet(5))
	}
	now += 900 * time.Millisecond
	m.wake = now // as if it had been ticked all along
	for _, id := range ids {
		if s, ok := m.State(id); s != Alive || !ok {
			t.Fatalf("%s is %v", id, s)
		}
	}
	return m, now
}

// packet is gossip of a well sender with the given incarnation.
func packet(inc uint64, claims ...claim) []byte {
	b := appendHead(nil, &message{kind: kindGossip, sender: sender{state: Alive, inc: inc, epoch: 1}})
	b = append(b, byte(len(claims)))
	for i := range claims {
		b = appendClaim(b, &claims[i])
	}
	return b
}

func accusation(of, by ID) claim { return claim{state: Suspect, id: of, inc: 5, epoch: 1, by: by} }

func TestAccusationCountsOncePerAccuser(t *testing.T) {
	m, now := lone(t, LAN(), "a", "b", "c", "d", "e")
	for range 5 {
		m.Receive(now, "b", packet(5, accusation("a", "b")))
		m.Receive(now, "c", packet(5, accusation("a", "b")))
	}
	a := m.members["a"]
	if a.state != Suspect || len(a.suspicion.accusers) != 1 {
		t.Fatalf("%v with accusers %v, want one", a.state, a.suspicion.accusers)
	}
	alone := m.verdictAt(a)
	m.Receive(now, "b", packet(5, accusation("a", "c")))
	if len(a.suspicion.accusers) != 2 || m.verdictAt(a) >= alone {
		t.Fatalf("a second accuser did not shorten the suspicion: %v", a.suspicion.accusers)
	}
	for _, by := range []ID{"d", "e", "self", "a", "stranger"} {
		m.Receive(now, "b", packet(5, accusation("a", by)))
	}
	if got := len(a.suspicion.accusers); got != 4 {
		t.Fatalf("%d accusers, want at most Confirmations+1 and neither self, the accused nor strangers", got)
	}
	if least := a.suspicion.start + m.cfg.SuspicionMin; m.verdictAt(a) != least {
		t.Fatalf("verdict at %v, want %v", m.verdictAt(a), least)
	}
}

func TestAccuserInBadHealthDoesNotCount(t *testing.T) {
	m, now := lone(t, LAN(), "a", "b", "c")
	c := accusation("a", "b")
	c.health = HealthAccuseMax + 1
	m.Receive(now, "b", packet(5, c))
	if s, _ := m.State("a"); s != Alive || m.Stats().Gagged != 1 {
		t.Fatalf("%v, %+v", s, m.Stats())
	}
}

func TestMachineInBadHealthKeepsItsAccusationToItself(t *testing.T) {
	for _, health := range []int{0, HealthAccuseMax, HealthAccuseMax + 1} {
		m, now := lone(t, LAN(), "a", "b")
		m.health = health
		m.begin(now)
		m.accuse(m.members["a"])
		out := m.end()
		for range 40 {
			now = max(now, out.Wake)
			for _, p := range out.Send {
				msg, err := decode(p.Payload, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range msg.claims {
					if c.id == "a" && c.state != Alive && health > HealthAccuseMax && m.health > HealthAccuseMax {
						t.Fatalf("health %d: told %s that a is %v", health, p.To, c.state)
					}
				}
			}
			out = m.Tick(now)
		}
		if told := m.Stats().Gagged == 0; told != (health <= HealthAccuseMax) {
			t.Errorf("health %d: told %v", health, told)
		}
	}
}

func TestAccusationOlderThanTheEvidenceIsPassedToTheAccused(t *testing.T) {
	m, now := lone(t, LAN(), "a", "b")
	m.Heard(now, "a")
	out := m.Receive(now+100*time.Millisecond, "b", packet(5, accusation("a", "b")))
	if s, _ := m.State("a"); s != Alive || len(out.Changes) != 0 {
		t.Fatalf("a is %v", s)
	}
	if !told(t, out, "a", Suspect) {
		t.Fatal("a was not told")
	}
	m.Receive(now+400*time.Millisecond, "b", packet(5, accusation("a", "b")))
	if s, _ := m.State("a"); s != Suspect {
		t.Fatalf("a newer accusation was ignored: %v", s)
	}
}

// told: the output tells a member itself that it is held to be in a state.
func told(t *testing.T, out Output, id ID, state State) bool {
	t.Helper()
	for _, p := range out.Send {
		msg, err := decode(p.Payload, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range msg.claims {
			if p.To == id && c.id == id && c.state == state {
				return true
			}
		}
	}
	return false
}

func TestEvidenceAfterTheAccusationEndsItAndEvidenceBeforeDoesNot(t *testing.T) {
	m, now := lone(t, LAN(), "a", "b", "c")
	m.Heard(now-400*time.Millisecond, "a")
	m.Receive(now, "b", packet(5, accusation("a", "b")))
	m.Heard(now, "a")
	if s, _ := m.State("a"); s != Suspect {
		t.Fatalf("evidence of the same instant cleared it: %v", s)
	}
	out := m.Heard(now+time.Millisecond, "a")
	if s, _ := m.State("a"); s != Alive {
		t.Fatalf("evidence after the accusation did not clear it: %v", s)
	}
	if !told(t, out, "a", Suspect) {
		t.Fatal("a was not told, so the others go on suspecting it")
	}
}

func TestSuspectThatSaysItLeavesIsLeft(t *testing.T) {
	m, now := lone(t, LAN(), "a", "b")
	m.Receive(now, "b", packet(5, accusation("a", "b")))
	out := m.Receive(now, "b", packet(5, claim{state: Left, id: "a", inc: 5, epoch: 1}))
	if len(out.Changes) != 1 || out.Changes[0].From != Suspect || out.Changes[0].To != Left {
		t.Fatalf("%+v", out.Changes)
	}
}

func TestForeignVerdictIsOnlyAnAccusation(t *testing.T) {
	m, now := lone(t, LAN(), "a", "b", "c", "d")
	now += time.Second
	for _, by := range []ID{"b", "c", "d"} {
		m.Receive(now, by, packet(5, claim{state: Unreachable, id: "a", inc: 5, epoch: 1, by: by}))
	}
	if s, _ := m.State("a"); s != Suspect {
		t.Fatalf("a is %v at once", s)
	}
}

func TestStaleIncarnationsChangeNothing(t *testing.T) {
	m, now := lone(t, LAN(), "a", "b")
	for _, s := range []State{Alive, Suspect, Unreachable, Left} {
		c := claim{state: s, id: "a", inc: 4, epoch: 1}
		if s == Suspect || s == Unreachable {
			c.by = "b"
		}
		if out := m.Receive(now, "b", packet(5, c)); len(out.Changes) != 0 {
			t.Errorf("%v of an old incarnation: %+v", s, out.Changes)
		}
	}
}

func TestSelfRaisesItsIncarnationAboveEveryClaim(t *testing.T) {
	m, now := lone(t, LAN(), "a")
	out := m.Receive(now, "a", packet(5, claim{state: Unreachable, id: "self", inc: 7000, epoch: 1, by: "a"}))
	if out.Incarnation != 7001 || m.Incarnation() != 7001 {
		t.Fatalf("raised to %d", out.Incarnation)
	}
	if out = m.Receive(now, "a", packet(5, claim{state: Suspect, id: "self", inc: 7000, epoch: 1, by: "a"})); out.Incarnation != 0 {
		t.Fatal("raised again by a stale claim")
	}
	if out = m.Receive(now, "a", packet(5, claim{state: Alive, id: "self", inc: 7001, epoch: 9})); out.Incarnation != 7002 {
		t.Fatal("a twin of another boot was not outbid")
	}
	if out = m.Receive(now, "a", packet(5, claim{state: Suspect, id: "self", inc: IncarnationMax, epoch: 1, by: "a"})); out.Incarnation != 0 {
		t.Fatal("raised beyond the bound")
	}
}

func TestStrangersAndNonsenseAreIgnoredAndCounted(t *testing.T) {
	m, now := lone(t, LAN(), "a")
	base := m.Stats()
	m.Receive(now, "x", packet(5))
	m.Heard(now, "x")
	m.Closed(now, "x")
	m.Forget(now, "x")
	m.Receive(now, "a", packet(5, claim{state: Left, id: "x", inc: 5, epoch: 1}))
	m.Receive(now, "a", nil)
	m.Receive(now, "a", []byte("nonsense"))
	m.Receive(now, "a", append(packet(5), 0))
	m.Receive(now, "a", make([]byte, PacketBytesMax+1))
	s := m.Stats()
	if s.Strangers-base.Strangers != 3 || s.Malformed-base.Malformed != 4 || len(m.Members()) != 1 {
		t.Fatalf("%+v, %+v", s, m.Members())
	}
}

func TestMemberTableIsBounded(t *testing.T) {
	m := New(Self{ID: "self", Incarnation: 1, Epoch: 1}, LAN(), 1)
	for i := range MembersMax + 10 {
		m.Join(0, ID(fmt.Sprint(i)))
	}
	m.Join(0, ID(strings.Repeat("x", IDBytesMax+1)))
	if got := len(m.Members()); got != MembersMax || m.Stats().Refused != 11 {
		t.Fatalf("%d members, %+v", got, m.Stats())
	}
	m.Forget(0, "7")
	m.Join(0, "newcomer")
	if _, ok := m.State("newcomer"); !ok {
		t.Fatal("no room after a member was forgotten")
	}
}

func TestNewMemberIsUnreachableUntilItsFirstSignOfLife(t *testing.T) {
	m := New(Self{ID: "self", Incarnation: 1, Epoch: 1}, LAN(), 1)
	out := m.Join(0, "a")
	if s, _ := m.State("a"); s != Unreachable || len(out.Send) != 1 || len(out.Changes) != 0 {
		t.Fatalf("%v, %+v", s, out)
	}
	m.Join(0, "b")
	m.Receive(1, "b", packet(5, claim{state: Alive, id: "a", inc: 9, epoch: 2}))
	if s, _ := m.State("a"); s != Unreachable {
		t.Fatal("hearsay made it alive")
	}
	out = m.Receive(2, "a", packet(9))
	if s, _ := m.State("a"); s != Alive || len(out.Changes) != 1 {
		t.Fatalf("%v, %+v", s, out.Changes)
	}
}

func TestSuspicionShrinksLogarithmically(t *testing.T) {
	const lo, hi = 800 * time.Millisecond, 1800 * time.Millisecond
	for _, c := range []struct {
		confirmed, k int
		want         time.Duration
	}{{0, 0, 1133333333}, {0, 3, hi}, {1, 3, 1300 * time.Millisecond}, {2, 3, 1008 * time.Millisecond}, {3, 3, lo}, {9, 3, lo}, {0, 1, hi}, {1, 1, lo}} {
		if got := suspicionTime(lo, hi, c.confirmed, c.k); got != c.want {
			t.Errorf("%d of %d: %v, want %v", c.confirmed, c.k, got, c.want)
		}
	}
}

func TestLeaverTellsAndThenKeepsQuiet(t *testing.T) {
	m, now := lone(t, LAN(), "a", "b")
	out := m.Leave(now)
	if len(out.Send) < 2 {
		t.Fatalf("%d packets", len(out.Send))
	}
	for range 100 {
		if out.Wake == Never {
			break
		}
		now = out.Wake
		out = m.Tick(now)
	}
	if out.Wake != Never {
		t.Fatal("it never falls quiet")
	}
	out = m.Receive(now, "a", packet(5, claim{state: Suspect, id: "self", inc: 9000, epoch: 1, by: "a"}))
	if out.Incarnation != 0 {
		t.Fatal("who left argues")
	}
}

func TestLookUpsDoNotAllocate(t *testing.T) {
	m, _ := lone(t, LAN(), "a", "b")
	if n := testing.AllocsPerRun(100, func() { m.State("a"); m.Member("b") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestConfigsThatCannotWorkAreRefusedWithTheReason(t *testing.T) {
	for _, c := range []Config{{}, LAN(), Edge(), {ProbesMax: 1}} {
		if _, err := c.Complete(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for want, c := range map[string]Config{
		"ProbeTimeout must be less": {ProbeTimeout: time.Second},
		"SuspicionMin must not":     {SuspicionMin: 3 * time.Second},
		"SlowInterval must not":     {SlowInterval: 100 * time.Millisecond},
		"HealthMax is 65":           {HealthMax: 65},
		"ProbeInterval is -1ns":     {ProbeInterval: -1},
		"Confirmations is -1":       {Confirmations: -1},
	} {
		if _, err := c.Complete(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestNewPanicsOnABugOfTheCaller(t *testing.T) {
	for _, f := range []func(){
		func() { New(Self{ID: "a"}, Config{ProbesMax: -1}, 1) },
		func() { New(Self{}, LAN(), 1) },
		func() { New(Self{ID: "a", Incarnation: IncarnationMax}, LAN(), 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		}()
	}
}
