package crdt_test

import (
	"bytes"
	"maps"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/crdttest"
)

func TestAViewIsTheRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, r := range crdttest.Records().Draw(t, "records") {
			text := r.Encode()
			before := bytes.Clone(text)
			if room := []byte("before"); !bytes.Equal(r.AppendTo(room), append(room, text...)) {
				t.Fatal("AppendTo and Encode differ")
			}
			seen, err := crdt.View(text)
			if err != nil || !crdt.Equal(seen, r) {
				t.Fatalf("view with error %v:\n%s\nof\n%s", err, crdttest.DescribeRecord(seen), crdttest.DescribeRecord(r))
			}
			if vector := crdt.ViewVector(text); !maps.Equal(vector, seen.Vector) {
				t.Fatalf("vector %v of\n%s", vector, crdttest.DescribeRecord(r))
			}
			// What is made of a view changes nothing of what it shows.
			other := crdttest.Records().Draw(t, "others")
			_ = crdt.Join(seen, other[len(other)-1]).Encode()
			if !bytes.Equal(text, before) {
				t.Fatal("the bytes behind a view have changed")
			}
		}
	})
}

// TestAPathHoldsNoValue: whoever keeps the name of a field of a decoded record does
// not keep its values with it.
func TestAPathHoldsNoValue(t *testing.T) {
	const records, size = 100, 64 << 10
	r := replicas(1)[0]
	write(t, r, map[string][]byte{"/data/k": []byte(`"` + strings.Repeat("x", size) + `"`)})
	text := r.Record.Encode()
	var names []string
	before := live()
	for range records {
		rec, err := crdt.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		for path := range rec.Live().Registers {
			names = append(names, path)
		}
	}
	if held := live() - before; held > records*size/10 {
		t.Errorf("%d names hold %d bytes", len(names), held)
	}
	runtime.KeepAlive(names)
}

func live() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
