package swim

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// Machine is the failure detector of one node.
//
// Invariants, after every event:
//
//  1. sorted, ring and members hold the same members, never self; at most MembersMax.
//  2. counts[s] is the number of members in state s.
//  3. a member that waits for a time (probe, suspicion, hold) is in active.
//  4. only suspects have accusers, at most Confirmations+1 and each once.
//  5. incarnations of members and of self never fall.
type Machine struct {
	cfg  Config
	rand rng
	now  Instant
	wake Instant // as last asked for
	out  Output

	me      *member // own incarnation and epoch; in no table
	left    bool
	health  int
	ailedAt Instant // last rise of the health score, or step of its decay

	members map[ID]*member
	sorted  []*member // by ID
	ring    []*member // in probing order
	counts  [Left + 1]int

	seq         uint64
	cursor      int // into ring: next to probe
	slowCursor  int // into ring: next unreachable to probe
	intervalAt  Instant
	active      []*member
	outstanding int
	urgent      []*member // to be probed at once
	owed        []*member // passed over by the round because their traffic was fresh

	relays []relay

	queue      []news
	gossipedAt Instant
	background int // into sorted: next row to repeat

	stats Stats
}

type member struct {
	id    ID
	state State
	inc   uint64
	epoch uint64
	since Instant
	// unheard: no sign of life since Join, so unreachable is no verdict yet.
	unheard   bool
	forgotten bool

	directAt  Instant // last sign of life: packet, ack through a helper, other traffic
	trafficAt Instant // last other traffic
	probedAt  Instant
	hold      Instant // end of an announced restart, or longAgo
	owesBy    Instant // it was asked to vouch or nack until then, or Never

	probe     probe
	suspicion suspicion
	tell      claim // to be put into the next packet to it
	hasTell   bool

	isActive, isUrgent, isOwed bool
}

// New returns a machine without members. It panics if cfg.Complete fails or self
// is out of bounds, which is a bug of the caller. seed feeds its only source of randomness.
func New(self Self, cfg Config, seed uint64) *Machine {
	cfg, err := cfg.Complete()
	if err == nil && (self.ID == "" || len(self.ID) > IDBytesMax || self.Incarnation >= IncarnationMax || self.Epoch > IncarnationMax) {
		err = fmt.Errorf("swim: self %q at incarnation %d, epoch %d is out of bounds", self.ID, self.Incarnation, self.Epoch)
	}
	if err != nil {
		panic(err)
	}
	return &Machine{
		cfg:        cfg,
		rand:       rng(seed),
		now:        longAgo,
		wake:       Never,
		me:         &member{id: self.ID, inc: max(self.Incarnation, 1), epoch: self.Epoch, hold: longAgo},
		ailedAt:    longAgo,
		members:    map[ID]*member{},
		intervalAt: Never,
		gossipedAt: longAgo,
	}
}

// Join watches a member and probes it at once. It is reported unreachable until
// the first sign of life. A member that is watched already stays as it is.
func (m *Machine) Join(now Instant, id ID) Output {
	m.begin(now)
	switch {
	case id == m.me.id || m.members[id] != nil:
	case id == "" || len(id) > IDBytesMax || len(m.sorted) >= MembersMax:
		m.stats.Refused++
	default:
		m.add(id)
	}
	return m.end()
}

func (m *Machine) add(id ID) {
	mem := &member{
		id: id, state: Unreachable, unheard: true, since: m.now,
		directAt: longAgo, trafficAt: longAgo, probedAt: longAgo, hold: longAgo, owesBy: Never,
	}
	m.members[id] = mem
	i, _ := slices.BinarySearchFunc(m.sorted, id, func(x *member, id ID) int { return strings.Compare(string(x.id), string(id)) })
	m.sorted = slices.Insert(m.sorted, i, mem)
	at := m.rand.below(len(m.ring) + 1)
	m.ring = slices.Insert(m.ring, at, mem)
	if at < m.cursor {
		m.cursor++
	}
	m.counts[Unreachable]++
	if m.intervalAt == Never && !m.left {
		m.intervalAt = m.now + Instant(m.rand.below(int(m.cfg.ProbeInterval)))
	}
	m.hurry(mem)
}

