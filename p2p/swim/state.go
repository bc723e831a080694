package swim

import (
	"math"
	"time"
)

// Instant is a reading of CLOCK_BOOTTIME in nanoseconds. It is handed in; no
// wall clock decides anything.
type Instant = time.Duration

// Never is the Wake of a machine that waits for nothing.
const Never Instant = math.MaxInt64

// longAgo is before every instant, and far enough from the ends of the range
// that differences do not overflow.
const longAgo Instant = math.MinInt64 / 4

// ID is a peer ID.
type ID string

// State is what this machine believes of a member.
//
//	         accusation            suspicion ran out
//	ALIVE ----------------> SUSPECT ----------------> UNREACHABLE <--- Join
//	^  ^ <------------------   |                         |    |
//	|  |  refuted, or evidence |                         |    |
//	|  +-----------------------|-------------------------+    |
//	|        a message from it, or a newer incarnation        |
//	|                          |                              |
//	|   it says that it leaves v (from every state)           |
//	+---------------------- LEFT <----------------------------+
//	  newer incarnation
//
// A joined member is unreachable until it was heard of for the first time.
type State uint8

// The states. Their order is the precedence of claims of one incarnation.
const (
	Alive State = iota
	Suspect
	Unreachable
	Left
)

func (s State) String() string {
	switch s {
	case Alive:
		return "alive"
	case Suspect:
		return "suspect"
	case Unreachable:
		return "unreachable"
	case Left:
		return "left"
	}
	return "invalid"
}

// Self is who this machine speaks for.
type Self struct {
	ID ID
	// Incarnation orders the claims about a member. The caller persists it and
	// starts each boot at the stored value + 1000, so that what was said about
	// an earlier boot is refuted by the first packet. 0 counts as 1.
	Incarnation uint64
	// Epoch counts boots. It travels with every claim, so that others know
	// which boot they see.
	Epoch uint64
}

// Output is what an event asks of the owner, in field order.
type Output struct {
	// Incarnation, if not 0, is this machine's raised incarnation. It must be
	// durable before anything in Send leaves the node.
	Incarnation uint64
	// Send are packets; best effort, loss is expected.
	Send []Packet
	// Changes are what others became, in the order in which it happened.
	Changes []Change
	// Wake is when Tick is wanted; it replaces every earlier Wake.
	Wake Instant
}

// Packet is one datagram to one member.
type Packet struct {
	To      ID
	Payload []byte
}

// Change is a move along an arrow of State. From == To means that the state
// stayed and Epoch or Restarting changed: a member came back so quickly that
// nobody missed it, announced a restart, or did not carry it out.
type Change struct {
	ID    ID
	From  State
	To    State
	Epoch uint64 // boot that this is about, 0 while unknown
	Why   string // for people; never compared
	// Restarting is whether the member has announced a restart that is still
	// within its time. It may become suspect meanwhile, not unreachable.
	Restarting bool
}

// Member is a row of the table.
type Member struct {
	ID          ID
	State       State
	Epoch       uint64 // 0 while unknown
	Incarnation uint64 // 0 while unknown
	Since       Instant
	Restarting  bool
}

// Stats counts since New.
type Stats struct {
	Malformed    uint64 // packets that do not decode
	Strangers    uint64 // packets from, and claims about or by, who was not joined
	Refused      uint64 // joins, relays and claims beyond a bound
	Probes       uint64 // pings of probes that were begun
	ProbesFailed uint64 // probes of alive members that saw no sign of life
	Accusations  uint64 // own accusations
	Gagged       uint64 // own accusations kept private because of bad health, and foreign ones not counted for it
	Refutations  uint64 // own incarnation raised
	Pauses       uint64 // times this machine found that it had been stopped
	Health       int    // score now: 0 is well
}
