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
func (r *Record) Encode() []byte { return r.AppendTo(make([]byte, 0, r.orEmpty().sizeHint())) }

// AppendTo is Encode into the room behind b.
func (r *Record) AppendTo(b []byte) []byte {
	r = r.orEmpty()
	e := &encoder{out: append(b, formatVersion), replicas: slices.SortedFunc(maps.Keys(r.Vector), ReplicaID.Compare)}
	e.record(r)
	return e.out
}

// sizeHint is about what Encode needs, rather more, and never less than half.
func (r *Record) sizeHint() int {
	const perMessage = 32
	n := perMessage*(1+len(r.Vector)) + len(r.unknown)
	for _, o := range r.Objects {
		n += 3*perMessage + len(o.unknown)
		for path, g := range o.Registers {
			n += perMessage + len(path) + len(g.Value)
			for _, s := range g.Siblings {
				n += perMessage + len(s.Value)
			}
			if g.more != nil {
				n += perMessage*len(g.more.losers) + len(g.more.unknown)
			}
		}
	}
	return n
}

type encoder struct {
	out      []byte
	replicas []ReplicaID // ascending
	last     int         // index found last: neighbours are often by one replica
}

func (e *encoder) index(r ReplicaID) uint64 {
	if e.last >= len(e.replicas) || e.replicas[e.last] != r {
		e.last, _ = slices.BinarySearchFunc(e.replicas, r, ReplicaID.Compare)
	}
	return uint64(e.last)
}

// begin opens a message whose length is not known yet; end closes it.
func (e *encoder) begin(number protowire.Number) (start int) {
	e.out = append(protowire.AppendTag(e.out, number, protowire.BytesType), 0)
	return len(e.out)
}

// end fills in the length, for which begin left one byte: most messages are
// shorter than 128 bytes, the others move up.
func (e *encoder) end(start int) {
	n := len(e.out) - start
	if size := protowire.SizeVarint(uint64(n)); size > 1 {
		e.out = append(e.out, make([]byte, size-1)...)
		copy(e.out[start+size-1:], e.out[start:start+n])
	}
	protowire.AppendVarint(e.out[:start-1], uint64(n))
}

func (e *encoder) bytes(number protowire.Number, b []byte) {
	e.out = protowire.AppendBytes(protowire.AppendTag(e.out, number, protowire.BytesType), b)
}

func (e *encoder) number(number protowire.Number, v uint64) {
	if v != 0 {
		e.out = protowire.AppendVarint(protowire.AppendTag(e.out, number, protowire.VarintType), v)
	}
}

func (e *encoder) record(r *Record) {
	for _, replica := range e.replicas {
		start := e.begin(fieldRecordVector)
		e.bytes(fieldEntryReplica, replica[:])
		e.number(fieldEntryCounter, r.Vector[replica])
		e.end(start)
	}
	for _, uid := range slices.SortedFunc(maps.Keys(r.Objects), UID.Compare) {
		start := e.begin(fieldRecordObject)
		e.object(r.Objects[uid])
		e.end(start)
	}
	e.out = append(e.out, r.unknown...)
}

func (e *encoder) object(o *Object) {
	e.bytes(fieldObjectUID, o.UID[:])
	e.write(fieldObjectBirth, wireWrite{Write: o.Birth})
	if o.Dead != nil {
		e.write(fieldObjectDead, wireWrite{Write: *o.Dead})
	}
	paths := make([]string, 0, len(o.Registers))
	for path := range o.Registers {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		start := e.begin(fieldObjectRegister)
		e.register(path, o.Registers[path])
		e.end(start)
	}
	e.out = append(e.out, o.unknown...)
}

func (e *encoder) register(path string, g Register) {
	e.out = protowire.AppendString(protowire.AppendTag(e.out, fieldRegisterPath, protowire.BytesType), path)
	if g.plain() {
		e.write(fieldRegisterWrite, wireWrite{Write: g.Write, value: g.Value})
		return
	}
	var room [SiblingsMax + 1]wireWrite
	for _, w := range g.wireWrites(room[:0]) {
		e.write(fieldRegisterWrite, w)
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

func (e *encoder) write(number protowire.Number, w wireWrite) {
	start := e.begin(number)
	e.number(fieldWriteReplica, e.index(w.Dot.Replica))
	e.number(fieldWriteCounter, w.Dot.Counter)
	e.number(fieldWriteTime, w.Stamp.Time)
	e.number(fieldWriteRank, w.Stamp.Rank)
	if w.value != nil {
		e.bytes(fieldWriteValue, w.value)
	}
	e.number(fieldWriteKind, w.kind)
	e.end(start)
}
