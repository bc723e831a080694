package crdt

// ReserveBlock is how many counters and Lamport times one reservation covers.
const ReserveBlock = 4096

// Marks are what is durable of a HighWater: no counter and no time of this
// replica beyond them was ever issued.
type Marks struct{ Counter, Time uint64 }

// HighWater issues the writes of one replica so that a crash never makes it
// issue one twice (I4): numbers come from a block whose end is on disk first,
// and a restart begins after the block.
//
//	issued(d) ⇒ d.Counter <= persisted.Counter ∧ stamp(d).Time <= persisted.Time
//
// It is a value: copy it to look ahead. The zero value belongs to a new replica
// with nothing reserved.
type HighWater struct {
	last     Marks // issued or, for Time, witnessed
	reserved Marks
}

// Resume continues from the marks that were last persisted. All of their block
// counts as issued.
func Resume(persisted Marks) HighWater {
	return HighWater{last: persisted, reserved: persisted}
}

// Reserve takes the next block. The caller persists the marks before it keeps
// the returned HighWater.
func (h HighWater) Reserve() (HighWater, Marks) {
	h.reserved = Marks{
		Counter: max(h.reserved.Counter, min(h.last.Counter+ReserveBlock, CounterMax)),
		Time:    max(h.reserved.Time, min(h.last.Time+ReserveBlock, TimeMax)),
	}
	return h, h.reserved
}

// Left returns how many writes can be issued before the next Reserve.
func (h HighWater) Left() uint64 {
	if h.last.Time >= h.reserved.Time {
		return 0
	}
	return min(h.reserved.Counter-h.last.Counter, h.reserved.Time-h.last.Time)
}

// Witness moves the Lamport clock to the greatest time seen (Record.Time), so
// that the next write comes after it. It may use up the block.
func (h *HighWater) Witness(time uint64) { h.last.Time = max(h.last.Time, min(time, TimeMax)) }

// Next issues a write of the replica, with rank 0; false if Left is 0.
func (h *HighWater) Next(replica ReplicaID) (Write, bool) {
	if h.Left() == 0 {
		return Write{}, false
	}
	h.last.Counter++
	h.last.Time++
	return Write{
		Dot:   Dot{Replica: replica, Counter: h.last.Counter},
		Stamp: Stamp{Time: h.last.Time, Replica: replica},
	}, true
}
