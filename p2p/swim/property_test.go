package swim

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// broken returns which invariant of Machine does not hold, or "".
func broken(m *Machine) string {
	var counts [Left + 1]int
	outstanding := 0
	for _, mem := range m.sorted {
		counts[mem.state]++
		if mem.probe.on {
			outstanding++
		}
		waits := mem.probe.on || mem.state == Suspect && !m.left || mem.hold != longAgo && !m.left
		ids := map[ID]bool{}
		for _, a := range mem.suspicion.accusers {
			ids[a.id] = true
		}
		switch {
		case m.members[mem.id] != mem || !slices.Contains(m.ring, mem) || mem.id == m.me.id || mem.forgotten:
			return "1: tables differ"
		case waits && !slices.Contains(m.active, mem):
			return fmt.Sprintf("3: %s waits unseen", mem.id)
		case len(mem.suspicion.accusers) > 0 && mem.state != Suspect:
			return "4: accusers of one who is no suspect"
		case len(ids) != len(mem.suspicion.accusers) || len(ids) > m.cfg.Confirmations+1:
			return "4: accusers counted twice or too many"
		case mem.state == Suspect && len(ids) == 0:
			return "4: a suspect without accuser"
		case mem.unheard && mem.state != Unreachable:
			return "unheard but not unreachable"
		}
	}
	switch {
	case len(m.members) != len(m.sorted) || len(m.ring) != len(m.sorted) || len(m.sorted) > MembersMax:
		return "1: sizes differ"
	case counts != m.counts:
		return fmt.Sprintf("2: counts %v, counted %v", m.counts, counts)
	case outstanding != m.outstanding:
		return fmt.Sprintf("outstanding %d, counted %d", m.outstanding, outstanding)
	case len(m.queue) > queueMax || len(m.relays) > relaysMax || len(m.urgent) > len(m.sorted) || len(m.active) > len(m.sorted):
		return "a bound"
	case m.health < 0 || m.health > m.cfg.HealthMax:
		return "health out of bounds"
	case !slices.IsSortedFunc(m.Members(), func(a, b Member) int { return compareIDs(a.ID, b.ID) }):
		return "not sorted"
	}
	return ""
}

func compareIDs(a, b ID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

var names = []ID{"a", "b", "c", "d", "e", "self", "stranger"}

func drawClaim(t *rapid.T) claim {
	c := claim{
		state: rapid.SampledFrom([]State{Alive, Alive, Suspect, Suspect, Suspect, Suspect, Unreachable, Left}).Draw(t, "state"),
		id:    rapid.SampledFrom(names).Draw(t, "about"),
		inc:   rapid.Uint64Range(0, 8).Draw(t, "inc"),
		epoch: rapid.Uint64Range(0, 2).Draw(t, "epoch"),
	}
	switch c.state {
	case Alive:
		c.hold = rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "hold")
	case Suspect, Unreachable:
		c.by = rapid.SampledFrom(names).Draw(t, "by")
		c.health = rapid.SampledFrom([]uint8{0, 5}).Draw(t, "health")
	}
	return c
}

func drawPacket(t *rapid.T) []byte {
	msg := message{
		kind:   kind(rapid.IntRange(int(kindPing), int(kindGossip)).Draw(t, "kind")),
		sender: sender{inc: rapid.Uint64Range(0, 8).Draw(t, "sender inc"), epoch: rapid.Uint64Range(0, 2).Draw(t, "sender epoch")},
		seq:    rapid.Uint64Range(0, 40).Draw(t, "seq"),
		wait:   75 * time.Millisecond,
		target: rapid.SampledFrom(names).Draw(t, "target"),
	}
	if rapid.IntRange(0, 29).Draw(t, "leaving") == 0 {
		msg.sender.state = Left
	}
	claims := rapid.SliceOfN(rapid.Custom(drawClaim), 0, 4).Draw(t, "claims")
	b := append(appendHead(nil, &msg), byte(len(claims)))
	for i := range claims {
		b = appendClaim(b, &claims[i])
	}
	return b
}

