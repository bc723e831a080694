package swim

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// suspicion is the time that a suspect has to refute, in this view.
type suspicion struct {
	start    Instant
	last     Instant   // latest accusation
	accusers []accuser // the healthiest first
	confirms int       // accusers beyond the first that shorten it to the minimum; fewer while fewer could accuse
	scale    Instant
	// witness: this machine goes on pinging the suspect.
	witness bool
	// private: the own accusation was made in bad health; nobody is told.
	private bool
}

// othersMin is how many accusers make a machine go by their pace: one may just have a
// bad link.
const othersMin = 2

type accuser struct {
	id     ID
	health uint8
}

// suspicionTime is Lifeguard's shrinking timeout: highest with no confirmation,
// lowest with k, logarithmic between. With k = 0 nobody could confirm (two
// nodes): the lone accuser takes a third of the way, so that a member whose
// traffic was fresh is still found in time.
func suspicionTime(lowest, highest time.Duration, confirmed, k int) time.Duration {
	if k <= 0 {
		return lowest + (highest-lowest)/3
	}
	if confirmed >= k {
		return lowest
	}
	part := math.Log(float64(confirmed+1)) / math.Log(float64(k+1))
	return (highest - time.Duration(part*float64(highest-lowest))).Round(time.Millisecond)
}

// verdictAt is when the suspect becomes unreachable. An announced restart holds
// that back.
func (m *Machine) verdictAt(mem *member) Instant {
	s := &mem.suspicion
	confirms := min(s.confirms, m.counts[Alive])
	t := suspicionTime(m.cfg.SuspicionMin, m.cfg.SuspicionMax, len(s.accusers)-1, confirms) * s.scale
	t = min(t, m.cfg.SuspicionMin*s.othersPace(max(confirms, othersMin)))
	return max(s.start+t, mem.hold)
}

// othersPace is how far the k healthiest accusers stretch their own suspicions, at
// most; beyond all bounds if there are fewer. They are believed at that pace by a
// machine that doubts itself, too: it has no reason to doubt them. Otherwise whoever
// just came back from isolation, which has seen its accusations of all refuted, would
// be the last to see the next death, by up to 5 s among five, and would not stand in.
func (s *suspicion) othersPace(k int) Instant {
	if len(s.accusers) < k {
		return 1 + healthLimit
	}
	return 1 + Instant(s.accusers[k-1].health)
}

// accuse is this machine's own accusation, after a failed probe.
func (m *Machine) accuse(mem *member) {
	m.stats.Accusations++
	if !m.mayAccuse() {
		m.stats.Gagged++
	}
	m.suspect(mem, accuser{m.me.id, uint8(m.health)})
}

// suspect counts an accusation of the member's present incarnation and passes
// it on, once per accuser.
func (m *Machine) suspect(mem *member, by accuser) {
	own := by.id == m.me.id
	if mem.state == Alive {
		m.beginSuspicion(mem, by, own)
	}
	s := &mem.suspicion
	if len(s.accusers) > m.cfg.Confirmations || hasAccuser(s.accusers, by.id) {
		return
	}
	s.accusers = append(s.accusers, by)
	slices.SortStableFunc(s.accusers, func(a, b accuser) int { return cmp.Compare(a.health, b.health) })
	s.last = m.now
	if own && !m.mayAccuse() {
		s.private = true
		return
	}
	m.enqueue(mem, claim{state: Suspect, inc: mem.inc, by: by.id, health: by.health})
}

func hasAccuser(as []accuser, id ID) bool {
	for _, a := range as {
		if a.id == id {
			return true
		}
	}
	return false
}

func (m *Machine) beginSuspicion(mem *member, by accuser, own bool) {
	why := "accused by " + string(by.id)
	if own {
		why = "did not answer a probe, nor its helpers"
	}
	m.move(mem, Suspect, why)
	mem.suspicion = suspicion{
		start:    m.now,
		confirms: min(m.cfg.Confirmations, m.counts[Alive]),
		scale:    m.scale(),
		witness:  own || m.rand.below(m.size()) < witnessesMax,
	}
	m.activate(mem)
	if mem.suspicion.witness {
		m.hurry(mem)
	}
}

// condemn is the verdict of this view.
func (m *Machine) condemn(mem *member) {
	m.endProbe(mem)
	m.move(mem, Unreachable, "suspicion was not refuted in time")
	if m.mayAccuse() {
		m.enqueue(mem, claim{state: Unreachable, inc: mem.inc, by: m.me.id, health: uint8(m.health)})
	}
}

// evidence is a sign of life at this very instant. It ends a suspicion that is
// older, and what anybody but the member itself said of it.
func (m *Machine) evidence(mem *member, why string) {
	if mem.state == Left {
		return
	}
	mem.directAt = m.now
	if m.now > mem.owesBy {
		mem.owesBy = Never
		m.ail(1)
	}
	switch mem.state {
	case Suspect:
		if m.now > mem.suspicion.last {
			m.tellAccusation(mem)
			m.move(mem, Alive, why)
		}
	case Unreachable:
		first := mem.unheard
		if !first {
			m.tellAccusation(mem)
			m.expectHeal(mem)
		}
		mem.unheard = false
		m.move(mem, Alive, why)
	}
}

// tellAccusation lets the member know what others may still believe, so that it
// refutes it for all.
func (m *Machine) tellAccusation(mem *member) {
	if c, ok := m.rowClaim(mem); ok {
		m.tell(mem, c)
	}
}

func (m *Machine) tell(mem *member, c claim) {
	mem.tell, mem.hasTell = c, true
	m.hurry(mem)
}

// expectHeal: where one came back, the others probably do; they are probed now
// rather than one per interval.
func (m *Machine) expectHeal(back *member) {
	budget := outstandingMax
	for _, mem := range m.ring {
		if mem != back && mem.state == Unreachable && !mem.unheard && budget > 0 {
			m.endProbe(mem)
			m.hurry(mem)
			budget--
		}
	}
}