// Forget stops watching a member that left for good or was evicted.
func (m *Machine) Forget(now Instant, id ID) Output {
	m.begin(now)
	if mem := m.members[id]; mem != nil {
		m.drop(mem)
	}
	return m.end()
}

func (m *Machine) drop(mem *member) {
	is := func(x *member) bool { return x == mem }
	m.endProbe(mem)
	delete(m.members, mem.id)
	m.sorted = slices.DeleteFunc(m.sorted, is)
	if at := slices.Index(m.ring, mem); at < m.cursor {
		m.cursor--
	}
	m.ring = slices.DeleteFunc(m.ring, is)
	m.active = slices.DeleteFunc(m.active, is)
	m.urgent = slices.DeleteFunc(m.urgent, is)
	m.owed = slices.DeleteFunc(m.owed, is)
	m.relays = slices.DeleteFunc(m.relays, func(r relay) bool { return r.target == mem || r.asker == mem })
	m.counts[mem.state]--
	mem.forgotten = true
	if len(m.ring) == 0 {
		m.intervalAt = Never
	}
}

// Leave announces that this machine leaves. It stops probing; the others report
// it Left until it comes back with a higher incarnation, that is, as a new
// Machine.
func (m *Machine) Leave(now Instant) Output {
	m.begin(now)
	if !m.left {
		m.left = true
		m.me.state = Left
		for len(m.active) > 0 {
			m.endProbe(m.active[0])
			m.active[0].isActive = false
			m.active = m.active[1:]
		}
		m.urgent, m.owed, m.intervalAt = nil, nil, Never
		m.announce()
	}
	return m.end()
}

// Restarting announces a restart: for d (at most RestartHoldMax) the others may
// suspect this member, but do not report it unreachable. Call it last before
// the process stops. A machine that goes on after all is alive as before once d
// is over.
func (m *Machine) Restarting(now Instant, d time.Duration) Output {
	m.begin(now)
	if d = min(d, RestartHoldMax); d > 0 && !m.left && m.raise(m.me.inc) {
		m.me.hold = m.now + d
		m.announce()
	}
	return m.end()
}

// announce tells what this machine now is to as many as may be told directly.
func (m *Machine) announce() {
	m.enqueue(m.me, claim{state: m.me.state, inc: m.me.inc})
	told := 0
	for _, mem := range m.ring {
		if mem.state <= Suspect && told < announceMax {
			m.send(mem, &message{kind: kindGossip})
			told++
		}
	}
}

// Heard notes that other traffic of a member arrived just now. It slows the
// probing of an alive member to SlowInterval, and is evidence against what was
// said before.
func (m *Machine) Heard(now Instant, from ID) Output {
	m.begin(now)
	if mem := m.members[from]; mem == nil {
		m.stats.Strangers++
	} else if !m.left {
		mem.trafficAt = m.now
		m.evidence(mem, "its traffic arrived")
	}
	return m.end()
}

// Closed notes that the connection to a member closed: a hint to probe at once.
func (m *Machine) Closed(now Instant, id ID) Output {
	m.begin(now)
	if mem := m.members[id]; mem != nil {
		mem.trafficAt = longAgo
		m.hurry(mem)
	}
	return m.end()
}

// Tick does what is due. A late or doubled one is harmless; one that is very
// late tells the machine that it was stopped itself.
func (m *Machine) Tick(now Instant) Output {
	m.begin(now)
	m.tickRelays()
	m.tickActive()
	if m.now >= m.intervalAt {
		m.interval()
	}
	return m.end()
}

