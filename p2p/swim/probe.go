package swim

import "slices"

// probe is the question to one member; there is at most one at a time.
type probe struct {
	on bool
	// full: helpers are asked after askAt, and failure at failAt counts. A
	// probe of a suspect or unreachable member is otherwise one bare ping.
	full, asked bool
	seq         uint64
	at          Instant
	askAt       Instant
	failAt      Instant
}

// relay is a probe under way for somebody else.
type relay struct {
	asker, target *member
	askerSeq, seq uint64
	until         Instant
}

// probesPerInterval makes a round four intervals long while ProbesMax allows.
// In larger clusters it is the number of probers that finds a dead member soon:
// with p probes each, nobody looks for k intervals with probability e^-(pk).
func (m *Machine) probesPerInterval() int {
	return min(max((m.size()-1+3)/4, 1), m.cfg.ProbesMax)
}

// interval begins the next probes: owed ones first, then the round goes on, and
// one unreachable member is tried.
func (m *Machine) interval() {
	m.heal()
	budget := m.probesPerInterval()
	m.owed = slices.DeleteFunc(m.owed, func(mem *member) bool {
		if mem.state == Alive && m.slowed(mem) {
			return false
		}
		if mem.state == Alive && budget == 0 {
			return false
		}
		mem.isOwed = false
		if mem.state == Alive && !mem.probe.on {
			budget--
			m.startProbe(mem, true)
		}
		return true
	})
	for range m.ring {
		if budget == 0 {
			break
		}
		if m.probeNext() {
			budget--
		}
	}
	m.probeUnreachable()
	m.intervalAt = m.now + m.cfg.ProbeInterval*m.scale()
}

// probeNext advances the round by one member, false if that needs no probe now.
func (m *Machine) probeNext() bool {
	if m.cursor >= len(m.ring) {
		m.cursor = 0
	}
	mem := m.ring[m.cursor]
	m.cursor++
	if mem.state > Suspect || mem.probe.on || mem.isOwed {
		return false
	}
	if m.slowed(mem) {
		mem.isOwed = true
		m.owed = append(m.owed, mem)
		return false
	}
	m.startProbe(mem, true)
	return true
}

// slowed: other traffic is fresh, so one probe per SlowInterval is enough.
func (m *Machine) slowed(mem *member) bool {
	return m.now-mem.trafficAt < m.cfg.SlowInterval && m.now-mem.probedAt < m.cfg.SlowInterval
}

// probeUnreachable pings the next unreachable member, so that a heal is noticed.
func (m *Machine) probeUnreachable() {
	if m.counts[Unreachable] == 0 {
		return
	}
	for range m.ring {
		if m.slowCursor >= len(m.ring) {
			m.slowCursor = 0
		}
		mem := m.ring[m.slowCursor]
		m.slowCursor++
		if mem.state == Unreachable && !mem.probe.on {
			m.startProbe(mem, false)
			return
		}
	}
}

// hurry has a member probed as soon as outstandingMax allows.
func (m *Machine) hurry(mem *member) {
	if !mem.isUrgent && !m.left {
		mem.isUrgent = true
		m.urgent = append(m.urgent, mem)
	}
}

func (m *Machine) pump() {
	n := 0
	for n < len(m.urgent) && m.outstanding < outstandingMax {
		mem := m.urgent[n]
		n++
		mem.isUrgent = false
		if mem.state != Left && !mem.probe.on {
			m.startProbe(mem, mem.state <= Suspect)
		} else if mem.hasTell {
			m.send(mem, &message{kind: kindGossip})
		}
	}
	m.urgent = slices.Delete(m.urgent, 0, n)
}

func (m *Machine) startProbe(mem *member, full bool) {
	m.seq++
	m.stats.Probes++
	m.outstanding++
	mem.probedAt = m.now
	mem.probe = probe{
		on: true, full: full, seq: m.seq, at: m.now,
		askAt:  m.now + m.cfg.ProbeTimeout*m.scale(),
		failAt: m.now + m.cfg.ProbeInterval*m.scale(),
	}
	if !full {
		mem.probe.failAt = m.now + m.cfg.ProbeTimeout
	}
	m.activate(mem)
	m.send(mem, &message{kind: kindPing, seq: m.seq})
}