// drawEvent returns an event to be applied to any machine, now or after a while.
func drawEvent(t *rapid.T, now *Instant, wake Instant) func(*Machine) Output {
	switch rapid.IntRange(0, 3).Draw(t, "time") {
	case 0:
		*now += rapid.SampledFrom([]Instant{1, 50e6, 300e6, 700e6, 10e9}).Draw(t, "later")
	case 1:
		if wake != Never {
			*now = max(*now, wake)
		}
	case 2:
		if wake != Never {
			at := max(*now, wake)
			*now = at
			return func(m *Machine) Output { return m.Tick(at) }
		}
	}
	at := *now - rapid.SampledFrom([]Instant{0, 0, 0, 1e9}).Draw(t, "backwards")
	id := rapid.SampledFrom(names).Draw(t, "id")
	switch rapid.IntRange(0, 14).Draw(t, "event") {
	case 0, 1:
		return func(m *Machine) Output { return m.Join(at, id) }
	case 2:
		return func(m *Machine) Output { return m.Forget(at, id) }
	case 3:
		return func(m *Machine) Output { return m.Heard(at, id) }
	case 4:
		return func(m *Machine) Output { return m.Closed(at, id) }
	case 5:
		d := rapid.SampledFrom([]time.Duration{-1, time.Second, time.Hour}).Draw(t, "hold")
		return func(m *Machine) Output { return m.Restarting(at, d) }
	case 6:
		if rapid.IntRange(0, 19).Draw(t, "leave") == 0 {
			return func(m *Machine) Output { return m.Leave(at) }
		}
		fallthrough
	case 7:
		return func(m *Machine) Output { return m.Tick(at) }
	case 8:
		junk := rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(t, "junk")
		return func(m *Machine) Output { return m.Receive(at, id, junk) }
	default:
		b := drawPacket(t)
		return func(m *Machine) Output { return m.Receive(at, id, b) }
	}
}

func TestAnyEventsKeepTheInvariantsTheArrowsAndDeterminism(t *testing.T) {
	reached := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		self := Self{ID: "self", Incarnation: 3, Epoch: 1}
		m, twin := New(self, LAN(), seed), New(self, LAN(), seed)
		view := map[ID]State{}
		now, wake, inc := Instant(0), Never, m.Incarnation()
		for _, id := range names[:rapid.IntRange(0, 5).Draw(t, "met")] {
			for _, x := range []*Machine{m, twin} {
				x.Join(now, id)
				wake = x.Receive(now, id, packet(2)).Wake
			}
			view[id] = Alive
		}
		idle := 0
		for range rapid.IntRange(1, 200).Draw(t, "events") {
			var do func(*Machine) Output
			if idle > 0 && wake != Never {
				idle--
				at := max(now, wake)
				now = at
				do = func(m *Machine) Output { return m.Tick(at) }
			} else {
				idle = max(rapid.IntRange(-80, 40).Draw(t, "idle"), 0)
				do = drawEvent(t, &now, wake)
			}
			out := do(m)
			if again := do(twin); !reflect.DeepEqual(out, again) {
				t.Fatalf("twins differ:\n%+v\n%+v", out, again)
			}
			wake = out.Wake
			checkOutput(t, m, out, view, reached)
			if m.Incarnation() < inc || (m.Incarnation() > inc) != (out.Incarnation != 0) {
				t.Fatalf("incarnation %d -> %d, output says %d", inc, m.Incarnation(), out.Incarnation)
			}
			inc = m.Incarnation()
			if what := broken(m); what != "" {
				t.Fatal(what)
			}
		}
	})
	t.Logf("arrows taken: %v", reached)
}

// checkOutput follows the changes, so that the view of a listener is the table.
func checkOutput(t *rapid.T, m *Machine, out Output, view map[ID]State, reached map[string]int) {
	for _, c := range out.Changes {
		from, known := view[c.ID]
		if !known {
			from = Unreachable
		}
		if from != c.From || !arrow(c.From, c.To) {
			t.Fatalf("%s reported %v -> %v after %v", c.ID, c.From, c.To, from)
		}
		view[c.ID] = c.To
		reached[c.From.String()+"-"+c.To.String()]++
	}
	for id := range view {
		if _, ok := m.State(id); !ok {
			delete(view, id)
		}
	}
	for _, row := range m.Members() {
		if seen, known := view[row.ID]; known && seen != row.State || !known && row.State != Unreachable {
			t.Fatalf("%s is %v, reported %v", row.ID, row.State, seen)
		}
	}
	for _, p := range out.Send {
		if msg, err := decode(p.Payload, nil); err != nil || len(p.Payload) > PacketBytesMax {
			t.Fatalf("sent what does not decode: %v %+v", err, msg)
		}
		if _, ok := m.State(p.To); !ok {
			t.Fatalf("sent to the stranger %s", p.To)
		}
	}
}
