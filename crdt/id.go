package crdt

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
)

// ReplicaID names one database that was never rolled back; not the node that
// owns it. It is 128 random bits, drawn when the database is made.
type ReplicaID [16]byte

// String returns the first 8 hex digits: enough to tell replicas apart in words
// to a human, not to store.
func (r ReplicaID) String() string { return hex.EncodeToString(r[:4]) }

// Compare orders replicas by their bytes.
func (r ReplicaID) Compare(o ReplicaID) int { return bytes.Compare(r[:], o[:]) }

// MarshalText returns all 32 hex digits.
func (r ReplicaID) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, r[:]), nil
}

// UnmarshalText reads what MarshalText wrote.
func (r *ReplicaID) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(r)) {
		return fmt.Errorf("replica ID %.40q: want 32 hex digits, have %d characters", text, len(text))
	}
	var id ReplicaID
	if _, err := hex.Decode(id[:], text); err != nil {
		return fmt.Errorf("replica ID %q: want 32 hex digits: %w", text, err)
	}
	*r = id
	return nil
}

// UID names one object for ever; a name that is deleted and made again gets
// another one.
type UID [16]byte

// String returns the 8-4-4-4-12 form of RFC 4122.
func (u UID) String() string {
	text := make([]byte, 0, 36)
	for i, part := range [][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, part)
	}
	return string(text)
}

// Compare orders UIDs by their bytes.
func (u UID) Compare(o UID) int { return bytes.Compare(u[:], o[:]) }

// MarshalText returns String.
func (u UID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText is ParseUID.
func (u *UID) UnmarshalText(text []byte) error {
	id, err := ParseUID(string(text))
	if err == nil {
		*u = id
	}
	return err
}

// ParseUID reads the 8-4-4-4-12 form, in either case of letters.
func ParseUID(s string) (UID, error) {
	var u UID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return UID{}, fmt.Errorf("UID %.40q: want the form 01234567-89ab-cdef-0123-456789abcdef", s)
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil {
		return UID{}, fmt.Errorf("UID %q: %w", s, err)
	}
	return u, nil
}

// Dot names one write: the Counter-th of Replica, counted from 1 over all
// records.
//
// I4: a dot is issued at most once. Two different writes under one dot would
// each hide the other for ever, so counters are reserved on disk before use
// (HighWater), and a database in doubt takes a new ReplicaID.
type Dot struct {
	Replica ReplicaID
	Counter uint64
}

// Compare orders dots by replica, and those of one replica as it issued them.
func (d Dot) Compare(o Dot) int {
	if c := d.Replica.Compare(o.Replica); c != 0 {
		return c
	}
	return cmp.Compare(d.Counter, o.Counter)
}

func (d Dot) String() string { return fmt.Sprintf("%s:%d", d.Replica, d.Counter) }

// CounterMax and TimeMax bound what is read from others, so that no sum of them
// overflows.
const (
	CounterMax = 1 << 62
	TimeMax    = 1 << 62
)

// Stamp orders writes: by Rank, then Lamport Time, then Replica. No wall clock
// takes part. Rank is 0 except in registers whose owner must outrank time: the
// home of a slot uses its term.
type Stamp struct {
	Rank, Time uint64
	Replica    ReplicaID
}

// Compare returns -1, 0 or +1 as s is before, equal to or after o.
func (s Stamp) Compare(o Stamp) int {
	return cmp.Or(cmp.Compare(s.Rank, o.Rank), cmp.Compare(s.Time, o.Time), s.Replica.Compare(o.Replica))
}

// Write is one write: its name and its place in the order. Both carry the same
// replica.
type Write struct {
	Dot   Dot
	Stamp Stamp
}

// compare is total even over writes that break I4, so that Join stays
// commutative whatever it is fed.
func (w Write) compare(o Write) int {
	return cmp.Or(w.Stamp.Compare(o.Stamp), cmp.Compare(w.Dot.Counter, o.Dot.Counter), w.Dot.Replica.Compare(o.Dot.Replica))
}

// unranked is w as the birth or death of an object: ranks order registers only.
func (w Write) unranked() Write {
	w.Stamp.Rank = 0
	return w
}

// Vector is the last write of each replica to one record. It stands for the
// exact dots {(r, v[r])}: counters run over all records, so the numbers below
// v[r] mostly belong to other keys.
type Vector map[ReplicaID]uint64

// Covers reports whether the record of v contains every write to it that the
// record of o contains (v[r] >= o[r] for all r), since records are cumulative.
func (v Vector) Covers(o Vector) bool {
	for r, n := range o {
		if v[r] < n {
			return false
		}
	}
	return true
}

// has reports whether the record of v contains d, if d is a write to it.
func (v Vector) has(d Dot) bool { return d.Counter <= v[d.Replica] }

// join returns the pointwise maximum, v itself where o adds nothing.
func (v Vector) join(o Vector) Vector {
	if v.Covers(o) {
		return v
	}
	if o.Covers(v) {
		return o
	}
	out := maps.Clone(v)
	for r, n := range o {
		out[r] = max(out[r], n)
	}
	return out
}

// with returns a copy of v that ends with d.
func (v Vector) with(d Dot) Vector {
	out := make(Vector, len(v)+1)
	maps.Copy(out, v)
	out[d.Replica] = d.Counter
	return out
}