func (m *Machine) endProbe(mem *member) {
	if mem.probe.on {
		mem.probe = probe{}
		m.outstanding--
	}
}

// tickActive looks at everybody who waits for a time.
func (m *Machine) tickActive() {
	for i := 0; i < len(m.active); i++ {
		m.tickMember(m.active[i])
	}
}

func (m *Machine) tickMember(mem *member) {
	if mem.hold != longAgo && m.now >= mem.hold {
		mem.hold = longAgo
		m.report(mem, mem.state, "the time of its announced restart is over")
	}
	if p := &mem.probe; p.on && m.now >= p.failAt {
		m.probeFailed(mem)
	} else if p.on && p.full && !p.asked && m.now >= p.askAt {
		m.askHelpers(mem)
	}
	if mem.state == Suspect && m.now >= m.verdictAt(mem) {
		m.condemn(mem)
	}
}

// askHelpers is the indirect probe. The ping is repeated, since one lost packet
// is the likeliest reason.
func (m *Machine) askHelpers(mem *member) {
	p := &mem.probe
	p.asked = true
	wait := min((p.failAt-m.now)*3/4, relayWaitMax)
	m.pick(m.cfg.IndirectProbes, func(x *member) bool { return x != mem && x.state == Alive }, func(x *member) {
		x.owesBy = p.failAt
		m.send(x, &message{kind: kindPingReq, seq: p.seq, wait: wait, target: mem.id})
	})
	m.send(mem, &message{kind: kindPing, seq: p.seq})
}

// probeFailed accuses, unless there was a sign of life since the ping.
func (m *Machine) probeFailed(mem *member) {
	p := mem.probe
	m.endProbe(mem)
	silent := mem.directAt < p.at
	switch {
	case mem.state == Alive && p.full && silent:
		m.stats.ProbesFailed++
		m.accuse(mem)
	case mem.state == Suspect:
		if p.full && silent {
			m.accuse(mem)
		}
		if mem.suspicion.witness {
			m.startProbe(mem, false)
		}
	}
}

// pick calls do for up to k members that fit, walking the ring from a random place.
func (m *Machine) pick(k int, fits func(*member) bool, do func(*member)) {
	if len(m.ring) == 0 {
		return
	}
	at := m.rand.below(len(m.ring))
	for i := 0; i < len(m.ring) && k > 0; i++ {
		if mem := m.ring[(at+i)%len(m.ring)]; fits(mem) {
			do(mem)
			k--
		}
	}
}

// relayProbe pings the target of somebody's ping-req.
func (m *Machine) relayProbe(asker *member, msg *message) {
	target := m.members[msg.target]
	if target == nil || target == asker || len(m.relays) >= relaysMax {
		m.stats.Refused++
		m.send(asker, &message{kind: kindNack, seq: msg.seq})
		return
	}
	m.seq++
	m.relays = append(m.relays, relay{asker: asker, target: target, askerSeq: msg.seq, seq: m.seq, until: m.now + msg.wait})
	m.send(target, &message{kind: kindPing, seq: m.seq})
}

// passAck vouches to those who asked for the member that just acked.
func (m *Machine) passAck(target *member, seq uint64) {
	m.relays = slices.DeleteFunc(m.relays, func(r relay) bool {
		if r.target != target || r.seq != seq {
			return false
		}
		m.send(r.asker, &message{
			kind: kindVouch, seq: r.askerSeq, target: target.id,
			inc: target.inc, epoch: target.epoch, hold: target.hold - m.now,
		})
		return true
	})
}

func (m *Machine) tickRelays() {
	m.relays = slices.DeleteFunc(m.relays, func(r relay) bool {
		if m.now < r.until {
			return false
		}
		m.send(r.asker, &message{kind: kindNack, seq: r.askerSeq})
		return true
	})
}
