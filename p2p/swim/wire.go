package swim

import (
	"encoding/binary"
	"errors"
	"time"
)

const wireVersion = 1

type kind uint8

const (
	kindPing kind = iota + 1
	kindAck
	kindPingReq
	kindVouch
	kindNack
	kindGossip
)

// sender is the part of every packet that speaks of who sent it.
type sender struct {
	state  State // Alive or Left
	inc    uint64
	epoch  uint64
	hold   time.Duration
	health uint8
}

// message is a decoded packet. Which of the middle fields count depends on kind.
type message struct {
	kind   kind
	sender sender
	seq    uint64
	wait   time.Duration // ping-req
	target ID            // ping-req, vouch
	inc    uint64        // vouch
	epoch  uint64        // vouch
	hold   time.Duration // vouch
	claims []claim
}

// claim is what somebody says about a member.
type claim struct {
	state  State
	id     ID
	inc    uint64
	epoch  uint64
	hold   time.Duration // Alive: rest of an announced restart
	by     ID            // Suspect, Unreachable: the accuser
	health uint8         // of the accuser
}

func appendID(b []byte, id ID) []byte {
	b = binary.AppendUvarint(b, uint64(len(id)))
	return append(b, id...)
}

func appendMillis(b []byte, d time.Duration) []byte {
	return binary.AppendUvarint(b, uint64((max(d, 0)+time.Millisecond-1)/time.Millisecond))
}

// appendHead writes all of a packet but its claims.
func appendHead(b []byte, m *message) []byte {
	b = append(b, wireVersion, byte(m.kind), byte(m.sender.state))
	b = binary.AppendUvarint(b, m.sender.inc)
	b = binary.AppendUvarint(b, m.sender.epoch)
	b = appendMillis(b, m.sender.hold)
	b = append(b, m.sender.health)
	if m.kind == kindGossip {
		return b
	}
	b = binary.AppendUvarint(b, m.seq)
	switch m.kind {
	case kindPingReq:
		b = appendMillis(b, m.wait)
		b = appendID(b, m.target)
	case kindVouch:
		b = appendID(b, m.target)
		b = binary.AppendUvarint(b, m.inc)
		b = binary.AppendUvarint(b, m.epoch)
		b = appendMillis(b, m.hold)
	}
	return b
}

func appendClaim(b []byte, c *claim) []byte {
	b = append(b, byte(c.state))
	b = appendID(b, c.id)
	b = binary.AppendUvarint(b, c.inc)
	b = binary.AppendUvarint(b, c.epoch)
	switch c.state {
	case Alive:
		b = appendMillis(b, c.hold)
	case Suspect, Unreachable:
		b = appendID(b, c.by)
		b = append(b, c.health)
	}
	return b
}

var errMalformed = errors.New("swim: malformed packet")

// reader takes a packet apart; after the first failure it yields zeros and ok
// stays false.
type reader struct {
	rest  []byte
	ok    bool
	known map[ID]*member
}

func (r *reader) byte() uint8 {
	if len(r.rest) == 0 {
		r.ok = false
		return 0
	}
	v := r.rest[0]
	r.rest = r.rest[1:]
	return v
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > IncarnationMax {
		r.ok, r.rest = false, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// millis reads a duration of at most RestartHoldMax, the largest on the wire.
func (r *reader) millis() time.Duration {
	v := r.number()
	if v > uint64(RestartHoldMax/time.Millisecond) {
		r.ok = false
		return 0
	}
	return time.Duration(v) * time.Millisecond
}

func (r *reader) id() ID {
	n := r.number()
	if n == 0 || n > IDBytesMax || n > uint64(len(r.rest)) {
		r.ok, r.rest = false, nil
		return ""
	}
	name := r.rest[:n]
	r.rest = r.rest[n:]
	if mem := r.known[ID(name)]; mem != nil {
		return mem.id
	}
	return ID(name)
}

func (r *reader) state() State {
	s := State(r.byte())
	if s > Left {
		r.ok = false
		return 0
	}
	return s
}

// decode refuses whatever encode would not have written, save for varints
// that are longer than need be. Names of known members are not copied.
func decode(payload []byte, known map[ID]*member) (message, error) {
	var m message
	if len(payload) > PacketBytesMax {
		return m, errMalformed
	}
	r := reader{rest: payload, ok: true, known: known}
	version := r.byte()
	m.kind = kind(r.byte())
	m.sender = sender{state: r.state(), inc: r.number(), epoch: r.number(), hold: r.millis(), health: r.byte()}
	if version != wireVersion || m.kind < kindPing || m.kind > kindGossip || (m.sender.state != Alive && m.sender.state != Left) {
		return m, errMalformed
	}
	if m.kind != kindGossip {
		m.seq = r.number()
	}
	switch m.kind {
	case kindPingReq:
		m.wait, m.target = r.millis(), r.id()
	case kindVouch:
		m.target, m.inc, m.epoch, m.hold = r.id(), r.number(), r.number(), r.millis()
	}
	m.claims = r.claims()
	if !r.ok || len(r.rest) != 0 {
		return message{}, errMalformed
	}
	return m, nil
}

func (r *reader) claims() []claim {
	const leastBytes = 5 // state, id of one byte, incarnation, epoch
	n := r.number()
	if !r.ok || n > uint64(len(r.rest)/leastBytes) {
		r.ok = false
		return nil
	}
	if n == 0 {
		return nil
	}
	claims := make([]claim, 0, n)
	for range n {
		c := claim{state: r.state(), id: r.id(), inc: r.number(), epoch: r.number()}
		switch c.state {
		case Alive:
			c.hold = r.millis()
		case Suspect, Unreachable:
			c.by, c.health = r.id(), r.byte()
		}
		if !r.ok {
			return nil
		}
		claims = append(claims, c)
	}
	return claims
}