// begin opens every event. Time never runs backwards here.
func (m *Machine) begin(now Instant) {
	m.out = Output{}
	m.now = max(m.now, now)
	m.noticePause()
}

// end closes every event: what is urgent or due goes out, then Wake is set.
func (m *Machine) end() Output {
	m.pump()
	m.gossip()
	m.wake = m.nextWake()
	m.out.Wake = m.wake
	out := m.out
	m.out = Output{}
	return out
}

func (m *Machine) nextWake() Instant {
	wake := m.intervalAt
	m.active = slices.DeleteFunc(m.active, func(mem *member) bool {
		at := m.memberWake(mem)
		wake = min(wake, at)
		mem.isActive = at != Never
		return at == Never
	})
	for _, r := range m.relays {
		wake = min(wake, r.until)
	}
	if len(m.queue) > 0 && m.counts[Alive]+m.counts[Suspect] > 0 {
		wake = min(wake, m.gossipedAt+m.cfg.GossipInterval)
	}
	return max(wake, m.now) // what is overdue must not look like a pause next time
}

func (m *Machine) memberWake(mem *member) Instant {
	wake := Never
	if mem.probe.on {
		wake = mem.probe.failAt
		if mem.probe.full && !mem.probe.asked {
			wake = mem.probe.askAt
		}
	}
	if mem.state == Suspect {
		wake = min(wake, m.verdictAt(mem))
	}
	if mem.hold != longAgo {
		wake = min(wake, mem.hold)
	}
	return wake
}

// Members returns the table, sorted by ID.
func (m *Machine) Members() []Member {
	rows := make([]Member, len(m.sorted))
	for i, mem := range m.sorted {
		rows[i] = m.row(mem)
	}
	return rows
}

// Member returns a row of the table, false if id was not joined.
func (m *Machine) Member(id ID) (Member, bool) {
	if mem := m.members[id]; mem != nil {
		return m.row(mem), true
	}
	return Member{}, false
}

func (m *Machine) row(mem *member) Member {
	return Member{
		ID: mem.id, State: mem.state, Epoch: mem.epoch, Incarnation: mem.inc,
		Since: mem.since, Restarting: m.restarting(mem),
	}
}

// State returns what is believed of a member, false if id was not joined.
func (m *Machine) State(id ID) (State, bool) {
	if mem := m.members[id]; mem != nil {
		return mem.state, true
	}
	return 0, false
}

// Incarnation returns this machine's own incarnation.
func (m *Machine) Incarnation() uint64 { return m.me.inc }

// Stats returns the counters.
func (m *Machine) Stats() Stats {
	s := m.stats
	s.Health = m.health
	return s
}

func (m *Machine) restarting(mem *member) bool { return mem.hold > m.now }

// size is the number of live nodes in this view, self included.
func (m *Machine) size() int { return 1 + m.counts[Alive] + m.counts[Suspect] }

// retransmits is how often a claim is sent from here.
func (m *Machine) retransmits() int { return m.cfg.RetransmitFactor * bits.Len(uint(m.size())) }

// move is the only writer of a member's state.
func (m *Machine) move(mem *member, to State, why string) {
	from := mem.state
	if from == to {
		return
	}
	m.counts[from]--
	m.counts[to]++
	mem.state, mem.since = to, m.now
	if from == Suspect {
		if to == Alive && hasAccuser(mem.suspicion.accusers, m.me.id) {
			m.ail(1) // accused falsely
		}
		mem.suspicion = suspicion{}
	}
	m.report(mem, from, why)
}

func (m *Machine) report(mem *member, from State, why string) {
	m.out.Changes = append(m.out.Changes, Change{
		ID: mem.id, From: from, To: mem.state, Epoch: mem.epoch, Why: why, Restarting: m.restarting(mem),
	})
}

// activate keeps a member in sight of Tick.
func (m *Machine) activate(mem *member) {
	if !mem.isActive {
		mem.isActive = true
		m.active = append(m.active, mem)
	}
}
