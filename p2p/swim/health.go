package swim

// Lifeguard's local health: a machine that gets late answers, or late ticks,
// doubts itself before it doubts others. Unlike Lifeguard's, its score rises for
// a failed probe only once the accused, or the helper that owes a nack, proves
// to be alive. Charged at once, the lone survivor of a mass failure took itself
// for sick and needed 7.7 s instead of 2.6 s to see four deaths.

// ail raises the score, at most to HealthMax.
func (m *Machine) ail(by int) {
	m.health = min(m.health+by, m.cfg.HealthMax)
	m.ailedAt = m.now
}

// improve lowers the score by one: an ack came in time.
func (m *Machine) improve() { m.health = max(m.health-1, 0) }

// heal lowers the score of a machine that saw nothing wrong for ten intervals.
// Without it, a lone survivor, whom nobody acks, would stay slow for good.
func (m *Machine) heal() {
	if m.health > 0 && m.now-m.ailedAt >= 10*m.cfg.ProbeInterval {
		m.health--
		m.ailedAt = m.now
	}
}

// scale is what timeouts, intervals and suspicions are multiplied with.
func (m *Machine) scale() Instant { return Instant(1 + m.health) }

// Slow reports whether this machine takes itself for slow: then it waits longer before it
// doubts others, so that what it believes of them may be old.
func (m *Machine) Slow() bool { return m.health > 0 }

// mayAccuse: a machine in bad health keeps its accusations to itself.
func (m *Machine) mayAccuse() bool { return m.health <= HealthAccuseMax }

// noticePause compares the time of an event with the wake that was asked for.
// Time in which this machine did not run is not held against others: a small
// lateness moves their deadlines by as much, a large one (SIGSTOP, suspend, a
// starved host) starts all probes and suspicions afresh.
func (m *Machine) noticePause() {
	if m.wake == Never {
		return
	}
	late := m.now - m.wake
	if late <= m.cfg.ProbeTimeout {
		return
	}
	if late <= 5*m.cfg.ProbeTimeout {
		m.ail(1)
		m.shift(late)
		return
	}
	m.stats.Pauses++
	m.ail(3)
	m.relays = m.relays[:0]
	for _, mem := range m.active {
		if mem.probe.on {
			m.endProbe(mem)
			m.hurry(mem)
		}
		if mem.state == Suspect {
			mem.suspicion.start = m.now
			m.hurry(mem)
		}
	}
	if m.intervalAt != Never {
		m.intervalAt = m.now
	}
}

func (m *Machine) shift(late Instant) {
	for _, mem := range m.active {
		mem.probe.askAt += late
		mem.probe.failAt += late
		mem.suspicion.start += late
	}
	for i := range m.relays {
		m.relays[i].until += late
	}
}
