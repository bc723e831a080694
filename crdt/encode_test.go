package crdt_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/crdttest"
)

func TestEncodingIsCanonicalAndComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		states := crdttest.Records().Draw(t, "records")
		for _, a := range states {
			bytesOfA := a.Encode()
			back, err := crdt.Decode(bytesOfA)
			if err != nil || !crdt.Equal(a, back) {
				t.Fatalf("decoded with error %v:\n%s\nfrom\n%s", err, crdttest.DescribeRecord(back), crdttest.DescribeRecord(a))
			}
			b := rapid.SampledFrom(states).Draw(t, "b")
			if bytes.Equal(bytesOfA, b.Encode()) != crdt.Equal(a, b) {
				t.Fatalf("equal bytes and equal records differ:\n%s\n%s", crdttest.DescribeRecord(a), crdttest.DescribeRecord(b))
			}
		}
	})
}

// goldenRecord has everything the format has: two objects, one dead; a winner
// with siblings, echoes and settled writes; ranks; absent and empty values.
func goldenRecord(t *testing.T) *crdt.Record {
	r := replicas(4)
	write(t, r[0], map[string][]byte{"/spec/replicas": []byte("3"), "/metadata/labels/app": []byte(`"web"`), "/x": {}})
	for _, other := range r[1:] {
		other.Receive(r[0].State)
	}
	write(t, r[1], map[string][]byte{"/spec/replicas": []byte("5"), "/x": nil})
	write(t, r[2], map[string][]byte{"/spec/replicas": []byte("7")})
	write(t, r[3], map[string][]byte{"/spec/replicas": []byte("7")})
	home := r[3].Next(300)
	home.Stamp.Rank = 2
	r[3].Apply(crdttest.Op{Write: home, UID: uid, Values: map[string][]byte{"home": []byte(`"n4"`)}})
	other := crdt.UID{0xfe, 15: 0xff}
	r[1].Apply(crdttest.Op{Write: r[1].Next(0), UID: other, Values: value("1")})
	r[1].Apply(crdttest.Op{Write: r[1].Next(0), UID: other, Delete: true})
	for _, o := range r[1:] {
		r[0].Receive(o.State)
	}
	return r[0].Record
}

