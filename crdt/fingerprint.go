package crdt

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
)

// Fingerprint is 128 bits that two states share only if they are equal. Sums of
// them are taken modulo 2^128, so that a sum can follow changes and does not
// depend on their order. It guards against faults, not against forgers: who may
// write to the cluster can make two states of one sum, and gains nothing by it.
type Fingerprint struct{ High, Low uint64 }

// Add is the sum of two fingerprints.
func (f Fingerprint) Add(o Fingerprint) Fingerprint {
	low, carry := bits.Add64(f.Low, o.Low, 0)
	high, _ := bits.Add64(f.High, o.High, carry)
	return Fingerprint{high, low}
}

// Sub takes o out of a sum that it is in.
func (f Fingerprint) Sub(o Fingerprint) Fingerprint {
	low, borrow := bits.Sub64(f.Low, o.Low, 0)
	high, _ := bits.Sub64(f.High, o.High, borrow)
	return Fingerprint{high, low}
}

// Fingerprint is that of the live objects under a key, zero if there are none.
// Vectors and tombstones are left out: of two nodes that agree, one may have
// purged what the other has not.
func (r *Record) Fingerprint(key string) Fingerprint {
	live := r.live()
	if len(live) == 0 {
		return Fingerprint{}
	}
	e := &encoder{out: append(make([]byte, 0, len(key)+r.sizeHint()), key...), replicas: writersOf(live)}
	e.out = append(e.out, 0)
	for _, w := range e.replicas {
		e.out = append(e.out, w[:]...)
	}
	for _, o := range live {
		start := e.begin(fieldRecordObject)
		e.object(o)
		e.end(start)
	}
	sum := sha256.Sum256(e.out)
	return Fingerprint{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
}

// live lists the live objects by UID.
func (r *Record) live() []*Object {
	var live []*Object
	for _, o := range r.orEmpty().Objects {
		if o.Dead == nil {
			live = append(live, o)
		}
	}
	slices.SortFunc(live, func(a, b *Object) int { return a.UID.Compare(b.UID) })
	return live
}

// writersOf lists the replicas whose writes the objects show, ascending.
func writersOf(objects []*Object) []ReplicaID {
	var writers []ReplicaID
	note := func(w Write) {
		if i, has := slices.BinarySearchFunc(writers, w.Dot.Replica, ReplicaID.Compare); !has {
			writers = slices.Insert(writers, i, w.Dot.Replica)
		}
	}
	for _, o := range objects {
		note(o.Birth)
		for _, g := range o.Registers {
			note(g.Write)
			for _, s := range g.Siblings {
				note(s.Write)
			}
			if g.more != nil {
				for _, s := range g.more.losers {
					note(s.Write)
				}
			}
		}
	}
	return writers
}

// Alike reports whether a and b have equal live objects.
func Alike(a, b *Record) bool { return slices.EqualFunc(a.live(), b.live(), equalObject) }
