package swim

// Receive takes a packet that the transport says came from a member. What does
// not decode, or comes from a stranger, is ignored and counted.
func (m *Machine) Receive(now Instant, from ID, payload []byte) Output {
	m.begin(now)
	msg, err := decode(payload, m.members)
	mem := m.members[from]
	switch {
	case err != nil:
		m.stats.Malformed++
	case mem == nil:
		m.stats.Strangers++
	default:
		m.receive(mem, &msg)
	}
	return m.end()
}

func (m *Machine) receive(from *member, msg *message) {
	if m.left {
		if msg.kind == kindPing {
			m.send(from, &message{kind: kindAck, seq: msg.seq})
		}
		return
	}
	m.fromSender(from, msg)
	for i := range msg.claims {
		m.apply(&msg.claims[i])
	}
	switch msg.kind {
	case kindPing:
		m.send(from, &message{kind: kindAck, seq: msg.seq})
	case kindAck:
		m.acked(from, msg.seq)
		m.passAck(from, msg.seq)
	case kindPingReq:
		m.relayProbe(from, msg)
	case kindVouch:
		if mem := m.members[msg.target]; mem != nil && mem.probe.on && mem.probe.seq == msg.seq {
			m.selfClaim(mem, msg.inc, msg.epoch, msg.hold, "acked through "+string(from.id))
			m.acked(mem, msg.seq)
		}
		from.owesBy = Never
	case kindNack:
		from.owesBy = Never
	}
}

func (m *Machine) acked(mem *member, seq uint64) {
	if mem.probe.on && mem.probe.seq == seq {
		m.endProbe(mem)
		m.improve()
	}
}

// fromSender is what the packet itself says of who sent it.
func (m *Machine) fromSender(from *member, msg *message) {
	s := &msg.sender
	if s.state == Left {
		m.applyLeft(from, s.inc, s.epoch)
		return
	}
	m.selfClaim(from, s.inc, s.epoch, s.hold, "a message from it arrived")
}

// selfClaim is a member's own word, fresh by its arrival.
func (m *Machine) selfClaim(mem *member, inc, epoch uint64, hold Instant, why string) {
	if inc > mem.inc {
		m.applyAlive(mem, &claim{state: Alive, inc: inc, epoch: epoch, hold: hold}, true)
	} else if inc < mem.inc || epoch != mem.epoch || mem.state == Left {
		// It does not know what is said of it: it lost its stored incarnation.
		if c, ok := m.rowClaim(mem); ok {
			m.tell(mem, c)
		}
	}
	m.evidence(mem, why)
}

// apply takes what somebody says of a member. Per incarnation, the order of
// State decides; a newer incarnation beats everything.
func (m *Machine) apply(c *claim) {
	if c.id == m.me.id {
		m.aboutSelf(c)
		return
	}
	mem := m.members[c.id]
	if mem == nil {
		m.stats.Strangers++
		return
	}
	switch c.state {
	case Alive:
		m.applyAlive(mem, c, false)
	case Suspect, Unreachable:
		m.applyAccusation(mem, c)
	case Left:
		m.applyLeft(mem, c.inc, c.epoch)
	}
}

// aboutSelf refutes by a higher incarnation whatever is not so.
func (m *Machine) aboutSelf(c *claim) {
	if c.inc < m.me.inc {
		return
	}
	if c.state == Alive && c.inc == m.me.inc && c.epoch == m.me.epoch {
		return
	}
	if !m.raise(c.inc) {
		return
	}
	m.stats.Refutations++
	if c.state == Suspect {
		m.ail(1)
	}
	m.enqueue(m.me, claim{state: Alive, inc: m.me.inc})
}

// raise takes an incarnation above a claimed one, false if there is none left.
func (m *Machine) raise(above uint64) bool {
	if above >= IncarnationMax {
		m.stats.Refused++
		return false
	}
	m.me.inc = above + 1
	m.out.Incarnation = m.me.inc
	return true
}

func (m *Machine) applyAlive(mem *member, c *claim, direct bool) {
	if c.inc <= mem.inc {
		return
	}
	boot := mem.epoch != c.epoch && mem.epoch != 0
	wasHeld := m.restarting(mem)
	known := mem.inc > 0
	m.accept(mem, c.inc, c.epoch)
	mem.hold = longAgo
	if c.hold > 0 {
		mem.hold = m.now + c.hold
		m.activate(mem)
	}
	if known {
		// A member first heard of is no news: the others hear of it themselves,
		// and a thousand joins would be a storm.
		m.enqueue(mem, claim{state: Alive, inc: c.inc})
	}
	switch {
	case mem.unheard && mem.state == Unreachable:
		if !direct {
			m.hurry(mem)
		}
	case mem.state != Alive:
		m.backAlive(mem, direct)
	case c.hold > 0:
		m.report(mem, Alive, "announced a restart")
	case boot:
		m.report(mem, Alive, "restarted")
	case wasHeld:
		m.report(mem, Alive, "took back an announced restart")
	}
}

func (m *Machine) backAlive(mem *member, direct bool) {
	was := mem.state
	why := "refuted what was said of it"
	if was == Left {
		why = "came back after it had left"
	}
	mem.unheard = false
	m.move(mem, Alive, why)
	if was == Unreachable {
		m.expectHeal(mem)
	}
	if !direct {
		m.hurry(mem)
	}
}

// accept takes over a newer incarnation; what was said of the older is void.
func (m *Machine) accept(mem *member, inc, epoch uint64) { mem.inc, mem.epoch = inc, epoch }

func (m *Machine) applyAccusation(mem *member, c *claim) {
	if c.by == m.me.id || c.by == c.id {
		return
	}
	if by := m.members[c.by]; by == nil || by.state == Left {
		m.stats.Strangers++
		return
	}
	if c.health > HealthAccuseMax {
		m.stats.Gagged++
		return
	}
	if c.inc < mem.inc {
		return
	}
	if c.inc > mem.inc {
		m.outdated(mem, c)
	}
	if mem.state > Suspect {
		return
	}
	if m.now-mem.directAt < m.evidenceWindow(c.state) {
		if !mem.hasTell {
			m.tell(mem, *c)
		}
		return
	}
	m.suspect(mem, accuser{c.by, c.health})
}

// outdated: the accusation is of an incarnation unknown here, so the member was
// alive with it meanwhile. An unreachable one stays so: it is probed anyway.
func (m *Machine) outdated(mem *member, c *claim) {
	if mem.state == Unreachable {
		m.accept(mem, c.inc, c.epoch)
		m.hurry(mem)
		return
	}
	m.applyAlive(mem, &claim{state: Alive, inc: c.inc, epoch: c.epoch}, true)
}

// evidenceWindow is how long before its arrival the silence began, at the
// least, that a claim speaks of.
func (m *Machine) evidenceWindow(s State) Instant {
	if s == Unreachable {
		return m.cfg.ProbeInterval + m.cfg.SuspicionMin
	}
	return m.cfg.ProbeInterval
}

func (m *Machine) applyLeft(mem *member, inc, epoch uint64) {
	if inc < mem.inc || mem.state == Left {
		return
	}
	m.accept(mem, inc, epoch)
	m.endProbe(mem)
	mem.hold, mem.unheard, mem.hasTell = longAgo, false, false
	m.move(mem, Left, "it said that it leaves")
	m.enqueue(mem, claim{state: Left, inc: inc})
}
