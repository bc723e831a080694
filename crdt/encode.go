package crdt

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// formatVersion is the first byte of an encoded record. The rest is protobuf
// wire format, canonical: equal records have equal bytes.
//
//	record   = 1: vector entry*  by replica    2: object*  by UID
//	entry    = 1: replica, 16 bytes            2: counter
//	object   = 1: UID, 16 bytes                2: birth, a write
//	           3: death, a write               4: register*  by path
//	register = 1: path                         2: write*  greatest first
//	write    = 1: index of the replica among the vector entries
//	           2: counter   3: time   4: rank  5: value; missing if absent
//	           6: 1 if of the winner's value, 2 if settled (see Register)
//
// Numbers that are 0 are left out.
const formatVersion = 1

const (
	fieldRecordVector = 1
	fieldRecordObject = 2

	fieldEntryReplica = 1
	fieldEntryCounter = 2

	fieldObjectUID      = 1
	fieldObjectBirth    = 2
	fieldObjectDead     = 3
	fieldObjectRegister = 4

	fieldRegisterPath  = 1
	fieldRegisterWrite = 2

	fieldWriteReplica = 1
	fieldWriteCounter = 2
	fieldWriteTime    = 3
	fieldWriteRank    = 4
	fieldWriteValue   = 5
	fieldWriteKind    = 6
)

const (
	kindShown   = 0 // the winner or a sibling
	kindEcho    = 1
	kindSettled = 2
)

// Encode returns the record's canonical bytes.
func (r *Record) Encode() []byte {
	r = r.orEmpty()
	e := newEncoder(r)
	e.out = append(make([]byte, 0, e.recordLen(r)), formatVersion)
	e.record(r)
	return e.out
}

// encodedLen is len(r.Encode()).
func (r *Record) encodedLen() int { return newEncoder(r).recordLen(r) }

// encoder knows the replicas' indices. Its ...Len methods mirror its writing
// ones, so that Encode allocates once and needs no second copy.
type encoder struct {
	out      []byte
	replicas []ReplicaID
}

func newEncoder(r *Record) *encoder {
	return &encoder{replicas: slices.SortedFunc(maps.Keys(r.Vector), ReplicaID.Compare)}
}

// index finds r among the replicas; there are few.
func (e *encoder) index(r ReplicaID) uint64 {
	i, _ := slices.BinarySearchFunc(e.replicas, r, ReplicaID.Compare)
	return uint64(i)
}

func messageLen(n int) int { return 1 + protowire.SizeBytes(n) } // every field number is below 16

func numberLen(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func (e *encoder) message(number protowire.Number, n int) {
	e.out = protowire.AppendTag(e.out, number, protowire.BytesType)
	e.out = protowire.AppendVarint(e.out, uint64(n))
}

func (e *encoder) number(number protowire.Number, v uint64) {
	if v != 0 {
		e.out = protowire.AppendTag(e.out, number, protowire.VarintType)
		e.out = protowire.AppendVarint(e.out, v)
	}
}

func (e *encoder) recordLen(r *Record) int {
	n := 1 + len(r.unknown)
	for _, counter := range r.Vector {
		n += messageLen(vectorEntryLen(counter))
	}
	for _, o := range r.Objects {
		n += messageLen(e.objectLen(o))
	}
	return n
}

func (e *encoder) record(r *Record) {
	for _, replica := range e.replicas {
		e.message(fieldRecordVector, vectorEntryLen(r.Vector[replica]))
		e.message(fieldEntryReplica, len(replica))
		e.out = append(e.out, replica[:]...)
		e.number(fieldEntryCounter, r.Vector[replica])
	}
	for _, uid := range slices.SortedFunc(maps.Keys(r.Objects), UID.Compare) {
		o := r.Objects[uid]
		e.message(fieldRecordObject, e.objectLen(o))
		e.object(o)
	}
	e.out = append(e.out, r.unknown...)
}

func vectorEntryLen(counter uint64) int {
	return messageLen(len(ReplicaID{})) + numberLen(counter)
}

func (e *encoder) objectLen(o *Object) int {
	n := messageLen(len(o.UID)) + messageLen(e.writeLen(o.Birth)) + len(o.unknown)
	if o.Dead != nil {
		n += messageLen(e.writeLen(*o.Dead))
	}
	for path, g := range o.Registers {
		n += messageLen(e.registerLen(path, g))
	}
	return n
}

func (e *encoder) object(o *Object) {
	e.message(fieldObjectUID, len(o.UID))
	e.out = append(e.out, o.UID[:]...)
	e.message(fieldObjectBirth, e.writeLen(o.Birth))
	e.write(o.Birth)
	if o.Dead != nil {
		e.message(fieldObjectDead, e.writeLen(*o.Dead))
		e.write(*o.Dead)
	}
	for _, path := range slices.Sorted(maps.Keys(o.Registers)) {
		g := o.Registers[path]
		e.message(fieldObjectRegister, e.registerLen(path, g))
		e.register(path, g)
	}
	e.out = append(e.out, o.unknown...)
}

func (e *encoder) registerLen(path string, g Register) int {
	n := messageLen(len(path)) + len(g.unknown())
	var room [SiblingsMax + 1]wireWrite
	for _, w := range g.wireWrites(room[:0]) {
		n += messageLen(e.wireWriteLen(w))
	}
	return n
}

func (e *encoder) register(path string, g Register) {
	e.message(fieldRegisterPath, len(path))
	e.out = append(e.out, path...)
	var room [SiblingsMax + 1]wireWrite
	for _, w := range g.wireWrites(room[:0]) {
		e.message(fieldRegisterWrite, e.wireWriteLen(w))
		e.write(w.Write)
		if w.value != nil {
			e.message(fieldWriteValue, len(w.value))
			e.out = append(e.out, w.value...)
		}
		e.number(fieldWriteKind, w.kind)
	}
	e.out = append(e.out, g.unknown()...)
}

// wireWrite is a kept write as it is encoded: an echo does not repeat the value.
type wireWrite struct {
	Write
	value []byte
	kind  uint64
}

// wireWrites lists the kept writes, greatest first.
func (g Register) wireWrites(out []wireWrite) []wireWrite {
	out = append(out, wireWrite{Write: g.Write, value: g.Value})
	for _, s := range g.Siblings {
		out = append(out, wireWrite{Write: s.Write, value: s.Value})
	}
	if g.more == nil {
		return out
	}
	for _, s := range g.more.losers {
		w := wireWrite{Write: s.Write, kind: kindEcho}
		if s.settled {
			w.kind = kindSettled
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b wireWrite) int { return b.compare(a.Write) })
	return out
}

func (e *encoder) writeLen(w Write) int {
	return numberLen(e.index(w.Dot.Replica)) + numberLen(w.Dot.Counter) + numberLen(w.Stamp.Time) + numberLen(w.Stamp.Rank)
}

func (e *encoder) wireWriteLen(w wireWrite) int {
	n := e.writeLen(w.Write) + numberLen(w.kind)
	if w.value != nil {
		n += messageLen(len(w.value))
	}
	return n
}

func (e *encoder) write(w Write) {
	e.number(fieldWriteReplica, e.index(w.Dot.Replica))
	e.number(fieldWriteCounter, w.Dot.Counter)
	e.number(fieldWriteTime, w.Stamp.Time)
	e.number(fieldWriteRank, w.Stamp.Rank)
}
