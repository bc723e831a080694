package crdt

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// An encoded context is the format version and, in protobuf wire format,
// canonical, one message in field 1 per replica, ascending:
//
//	1: replica, 16 bytes    2: end of the contiguous part
//	3: intervals, as varint pairs: (From - end before - 2, To - From)
//
// Unknown fields are refused: a context that is read in part would be a claim.
const (
	fieldContextReplica = 1

	fieldCoverageReplica   = 1
	fieldCoverageThrough   = 2
	fieldCoverageIntervals = 3
)

// Encode returns the context's canonical bytes.
func (c *Context) Encode() []byte {
	e := encoder{out: []byte{formatVersion}}
	var packed []byte
	for _, r := range slices.SortedFunc(maps.Keys(c.replicas), ReplicaID.Compare) {
		have := c.replicas[r]
		packed = packed[:0]
		end := have.through
		for _, known := range have.above {
			packed = protowire.AppendVarint(packed, known.From-end-2)
			packed = protowire.AppendVarint(packed, known.To-known.From)
			end = known.To
		}
		start := e.begin(fieldContextReplica)
		e.bytes(fieldCoverageReplica, r[:])
		e.number(fieldCoverageThrough, have.through)
		if len(packed) > 0 {
			e.bytes(fieldCoverageIntervals, packed)
		}
		e.end(start)
	}
	return e.out
}

// DecodeContext reads what Encode wrote, within the bounds of Decode.
func DecodeContext(b []byte) (Context, error) {
	body, err := checkHeader(b)
	if err != nil {
		return Context{}, fmt.Errorf("context: %w", err)
	}
	d := decoder{bytes: body}
	var c Context
	var last ReplicaID
	err = d.fields(span{0, len(body)}, func(f wireField) error {
		if !f.is(fieldContextReplica, protowire.BytesType) {
			return invalid("field %d of wire type %d", f.number, f.kind)
		}
		r, have, err := d.coverage(f.body)
		if err != nil {
			return fmt.Errorf("replica %s: %w", r, err)
		}
		if len(c.replicas) > 0 && r.Compare(last) <= 0 {
			return invalid("replica %s after %s", r, last)
		}
		c.put(r, have)
		last = r
		return nil
	})
	if err != nil {
		return Context{}, fmt.Errorf("context: %w", err)
	}
	return c, nil
}

func (d *decoder) coverage(s span) (ReplicaID, coverage, error) {
	var r ReplicaID
	var have coverage
	var packed []byte
	err := d.fields(s, func(f wireField) error {
		switch {
		case f.is(fieldCoverageReplica, protowire.BytesType):
			return d.id(f, r[:])
		case f.is(fieldCoverageThrough, protowire.VarintType):
			have.through = f.value
			return nil
		case f.is(fieldCoverageIntervals, protowire.BytesType):
			packed = d.part(f.body)
			return nil
		}
		return invalid("coverage with field %d of wire type %d", f.number, f.kind)
	})
	switch {
	case err != nil:
		return r, coverage{}, err
	case have.through > CounterMax:
		return r, coverage{}, invalid("counter %d", have.through)
	case have.through == 0 && len(packed) == 0:
		return r, coverage{}, invalid("no dots")
	}
	have.above, err = unpackIntervals(packed, have.through)
	return r, have, err
}

func unpackIntervals(packed []byte, end uint64) ([]Range, error) {
	var out []Range
	for len(packed) > 0 {
		gap, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return nil, invalid("interval %d: %v", len(out), protowire.ParseError(n))
		}
		length, m := protowire.ConsumeVarint(packed[n:])
		if m < 0 {
			return nil, invalid("interval %d: %v", len(out), protowire.ParseError(m))
		}
		packed = packed[n+m:]
		if gap > CounterMax || length > CounterMax {
			return nil, invalid("interval %d: gap %d, length %d", len(out), gap, length)
		}
		next := Range{From: end + 2 + gap}
		next.To = next.From + length
		if next.To > CounterMax {
			return nil, invalid("interval %d ends at %d", len(out), next.To)
		}
		if len(out) == IntervalsMax {
			return nil, invalid("more than %d intervals", IntervalsMax)
		}
		out, end = append(out, next), next.To
	}
	return out, nil
}
