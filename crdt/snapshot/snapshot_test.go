package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"holon/crdt"
	"holon/testnet/golden"
)

type pair struct {
	key    string
	record []byte
}

func write(t rapid.TB, h Header, pairs []pair) ([]byte, Totals) {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pairs {
		if err := w.Add(p.key, p.record); err != nil {
			t.Fatal(err)
		}
	}
	totals, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), totals
}

func read(in io.Reader) (h Header, pairs []pair, totals Totals, err error) {
	r, err := NewReader(in)
	if err != nil {
		return h, nil, totals, err
	}
	for {
		key, record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Header(), pairs, r.Totals(), nil
		}
		if err != nil {
			return h, nil, totals, err
		}
		pairs = append(pairs, pair{key, bytes.Clone(record)})
	}
}

func equal(a, b []pair) bool {
	return slices.EqualFunc(a, b, func(x, y pair) bool { return x.key == y.key && bytes.Equal(x.record, y.record) })
}

func sample() (Header, []pair) {
	h := Header{
		Cluster: "00112233445566778899aabbccddeeff", Node: "n2", Replica: crdt.ReplicaID{1, 2, 3}, Context: []byte{1, 2},
		Floor: []byte("floor"), Keys: []byte("wrapped"), Taken: "2026-01-02T03:04:05Z", Version: "0.1",
	}
	return h, []pair{
		{"configmaps/default/a", []byte("first")}, {"configmaps/default/b", []byte{}},
		{"unheard-of.example.com//x", bytes.Repeat([]byte("long "), 20)},
	}
}

// TestRoundTrip: what was written is what is read, whatever the sizes are and
// however small the pieces are in which it arrives.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, _ := sample()
		h.Context = rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "context")
		keys := rapid.SliceOfNDistinct(rapid.StringN(1, 40, KeyBytesMax), 0, 30, rapid.ID[string]).Draw(t, "keys")
		slices.Sort(keys)
		var pairs []pair
		var want Totals
		for _, k := range keys {
			size := rapid.SampledFrom([]int{0, 1, 100, chunkBytes / 3, chunkBytes, 3 * chunkBytes}).Draw(t, "size")
			p := pair{k, bytes.Repeat([]byte{byte(len(pairs)), 7, byte(size)}, (size+2)/3)}
			pairs = append(pairs, p)
			want.Records++
			want.Bytes += uint64(len(p.key) + len(p.record))
		}
		file, totals := write(t, h, pairs)
		want.Chunks = totals.Chunks
		if totals != want {
			t.Fatalf("wrote %+v, want %+v", totals, want)
		}
		in := io.Reader(bytes.NewReader(file))
		if rapid.Bool().Draw(t, "in pieces") {
			in = io.MultiReader(bytes.NewReader(file[:len(file)/2]), bytes.NewReader(file[len(file)/2:]))
		}
		gotHeader, got, gotTotals, err := read(in)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(gotHeader) != fmt.Sprint(h) || !equal(got, pairs) || gotTotals != want {
			t.Fatalf("read %+v with %d records, wrote %+v with %d", gotHeader, len(got), h, len(pairs))
		}
	})
}

// TestEveryDamageIsNoticed: no byte can be changed, left out or added; and a record
// that was damaged is not even returned before the end.
func TestEveryDamageIsNoticed(t *testing.T) {
	h, pairs := sample()
	file, _ := write(t, h, pairs)
	refused := func(what string, damaged []byte) {
		t.Helper()
		if r, err := NewReader(bytes.NewReader(damaged)); err == nil {
			for i := 0; ; i++ {
				key, record, err := r.Next()
				if err != nil {
					break
				}
				if i >= len(pairs) || !equal(pairs[i:i+1], []pair{{key, record}}) {
					t.Fatalf("%s: returned %q %q", what, key, record)
				}
			}
		}
		_, _, _, err := read(bytes.NewReader(damaged))
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrNewer) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range file {
		for bit := range 8 {
			damaged := bytes.Clone(file)
			damaged[i] ^= 1 << bit
			refused(fmt.Sprintf("bit %d of byte %d", bit, i), damaged)
		}
		refused(fmt.Sprintf("cut at %d", i), file[:i])
		refused(fmt.Sprintf("without byte %d", i), slices.Delete(bytes.Clone(file), i, i+1))
	}
	refused("one byte more", append(bytes.Clone(file), 0))
	refused("twice", append(bytes.Clone(file), file...))
}

