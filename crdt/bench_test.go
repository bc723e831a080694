package crdt_test

import (
	"fmt"
	"maps"
	goruntime "runtime"
	"slices"
	"testing"

	"holon/crdt"
	"holon/crdt/crdttest"
)

// benchRecords are two sides of a Deployment of 50 registers, four replicas and
// some history, that differ in three of them.
func benchRecords() (a, b *crdt.Record) {
	r := replicas(4)
	values := map[string][]byte{}
	for i := range 50 {
		values[fmt.Sprintf("/spec/template/spec/containers/field%02d", i)] = fmt.Appendf(nil, `"value number %d of the object"`, i)
	}
	apply := func(i int, values map[string][]byte) {
		if !r[i].Apply(crdttest.Op{Write: r[i].Next(0), UID: uid, Values: values}) {
			panic("write refused")
		}
	}
	apply(0, values)
	paths := slices.Sorted(maps.Keys(values))
	for i := 1; i < 4; i++ {
		r[i].Receive(r[i-1].State)
		apply(i, map[string][]byte{paths[i]: []byte("1"), paths[10+i]: []byte("2")})
	}
	r[0].Receive(r[3].State)
	apply(0, map[string][]byte{paths[20]: []byte("3")})
	apply(1, map[string][]byte{paths[20]: []byte("4"), paths[30]: []byte("5")})
	return r[0].Record, r[1].Record
}

func BenchmarkJoin(b *testing.B) {
	x, y := benchRecords()
	b.ReportAllocs()
	for b.Loop() {
		crdt.Join(x, y)
	}
}

func BenchmarkJoinOfNothingNew(b *testing.B) {
	x, y := benchRecords()
	x = crdt.Join(x, y)
	y, _ = crdt.Decode(y.Encode())
	b.ReportAllocs()
	for b.Loop() {
		crdt.Join(x, y)
	}
}

func BenchmarkSet(b *testing.B) {
	x, _ := benchRecords()
	w := crdttest.NewReplica(7)
	w.Time = 1000
	next := w.Next(0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Set(uid, next, value("1")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	x, _ := benchRecords()
	b.SetBytes(int64(len(x.Encode())))
	b.ReportAllocs()
	for b.Loop() {
		x.Encode()
	}
}

func BenchmarkDecode(b *testing.B) {
	x, _ := benchRecords()
	encoded := x.Encode()
	b.SetBytes(int64(len(encoded)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := crdt.Decode(encoded); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDotIndex indexes 100,000 records of three writers and reports what
// one costs in memory, and what finding ten missing ones costs.
func BenchmarkDotIndex(b *testing.B) {
	const records = 100_000
	var before, after goruntime.MemStats
	goruntime.GC()
	goruntime.ReadMemStats(&before)
	keys := make([]string, records)
	for i := range keys {
		keys[i] = fmt.Sprintf("configmaps/default/c%d", i)
	}
	goruntime.GC()
	goruntime.ReadMemStats(&before)
	var index crdt.DotIndex
	var has crdt.Context
	for r := 1; r <= 3; r++ {
		has.AddThrough(replicaN(r), records)
	}
	for i, key := range keys {
		index.Move(key, nil, crdt.Vector{replicaN(1 + i%3): uint64(i + 1)})
	}
	goruntime.GC()
	goruntime.ReadMemStats(&after)
	for i := range 10 {
		index.Move(keys[i], crdt.Vector{replicaN(1 + i%3): uint64(i + 1)}, crdt.Vector{replicaN(1 + i%3): records + uint64(i) + 1})
	}
	for b.Loop() {
		found := 0
		index.Outside(&has, crdt.Dot{}, func(crdt.Dot, string) bool { found++; return true })
		if found != 10 {
			b.Fatal(found)
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/records, "B/record")
	goruntime.KeepAlive(keys)
}