// Bytes on disk outlive the code that wrote them. This file is never rewritten:
// a new format version gets its own file beside it.
func TestRecordsOfVersion1AreReadForEver(t *testing.T) {
	text, err := os.ReadFile("testdata/record.v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	want := goldenRecord(t)
	have, err := crdt.Decode(golden)
	if err != nil || !crdt.Equal(have, want) {
		t.Errorf("read with error %v:\n%s\nwant\n%s", err, crdttest.DescribeRecord(have), crdttest.DescribeRecord(want))
	}
	if now := want.Encode(); !bytes.Equal(now, golden) {
		t.Errorf("written differently now:\n%x\nwant\n%x", now, golden)
	}
}

// later adds a field as a later version might to the record, its first object
// and that object's first register.
func later(t *testing.T, r *crdt.Record, number protowire.Number, text string) *crdt.Record {
	t.Helper()
	const object, register = 2, 4
	var extend func(b []byte, path ...protowire.Number) []byte
	extend = func(b []byte, path ...protowire.Number) (out []byte) {
		for len(b) > 0 {
			n, _, size := protowire.ConsumeField(b)
			if size < 0 {
				t.Fatal("cannot parse what Encode wrote")
			}
			if len(path) > 0 && n == path[0] {
				_, _, tag := protowire.ConsumeTag(b)
				body, _ := protowire.ConsumeBytes(b[tag:])
				out = protowire.AppendTag(out, n, protowire.BytesType)
				out = protowire.AppendBytes(out, extend(body, path[1:]...))
				path = nil
			} else {
				out = append(out, b[:size]...)
			}
			b = b[size:]
		}
		out = protowire.AppendTag(out, number, protowire.BytesType)
		return protowire.AppendString(out, text)
	}
	b := r.Encode()
	out, err := crdt.Decode(append(b[:1:1], extend(b[1:], object, register)...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFieldsOfLaterVersionsAreKept(t *testing.T) {
	r := replicas(2)
	write(t, r[0], value("1"))
	old := r[0].Record
	a := later(t, old, 9, "nine, greater")
	b := later(t, later(t, old, 9, "nine"), 77, "more")
	count := func(r *crdt.Record, text string) int { return bytes.Count(r.Encode(), []byte(text)) }

	for _, j := range []*crdt.Record{crdt.Join(a, b), crdt.Join(b, a), crdt.Join(old, crdt.Join(a, b))} {
		if count(j, "nine, greater") != 3 || count(j, "nine") != 3 || count(j, "more") != 3 {
			t.Errorf("joined: %q", j.Encode())
		}
		if back, err := crdt.Decode(j.Encode()); err != nil || !crdt.Equal(j, back) {
			t.Errorf("not readable: %v", err)
		}
	}
	if crdt.Join(a, old) != a {
		t.Error("nothing new, yet another record")
	}
	for _, v := range [][3]*crdt.Record{{a, b, old}, {b, old, a}, {a, later(t, b, 9, "x"), b}} {
		if err := crdttest.Violation(v[0], v[1], v[2], crdt.Join, crdt.Equal); err != nil {
			t.Error(err)
		}
	}
	written, err := a.Set(uid, r[0].Next(0), value("2"))
	if err != nil || count(written, "nine, greater") != 3 {
		t.Errorf("a write drops them: %q, %v", written.Encode(), err)
	}
	dead, err := a.Delete(uid, r[0].Next(0))
	if err != nil || count(dead, "nine, greater") != 2 {
		t.Errorf("a delete keeps those of the record and the object: %q, %v", dead.Encode(), err)
	}
}

func TestDecodeRefusesWhatCannotBe(t *testing.T) {
	message := func(number protowire.Number, parts ...[]byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), bytes.Join(parts, nil))
	}
	number := func(n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
	}
	record := func(parts ...[]byte) []byte { return append([]byte{1}, bytes.Join(parts, nil)...) }
	id := func(n byte) []byte { return message(1, append(make([]byte, 15), n)) }
	entry := func(n byte, counter uint64) []byte { return message(1, id(n), number(2, counter)) }
	ref := func(index, counter uint64, more ...[]byte) []byte {
		return bytes.Join(append([][]byte{number(1, index), number(2, counter)}, more...), nil)
	}
	birth := message(2, ref(0, 1))
	path := message(1, []byte("/a"))
	two := [][]byte{entry(1, 5), entry(2, 5)}
	withRegister := func(writes ...[]byte) []byte {
		return record(append(two, message(2, id(1), birth, message(4, append([][]byte{path}, writes...)...)))...)
	}
	won := message(2, ref(0, 2, number(3, 9)))
	if _, err := crdt.Decode(withRegister(won, message(2, ref(1, 1, number(6, 2))))); err != nil {
		t.Fatalf("the base of the cases below is not valid: %v", err)
	}
	crowd := func(writes int) []byte {
		var parts, kept [][]byte
		for i := range writes {
			parts = append(parts, entry(byte(i), 9))
			kept = append(kept, message(2, ref(uint64(i), 1, number(3, uint64(99-i)))))
		}
		register := message(4, append([][]byte{path}, kept...)...)
		return record(append(parts, message(2, id(1), birth, register))...)
	}
	if _, err := crdt.Decode(crowd(crdt.SiblingsMax + 1)); err != nil {
		t.Fatalf("a full register is not valid: %v", err)
	}
	for name, b := range map[string][]byte{
		"too many writes":             crowd(crdt.SiblingsMax + 2),
		"nothing":                     {},
		"a later version":             {2},
		"too long":                    make([]byte, crdt.DecodeBytesMax+1),
		"a cut message":               record(entry(1, 1))[:10],
		"a field of another type":     record(number(1, 1)),
		"a short replica ID":          record(message(1, message(1, []byte{1}), number(2, 1))),
		"a counter of 0":              record(message(1, id(1))),
		"a counter beyond the bound":  record(entry(1, crdt.CounterMax+1)),
		"a replica twice":             record(entry(1, 1), entry(1, 2)),
		"replicas out of order":       record(entry(2, 1), entry(1, 2)),
		"an object without birth":     record(entry(1, 1), message(2, id(1))),
		"an object twice":             record(entry(1, 1), message(2, id(1), birth), message(2, id(1), birth)),
		"an unknown replica":          record(entry(1, 1), message(2, id(1), message(2, ref(1, 1)))),
		"a huge replica index":        record(entry(1, 1), message(2, id(1), message(2, ref(1<<63, 1)))),
		"a birth beyond the vector":   record(entry(1, 1), message(2, id(1), message(2, ref(0, 2)))),
		"a birth with a rank":         record(entry(1, 1), message(2, id(1), message(2, ref(0, 1, number(4, 1))))),
		"a time beyond the bound":     record(entry(1, 1), message(2, id(1), message(2, ref(0, 1, number(3, crdt.TimeMax+1))))),
		"a dead object's registers":   record(entry(1, 1), message(2, id(1), birth, message(3, ref(0, 1)), message(4, path, message(2, ref(0, 1))))),
		"a register twice":            record(entry(1, 1), message(2, id(1), birth, message(4, path, message(2, ref(0, 1))), message(4, path, message(2, ref(0, 1))))),
		"a register without a write":  withRegister(),
		"a settled winner":            withRegister(message(2, ref(0, 1, number(6, 2)))),
		"a settled value":             withRegister(won, message(2, ref(1, 1, message(5, []byte("1")), number(6, 2)))),
		"an unknown kind":             withRegister(won, message(2, ref(1, 1, number(6, 3)))),
		"an unknown field of a write": withRegister(won, message(2, ref(1, 1, number(7, 3)))),
		"two writes of one replica":   withRegister(won, message(2, ref(0, 1))),
		"a loser above the winner":    withRegister(won, message(2, ref(1, 1, number(3, 10)))),
	} {
		if r, err := crdt.Decode(b); !errors.Is(err, crdt.ErrEncoding) {
			t.Errorf("%s: %v, %s", name, err, crdttest.DescribeRecord(r))
		}
	}
}

// Decode must not let a small input claim much memory.
func TestDecodingAllocatesASmallMultipleOfItsInput(t *testing.T) {
	const multiple = 48
	r := replicas(1)[0]
	values := map[string][]byte{}
	for i := range crdt.RegistersMax {
		values[fmt.Sprintf("%03x", i)] = nil // as much structure per byte as can be
	}
	write(t, r, values)
	registers := r.Record.Encode()

	objects := func(values map[string][]byte) []byte {
		record := &crdt.Record{}
		for i := range 1000 {
			var err error
			if record, err = record.Set(crdt.UID{byte(i >> 8), byte(i)}, r.Next(0), values); err != nil {
				t.Fatal(err)
			}
		}
		return record.Encode()
	}
	for name, b := range map[string][]byte{
		"registers":               registers,
		"objects":                 objects(nil),
		"objects of one register": objects(map[string][]byte{"": nil}),
	} {
		var before, after goruntime.MemStats
		goruntime.ReadMemStats(&before)
		if _, err := crdt.Decode(b); err != nil {
			t.Fatal(err)
		}
		goruntime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d bytes allocated for %d, %d times as much", name, allocated, len(b), allocated/uint64(len(b)))
		if allocated > multiple*uint64(len(b)) {
			t.Errorf("%s: more than %d times the input", name, multiple)
		}
	}
}

func FuzzDecode(f *testing.F) {
	gen := crdttest.Records()
	for seed := range 10 {
		records := gen.Example(seed)
		f.Add(records[len(records)-1].Encode())
	}
	f.Add([]byte{1})
	f.Add([]byte{1, 0x12, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := crdt.Decode(b)
		if err != nil {
			return
		}
		encoded := r.Encode()
		again, err := crdt.Decode(encoded)
		if err != nil || !crdt.Equal(r, again) {
			t.Fatalf("%x decodes, but not what it encodes to, %x: %v", b, encoded, err)
		}
		if !bytes.Equal(again.Encode(), encoded) {
			t.Fatalf("%x encodes in two ways", b)
		}
		if !crdt.Equal(crdt.Join(r, again), r) {
			t.Fatalf("%x is not idempotent", b)
		}
		r.Live()
		r.Time()
	})
}

func FuzzDecodeContext(f *testing.F) {
	gen := rapid.Map(someDots(), contextOf)
	for seed := range 10 {
		c := gen.Example(seed)
		f.Add(c.Encode())
	}
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := crdt.DecodeContext(b)
		if err != nil {
			return
		}
		again, err := crdt.DecodeContext(c.Encode())
		if err != nil || !again.Equal(c) || again.Hash() != c.Hash() {
			t.Fatalf("%x decodes, but not what it encodes to: %v", b, err)
		}
		if joined := union(c, again); !joined.Equal(c) || !c.Covers(again) {
			t.Fatalf("%x is not idempotent", b)
		}
	})
}
