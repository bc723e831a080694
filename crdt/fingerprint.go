package crdt

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
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

// Fingerprint is that of the objects under a key, zero if there are none. The
// vector is left out: two nodes may keep dots of a purged object or not.
func (r *Record) Fingerprint(key string) Fingerprint {
	r = r.orEmpty()
	if len(r.Objects) == 0 {
		return Fingerprint{}
	}
	writers := Vector{}
	note := func(w Write) { writers[w.Dot.Replica] = 1 }
	for _, o := range r.Objects {
		note(o.Birth)
		if o.Dead != nil {
			note(*o.Dead)
		}
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
	e := &encoder{
		out:      append(make([]byte, 0, len(key)+r.sizeHint()), key...),
		replicas: slices.SortedFunc(maps.Keys(writers), ReplicaID.Compare),
	}
	e.out = append(e.out, 0)
	for _, w := range e.replicas {
		e.out = append(e.out, w[:]...)
	}
	for _, uid := range slices.SortedFunc(maps.Keys(r.Objects), UID.Compare) {
		start := e.begin(fieldRecordObject)
		e.object(r.Objects[uid])
		e.end(start)
	}
	sum := sha256.Sum256(e.out)
	return Fingerprint{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
}

// Alike reports whether a and b have equal objects, whatever their vectors.
func Alike(a, b *Record) bool {
	a, b = a.orEmpty(), b.orEmpty()
	return maps.EqualFunc(a.Objects, b.Objects, equalObject)
}
