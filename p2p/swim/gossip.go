package swim

import "slices"

// news is a claim on its way to the others.
type news struct {
	mem  *member
	c    claim // id, epoch and hold are filled in when it is sent
	sent int
}

// current: the member is still what the news says.
func (n *news) current() bool {
	if n.mem.forgotten || n.mem.inc != n.c.inc {
		return false
	}
	return n.c.state == n.mem.state || n.c.state == Alive && n.mem.unheard
}

// enqueue makes a claim known to the others.
func (m *Machine) enqueue(mem *member, c claim) {
	if len(m.queue) >= queueMax {
		m.tidyQueue()
	}
	if len(m.queue) >= queueMax {
		m.queue = m.queue[:queueMax-1]
		m.stats.Refused++
	}
	m.queue = append(m.queue, news{mem: mem, c: c})
}

// tidyQueue drops what is outdated or was sent often enough, and puts what was
// sent least first.
func (m *Machine) tidyQueue() {
	limit := m.retransmits()
	m.queue = slices.DeleteFunc(m.queue, func(n news) bool { return n.sent >= limit || !n.current() })
	slices.SortStableFunc(m.queue, func(a, b news) int { return a.sent - b.sent })
}

// gossip sends news to a few members, at most once per GossipInterval.
func (m *Machine) gossip() {
	if len(m.queue) == 0 || m.now < m.gossipedAt+m.cfg.GossipInterval {
		return
	}
	m.tidyQueue()
	if len(m.queue) == 0 {
		return
	}
	m.gossipedAt = m.now
	m.pick(m.cfg.GossipFanout, func(x *member) bool { return x.state <= Suspect }, func(x *member) {
		m.send(x, &message{kind: kindGossip})
	})
}

// send writes a packet: head, what this member must hear, news, and a little of
// the table.
func (m *Machine) send(to *member, msg *message) {
	msg.sender = sender{state: m.me.state, inc: m.me.inc, epoch: m.me.epoch, hold: m.me.hold - m.now, health: uint8(m.health)}
	b := appendHead(make([]byte, 0, 256), msg)
	p := piggyback{countAt: len(b)}
	b = append(b, 0) // count of claims: below 128, so one byte
	b = m.addTold(b, &p, to)
	b = m.addNews(b, &p, to)
	b = m.addBackground(b, &p, to)
	b[p.countAt] = byte(p.count)
	m.out.Send = append(m.out.Send, Packet{To: to.id, Payload: b})
}

// piggyback counts the claims of a packet. Claims take at least 6 bytes, hence
// countMax keeps the count within one byte.
type piggyback struct {
	countAt, count int
}

const countMax = 127

// add appends a claim if it fits.
func (p *piggyback) add(b []byte, c *claim) ([]byte, bool) {
	if p.count == countMax {
		return b, false
	}
	longer := appendClaim(b, c)
	if len(longer)-p.countAt-1 > PiggybackBytesMax {
		return b, false
	}
	p.count++
	return longer, true
}

// addTold: a member that is not alive here learns so first.
func (m *Machine) addTold(b []byte, p *piggyback, to *member) []byte {
	c, ok := to.tell, to.hasTell
	if !ok && (to.state == Suspect || to.state == Unreachable) {
		c, ok = m.rowClaim(to)
	}
	to.hasTell = false
	if ok {
		b, _ = p.add(b, &c)
	}
	return b
}

func (m *Machine) addNews(b []byte, p *piggyback, to *member) []byte {
	if len(m.queue) == 0 {
		return b
	}
	m.tidyQueue()
	for i := range m.queue {
		n := &m.queue[i]
		if n.mem == to {
			n.sent++ // what it should know of this was told above
			continue
		}
		c := n.c
		c.id, c.epoch, c.hold = n.mem.id, n.mem.epoch, n.mem.hold-m.now
		var ok bool
		if b, ok = p.add(b, &c); !ok {
			break
		}
		n.sent++
	}
	return b
}

// addBackground repeats rows of the table in turn. Lost gossip, and joins in
// any order, are repaired by this.
func (m *Machine) addBackground(b []byte, p *piggyback, to *member) []byte {
	for range min(backgroundMax, len(m.sorted)) {
		if m.background >= len(m.sorted) {
			m.background = 0
		}
		mem := m.sorted[m.background]
		m.background++
		if mem == to {
			continue
		}
		if c, ok := m.rowClaim(mem); ok {
			b, _ = p.add(b, &c)
		}
	}
	return b
}

// rowClaim is a row of the table as a claim; false if there is nothing to say:
// nothing is known, or it would be an accusation in bad health.
func (m *Machine) rowClaim(mem *member) (claim, bool) {
	c := claim{state: mem.state, id: mem.id, inc: mem.inc, epoch: mem.epoch, hold: mem.hold - m.now}
	switch mem.state {
	case Suspect:
		for _, a := range mem.suspicion.accusers {
			if a.id != m.me.id || !mem.suspicion.private {
				c.by, c.health = a.id, a.health
				return c, true
			}
		}
		return c, false
	case Unreachable:
		c.by, c.health = m.me.id, uint8(m.health)
		return c, !mem.unheard && m.mayAccuse()
	}
	return c, mem.inc > 0
}
