package crdt

import (
	"crypto/sha256"
	"maps"
)

// Floor is the purge floor: for each replica, the counter up to which every node
// that counts is known to have all writes (1..n, unlike a Vector's exact dots).
// Floors are joined by maximum and travel with sync. Nil is the empty floor.
//
//	I3  a node purges only under its floor ⊓ contiguous(its ctx)
//
// What the floor buys: a tombstone whose birth and death are under it need not be
// kept, since whoever counts knows of the death. Who counted wrongly is no matter
// of safety: a node whose context does not cover a peer's floor compares its
// objects with that peer before it merges anything (the stale path).
//
// A floor is immutable once built.
type Floor map[ReplicaID]uint64

// FloorID names a floor in messages.
type FloorID [16]byte

// Has reports whether d is under the floor.
func (f Floor) Has(d Dot) bool { return d.Counter > 0 && d.Counter <= f[d.Replica] }

// Covers reports whether all that is under o is under f.
func (f Floor) Covers(o Floor) bool {
	for r, n := range o {
		if f[r] < n {
			return false
		}
	}
	return true
}

// Join is the pointwise maximum, f itself where o adds nothing.
func (f Floor) Join(o Floor) Floor {
	if f.Covers(o) {
		return f
	}
	out := make(Floor, max(len(f), len(o)))
	maps.Copy(out, f)
	for r, n := range o {
		out[r] = max(out[r], n)
	}
	return out
}

// Meet is the pointwise minimum.
func (f Floor) Meet(o Floor) Floor {
	out := make(Floor, min(len(f), len(o)))
	for r, n := range f {
		if low := min(n, o[r]); low > 0 {
			out[r] = low
		}
	}
	return out
}

// Encode returns the floor's canonical bytes, those of a context without
// intervals.
func (f Floor) Encode() []byte {
	c := Context{replicas: make(map[ReplicaID]coverage, len(f))}
	for r, n := range f {
		if n > 0 {
			c.replicas[r] = coverage{through: n}
		}
	}
	return c.Encode()
}

// ID is the beginning of the SHA-256 of Encode.
func (f Floor) ID() FloorID {
	sum := sha256.Sum256(f.Encode())
	return FloorID(sum[:len(FloorID{})])
}

// DecodeFloor reads what Encode wrote, within the bounds of Decode.
func DecodeFloor(b []byte) (Floor, error) {
	c, err := DecodeContext(b)
	if err != nil {
		return nil, err
	}
	if c.HasGaps() {
		return nil, invalid("floor with intervals")
	}
	return c.Contiguous(), nil
}

// CoversFloor reports whether all that is under f is in the contiguous part.
func (c *Context) CoversFloor(f Floor) bool {
	for r, n := range f {
		if c.replicas[r].through < n {
			return false
		}
	}
	return true
}

// Through is the end of the contiguous part of one replica.
func (c *Context) Through(r ReplicaID) uint64 { return c.replicas[r].through }
