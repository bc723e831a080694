package crdt

import (
	"bytes"
	"cmp"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields that a later version of the format adds to a record, object or
// register are kept as they came, ordered by number, and written after the
// known ones. What this version does with them:
//
//   - Set and Delete keep them; they never shrink.
//   - Join keeps, per field number, the greater of both sides' bytes (all
//     occurrences of the number together). That is a join, and bounded by the
//     larger side, but arbitrary: a later version may only add fields that may
//     lose concurrent changes on the way through an old node.
//   - A deleted object loses those of its registers with them.
//
// A field that cannot live with that, and any field of a write, needs a new
// format version, which old nodes refuse.

// field is all occurrences of one unknown number.
type field struct {
	number protowire.Number
	raw    []byte
}

// splitFields cuts canonical unknown bytes, which ascend by number, into fields.
func splitFields(b []byte) []field {
	var out []field
	start := 0 // of the last field in out
	for at := 0; at < len(b); {
		number, _, n := protowire.ConsumeField(b[at:])
		if n < 0 {
			return out // never: only sortUnknown makes such bytes
		}
		if last := len(out) - 1; last < 0 || out[last].number != number {
			out, start = append(out, field{number: number}), at
		}
		at += n
		out[len(out)-1].raw = b[start:at]
	}
	return out
}

// sortUnknown makes raw fields, in the order they came, canonical.
func sortUnknown(fields []field) []byte {
	slices.SortStableFunc(fields, func(a, b field) int { return cmp.Compare(a.number, b.number) })
	var out []byte
	for _, f := range fields {
		out = append(out, f.raw...)
	}
	return out
}

func joinUnknown(a, b []byte) []byte {
	if len(b) == 0 || bytes.Equal(a, b) {
		return a
	}
	if len(a) == 0 {
		return b
	}
	greatest := make(map[protowire.Number][]byte)
	for _, f := range append(splitFields(a), splitFields(b)...) {
		if bytes.Compare(f.raw, greatest[f.number]) > 0 {
			greatest[f.number] = f.raw
		}
	}
	fields := make([]field, 0, len(greatest))
	for number, raw := range greatest {
		fields = append(fields, field{number, raw})
	}
	return sortUnknown(fields)
}
