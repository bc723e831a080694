package crdt

import (
	"bytes"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// DecodeBytesMax bounds the input of Decode and DecodeContext. It is laxer than
// RecordBytesMax on purpose: a join of records that Set allowed must stay
// readable, or the replicas that hold it could never merge again.
const DecodeBytesMax = 16 << 20

// ErrEncoding is the cause of every failure of Decode and DecodeContext: the
// bytes are damaged, forged or of a newer version. Fetch them again from a peer.
var ErrEncoding = errors.New("not a valid encoding")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrEncoding, fmt.Sprintf(format, args...))
}

// Decode reads what Encode wrote. It accepts only what can be a state: known
// replicas, counters within the vector, everything in order and nothing twice;
// fields of later versions are kept (see Join). It keeps no reference to b and
// allocates at most a small multiple of it.
func Decode(b []byte) (*Record, error) { return View(bytes.Clone(b)) }

// View is Decode of bytes that never change: the record's values are parts of
// them.
func View(b []byte) (*Record, error) {
	body, err := checkHeader(b)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	d := decoder{bytes: body}
	r := &Record{Vector: Vector{}, Objects: map[UID]*Object{}}
	var unknown []field
	var last UID
	err = d.fields(span{0, len(body)}, func(f wireField) error {
		switch {
		case f.is(fieldRecordVector, protowire.BytesType):
			return d.vectorEntry(f.body, r)
		case f.is(fieldRecordObject, protowire.BytesType):
			o, err := d.object(f.body)
			if err != nil {
				return fmt.Errorf("object %s: %w", o.UID, err)
			}
			if len(r.Objects) > 0 && o.UID.Compare(last) <= 0 {
				return invalid("object %s after %s", o.UID, last)
			}
			r.Objects[o.UID], last = o, o.UID
			return nil
		case f.number <= fieldRecordObject:
			return f.wrongType()
		}
		unknown = append(unknown, d.unknown(f))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	r.unknown = sortUnknown(unknown)
	return r, nil
}

// ViewVector is the Vector of a record that decodes, without the rest of it.
func ViewVector(b []byte) Vector {
	r := &Record{Vector: Vector{}}
	if len(b) == 0 {
		return r.Vector
	}
	d := decoder{bytes: b[1:]}
	_ = d.fields(span{0, len(d.bytes)}, func(f wireField) error {
		if f.number != fieldRecordVector {
			return errEnough
		}
		return d.vectorEntry(f.body, r)
	})
	return r.Vector
}

var errEnough = errors.New("all that was asked for is read")

func checkHeader(b []byte) ([]byte, error) {
	switch {
	case len(b) == 0:
		return nil, invalid("no bytes")
	case len(b) > DecodeBytesMax:
		return nil, invalid("%d bytes, at most %d", len(b), DecodeBytesMax)
	case b[0] != formatVersion:
		return nil, invalid("format version %d, this node reads %d; upgrade it", b[0], formatVersion)
	}
	return b[1:], nil
}

// decoder reads records whose values are parts of bytes. Paths are strings of
// their own: what holds on to a field's name must not hold on to all values.
type decoder struct {
	bytes    []byte
	replicas []ReplicaID
	counters []uint64
}

type span struct{ from, to int }

// wireField is one field of a message: body for bytes, value for varints.
type wireField struct {
	number protowire.Number
	kind   protowire.Type
	whole  span
	body   span
	value  uint64
}

func (f wireField) is(number protowire.Number, kind protowire.Type) bool {
	return f.number == number && f.kind == kind
}

func (f wireField) wrongType() error {
	return invalid("field %d has wire type %d", f.number, f.kind)
}

// fields calls yield for each field of the message in s.
func (d *decoder) fields(s span, yield func(wireField) error) error {
	for at := s.from; at < s.to; {
		in := d.bytes[at:s.to]
		number, kind, n := protowire.ConsumeTag(in)
		if n < 0 {
			return invalid("tag at byte %d: %v", at, protowire.ParseError(n))
		}
		m := protowire.ConsumeFieldValue(number, kind, in[n:])
		if m < 0 {
			return invalid("field %d at byte %d: %v", number, at, protowire.ParseError(m))
		}
		f := wireField{number: number, kind: kind, whole: span{at, at + n + m}}
		switch kind {
		case protowire.BytesType:
			body, _ := protowire.ConsumeBytes(in[n:])
			f.body = span{at + n + m - len(body), at + n + m}
		case protowire.VarintType:
			f.value, _ = protowire.ConsumeVarint(in[n:])
		}
		if err := yield(f); err != nil {
			return err
		}
		at += n + m
	}
	return nil
}

// count returns how many fields of the number s has: what is there, not what
// something claims.
func (d *decoder) count(s span, number protowire.Number) (count int) {
	for in := d.bytes[s.from:s.to]; len(in) > 0; {
		n, _, size := protowire.ConsumeField(in)
		if size < 0 {
			break
		}
		if n == number {
			count++
		}
		in = in[size:]
	}
	return count
}

func (d *decoder) part(s span) []byte        { return d.bytes[s.from:s.to:s.to] }
func (d *decoder) unknown(f wireField) field { return field{f.number, d.part(f.whole)} }

func (d *decoder) vectorEntry(s span, r *Record) error {
	var replica ReplicaID
	var counter uint64
	err := d.fields(s, func(f wireField) error {
		switch {
		case f.is(fieldEntryReplica, protowire.BytesType):
			return d.id(f, replica[:])
		case f.is(fieldEntryCounter, protowire.VarintType):
			counter = f.value
			return nil
		}
		return invalid("vector entry with field %d", f.number)
	})
	if err != nil {
		return err
	}
	if counter == 0 || counter > CounterMax {
		return invalid("replica %s with counter %d", replica, counter)
	}
	if n := len(d.replicas); n > 0 && replica.Compare(d.replicas[n-1]) <= 0 {
		return invalid("replica %s after %s", replica, d.replicas[n-1])
	}
	d.replicas, d.counters = append(d.replicas, replica), append(d.counters, counter)
	r.Vector[replica] = counter
	return nil
}

func (d *decoder) id(f wireField, out []byte) error {
	if n := f.body.to - f.body.from; n != len(out) {
		return invalid("an ID of %d bytes, want %d", n, len(out))
	}
	copy(out, d.part(f.body))
	return nil
}

// object always returns an object, for the UID in the words of the error.
func (d *decoder) object(s span) (*Object, error) {
	o := &Object{}
	born := false
	last := ""
	var unknown []field
	err := d.fields(s, func(f wireField) error {
		switch {
		case f.is(fieldObjectUID, protowire.BytesType):
			return d.id(f, o.UID[:])
		case f.is(fieldObjectBirth, protowire.BytesType):
			w, err := d.plainWrite(f.body)
			o.Birth, born = w, true
			return err
		case f.is(fieldObjectDead, protowire.BytesType):
			w, err := d.plainWrite(f.body)
			o.Dead = &w
			return err
		case f.is(fieldObjectRegister, protowire.BytesType):
			path, g, err := d.register(f.body)
			if err != nil {
				return fmt.Errorf("register %.80q: %w", path, err)
			}
			if o.Registers == nil {
				o.Registers = make(map[string]Register, d.count(s, fieldObjectRegister))
			} else if path <= last {
				return invalid("register %.80q after %.80q", path, last)
			}
			o.Registers[path], last = g, path
			return nil
		case f.number <= fieldObjectRegister:
			return f.wrongType()
		}
		unknown = append(unknown, d.unknown(f))
		return nil
	})
	switch {
	case err != nil:
		return o, err
	case !born:
		return o, invalid("no birth")
	case o.Dead != nil && o.Registers != nil:
		return o, invalid("dead, yet with registers")
	}
	o.unknown = sortUnknown(unknown)
	return o, nil
}

func (d *decoder) register(s span) (path string, g Register, err error) {
	var room [SiblingsMax + 1]entry
	kept := room[:0]
	var unknown []field
	err = d.fields(s, func(f wireField) error {
		switch {
		case f.is(fieldRegisterPath, protowire.BytesType):
			path = string(d.part(f.body))
			return nil
		case f.is(fieldRegisterWrite, protowire.BytesType):
			e, err := d.entry(f.body, kept)
			kept = append(kept, e)
			return err
		case f.number <= fieldRegisterWrite:
			return f.wrongType()
		}
		unknown = append(unknown, d.unknown(f))
		return nil
	})
	if err != nil {
		return path, Register{}, err
	}
	if len(kept) == 0 {
		return path, Register{}, invalid("no write")
	}
	return path, arrange(kept, sortUnknown(unknown)), nil
}

// entry reads the write that follows before, and checks that it may.
func (d *decoder) entry(s span, before []entry) (entry, error) {
	w, err := d.write(s)
	if err != nil {
		return entry{}, err
	}
	if w.kind != kindShown && (len(before) == 0 || w.value != nil) {
		return entry{}, invalid("write %s of kind %d as winner or with a value", w.Dot, w.kind)
	}
	if len(before) > SiblingsMax {
		return entry{}, invalid("more than %d writes", SiblingsMax+1)
	}
	e := entry{Write: w.Write, value: w.value, settled: w.kind == kindSettled}
	if w.kind == kindEcho {
		e.value = before[0].value
	}
	for i, b := range before {
		if b.Dot.Replica == e.Dot.Replica {
			return entry{}, invalid("two writes of replica %s", e.Dot.Replica)
		}
		if i == len(before)-1 && b.compare(e.Write) <= 0 {
			return entry{}, invalid("write %s after %s", e.Dot, b.Dot)
		}
	}
	return e, nil
}

// plainWrite reads a birth or a death.
func (d *decoder) plainWrite(s span) (Write, error) {
	w, err := d.write(s)
	if err == nil && (w.value != nil || w.kind != kindShown || w.Stamp.Rank != 0) {
		err = invalid("birth or death %s with a value, kind or rank", w.Dot)
	}
	return w.Write, err
}

func (d *decoder) write(s span) (wireWrite, error) {
	var w wireWrite
	var index uint64
	err := d.fields(s, func(f wireField) error {
		switch {
		case f.is(fieldWriteReplica, protowire.VarintType):
			index = f.value
		case f.is(fieldWriteCounter, protowire.VarintType):
			w.Dot.Counter = f.value
		case f.is(fieldWriteTime, protowire.VarintType):
			w.Stamp.Time = f.value
		case f.is(fieldWriteRank, protowire.VarintType):
			w.Stamp.Rank = f.value
		case f.is(fieldWriteValue, protowire.BytesType):
			w.value = d.part(f.body)
		case f.is(fieldWriteKind, protowire.VarintType) && f.value <= kindSettled:
			w.kind = f.value
		default:
			return invalid("write with field %d of wire type %d", f.number, f.kind)
		}
		return nil
	})
	if err != nil {
		return wireWrite{}, err
	}
	if index >= uint64(len(d.replicas)) {
		return wireWrite{}, invalid("replica %d of %d", index, len(d.replicas))
	}
	w.Dot.Replica, w.Stamp.Replica = d.replicas[index], d.replicas[index]
	if w.Dot.Counter == 0 || w.Dot.Counter > d.counters[index] || w.Stamp.Time > TimeMax {
		return wireWrite{}, invalid("write %s at time %d, with the replica at %d", w.Dot, w.Stamp.Time, d.counters[index])
	}
	return w, nil
}