func TestRefusals(t *testing.T) {
	h, pairs := sample()
	file, _ := write(t, h, pairs)
	next := bytes.Clone(file)
	next[len(magic)] = version + 1
	for what, c := range map[string]struct {
		file []byte
		want error
	}{
		"empty":              {nil, ErrDamaged},
		"text":               {[]byte("apiVersion: v1\nkind: List\n"), ErrForeign},
		"short text":         {[]byte("hi"), ErrForeign},
		"rewritten line end": {bytes.Replace(file, []byte("\r\n"), []byte("\n"), 1), ErrForeign},
		"newer version":      {next, ErrNewer},
		"cut in the magic":   {file[:4], ErrDamaged},
	} {
		if _, _, _, err := read(bytes.NewReader(c.file)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

// TestForgeries have every checksum right, and are no snapshot all the same.
func TestForgeries(t *testing.T) {
	h, pairs := sample()
	for what, forge := range map[string]func(w *Writer){
		"more records than there are": func(w *Writer) { w.totals.Records++ },
		"fewer bytes than there are":  func(w *Writer) { w.totals.Bytes-- },
		"a key twice":                 func(w *Writer) { w.chunk = append(w.chunk, w.chunk...); w.totals.Records *= 2; w.totals.Bytes *= 2 },
		"an entry without a key":      func(w *Writer) { w.chunk = appendEntry(w.chunk, "", nil); w.totals.Records++ },
		"a chunk that is no message":  func(w *Writer) { w.chunk = append(w.chunk, 0xff) },
		"a chunk that is not packed":  func(w *Writer) { _ = w.section(sectionChunk, []byte("plain")) },
		"a second header":             func(w *Writer) { _ = w.section(sectionHeader, []byte{0xa0}) },
	} {
		var out bytes.Buffer
		w, err := NewWriter(&out, h)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pairs {
			if err := w.Add(p.key, p.record); err != nil {
				t.Fatal(err)
			}
		}
		forge(w)
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := read(&out); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestBomb: a small chunk cannot make a reader hold more than the bound.
func TestBomb(t *testing.T) {
	var out bytes.Buffer
	w, err := NewWriter(&out, Header{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.section(sectionChunk, w.zip.EncodeAll(make([]byte, chunkBytesMax+1), nil)); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Next(); !errors.Is(err, ErrDamaged) || len(r.chunk) > chunkBytesMax {
		t.Errorf("%v, with %d bytes unpacked", err, len(r.chunk))
	}
}

// broken is a reader that fails as a network does.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// TestErrorsOfTheSource are not taken for damage: the file may be sound.
func TestErrorsOfTheSource(t *testing.T) {
	h, pairs := sample()
	file, _ := write(t, h, pairs)
	for i := range file {
		_, _, _, err := read(io.MultiReader(bytes.NewReader(file[:i]), broken{os.ErrDeadlineExceeded}))
		if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrDamaged) {
			t.Fatalf("the source fails after %d bytes: %v", i, err)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	for what, p := range map[string]pair{
		"no key": {"", nil}, "the same key": {"m", nil}, "a smaller key": {"a", nil},
		"a long key": {strings.Repeat("x", KeyBytesMax+1), nil}, "a large record": {"z", make([]byte, RecordBytesMax+1)},
	} {
		w, err := NewWriter(io.Discard, Header{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add("m", nil); err != nil {
			t.Fatal(err)
		}
		if err := w.Add(p.key, p.record); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
}

// later puts a section between header and first chunk, as a later version might.
func later(t testing.TB, file []byte, kind byte, payload []byte) []byte {
	t.Helper()
	at := len(magic) + 1
	end := at + 5 + int(binary.BigEndian.Uint32(file[at+1:])) + 4
	section := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	section = append(section, payload...)
	section = binary.BigEndian.AppendUint32(section, crc32.Checksum(section, castagnoli))
	return slices.Insert(bytes.Clone(file), end, section...)
}

// TestLaterVersions: what may be skipped is skipped, what must be understood is
// refused. (The sum is wrong in both files, which only the first gets to.)
func TestLaterVersions(t *testing.T) {
	h, pairs := sample()
	file, _ := write(t, h, pairs)
	_, _, _, err := read(bytes.NewReader(later(t, file, 'x', []byte("extra"))))
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "its checksum") {
		t.Errorf("a section to skip: %v", err)
	}
	if _, _, _, err := read(bytes.NewReader(later(t, file, 'X', []byte("extra")))); !errors.Is(err, ErrNewer) {
		t.Errorf("a section to understand: %v", err)
	}
	entry := protowire.AppendVarint(protowire.AppendTag(nil, 9, protowire.VarintType), 5)
	entry = protowire.AppendString(protowire.AppendTag(entry, fieldKey, protowire.BytesType), "k")
	entry = protowire.AppendBytes(protowire.AppendTag(entry, fieldRecord, protowire.BytesType), []byte("v"))
	r := &Reader{left: protowire.AppendBytes(protowire.AppendTag(nil, fieldEntry, protowire.BytesType), entry)}
	if key, record, ok, err := r.entry(); err != nil || !ok || key != "k" || string(record) != "v" {
		t.Errorf("an entry with a later field: %q %q %v %v", key, record, ok, err)
	}
	r = &Reader{left: protowire.AppendVarint(protowire.AppendTag(nil, 9, protowire.VarintType), 5)}
	if _, _, ok, err := r.entry(); ok || err != nil {
		t.Errorf("a chunk with a later field: %v %v", ok, err)
	}
}

// words spells a header, and what files had from some time on only if it is there.
func words(h Header) string {
	return strings.Replace(fmt.Sprintf("%+v", h), " UID: Objects:0}", "}", 1)
}

// TestGolden: every later version reads what this one wrote.
func TestGolden(t *testing.T) {
	golden.Check(t, golden.Format{
		Name: "snapshot.v1",
		Make: func(t *testing.T) []byte {
			h, pairs := sample()
			file, _ := write(t, h, pairs)
			return file
		},
		Read: func(file []byte) (string, error) {
			h, pairs, totals, err := read(bytes.NewReader(file))
			var said strings.Builder
			fmt.Fprintf(&said, "%s\n%+v\n", words(h), totals)
			for _, p := range pairs {
				fmt.Fprintf(&said, "%s %x\n", p.key, p.record)
			}
			return said.String(), err
		},
	})
}

// FuzzReader: no input makes it fail, hold much or return what Add would refuse;
// and what it accepts can be written again.
func FuzzReader(f *testing.F) {
	h, pairs := sample()
	file, _ := write(f, h, pairs)
	f.Add(file)
	f.Add(later(f, file, 'x', nil))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, file []byte) {
		h, pairs, totals, err := read(bytes.NewReader(file))
		if err != nil {
			return
		}
		again, wrote := write(t, h, pairs)
		_, back, _, err := read(bytes.NewReader(again))
		if err != nil || !equal(back, pairs) || wrote.Records != totals.Records || wrote.Bytes != totals.Bytes {
			t.Fatalf("read %d records, wrote them, read %d: %v", len(pairs), len(back), err)
		}
	})
}

// FuzzChunk feeds what a section holds to a reader, with every checksum right, which
// FuzzReader hardly ever finds.
func FuzzChunk(f *testing.F) {
	_, pairs := sample()
	var chunk []byte
	for _, p := range pairs {
		chunk = appendEntry(chunk, p.key, p.record)
	}
	f.Add(chunk, []byte{0xa0}, byte('C'))
	f.Add([]byte{0xff}, []byte{0xa1, 1, 3}, byte('x'))
	f.Fuzz(func(t *testing.T, chunk, trailer []byte, kind byte) {
		var out bytes.Buffer
		w, err := NewWriter(&out, Header{})
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			w.section(kind, w.zip.EncodeAll(chunk, nil)), w.section(sectionChunk, w.zip.EncodeAll(chunk, nil)), w.section(sectionTrailer, trailer),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		out.Write(w.sum.Sum(nil))
		_, pairs, _, err := read(&out)
		if err == nil {
			write(t, Header{}, pairs)
		} else if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) {
			t.Fatal(err)
		}
	})
}
