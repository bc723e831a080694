package node

import (
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
	"holon/p2p"
)

// bare is a node without a loop, a disk or a mesh: a core and the cache over it.
type bare struct {
	*Node
	core *core.Core
	now  core.Instant
}

func newBare(t rapid.TB, name string, load func(string, func(string, []byte) error) error) *bare {
	cfg := core.Config{
		Node: name, Peer: p2p.PeerID(name), Cluster: testCluster, Replica: crdt.ReplicaID([]byte(name + "0123456789abcd")), Passive: true,
		Known: []p2p.Member{{ID: "n1"}, {ID: "n2"}},
	}
	c, err := core.New(cfg, 0, load)
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{cfg: Config{Cache: api.NewCache(1, 1, nil), Logger: slog.New(slog.DiscardHandler)}}
	n.log = n.cfg.Logger
	return &bare{Node: n, core: c}
}

func empty(string, func(string, []byte) error) error { return nil }

// step shows what a step brings, as the committer would. Time enough passes for
// each write to be sent.
func (b *bare) step(ev core.Event) core.Ready {
	b.now += 10 * time.Millisecond
	ready := b.core.Step(b.now, ev)
	b.project(ready.Changed, ready.Derived)
	return ready
}

func (b *bare) write(t rapid.TB, op core.Mutate) core.Ready {
	ready := b.step(core.Asked{Op: op})
	for _, ack := range ready.Acks {
		if ack.Err != nil {
			t.Fatal(ack.Err)
		}
	}
	return ready
}

func largeMap(i int, value string) core.Mutate {
	name := fmt.Sprintf("c%06d", i)
	return core.Mutate{
		Key: state.MakeKey(state.ConfigMaps, "default", name), Create: true, NewUID: state.DerivedUID(name),
		New: map[string][]byte{
			"/metadata/creationTimestamp": []byte(`"2026-01-01T00:00:00Z"`), "/data/value": []byte(`"` + value + `"`),
		},
	}
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers held
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestAConfigMapIsKeptOnce wants a node to hold little more of an object than its
// encoded record: one copy in the store, that readers share, and small indexes.
func TestAConfigMapIsKeptOnce(t *testing.T) {
	const objects, size = 5000, 1024
	b := newBare(t, "n1", empty)
	value := strings.Repeat("x", size)
	b.write(t, largeMap(0, value))
	before := liveHeap()
	encoded := 0
	for i := range objects {
		for _, kv := range b.write(t, largeMap(1+i, value)).Persist {
			if strings.HasPrefix(kv.Key, "r/") {
				encoded += len(kv.Value)
			}
		}
	}
	perObject, perRecord := int(liveHeap()-before)/objects, encoded/objects
	t.Logf("%d bytes of heap for each record of %d", perObject, perRecord)
	if perRecord < size || perObject > 2*perRecord {
		t.Errorf("%d bytes of heap for each record of %d", perObject, perRecord)
	}
	runtime.KeepAlive(b)
}

// BenchmarkWrite is the processor time that core and cache take for one update of
// a ConfigMap of 1 KB, where it is written and where it arrives. Disk and network
// are not in it.
func BenchmarkWrite(b *testing.B) {
	const keys = 1000
	value := strings.Repeat("x", 1024)
	setUp := func() (writer *bare, updates func(i int) core.Mutate) {
		writer = newBare(b, "n1", empty)
		for i := range keys {
			writer.write(b, largeMap(i, value))
		}
		return writer, func(i int) core.Mutate {
			op := largeMap(i%keys, fmt.Sprintf("%016d%s", i, value[16:]))
			op.Create, op.UID = false, op.NewUID
			return op
		}
	}
	b.Run("origin", func(b *testing.B) {
		writer, update := setUp()
		b.ReportAllocs()
		defer reportCPU(b)()
		for i := 0; b.Loop(); i++ {
			writer.write(b, update(i))
		}
	})
	b.Run("peer", func(b *testing.B) {
		writer, update := setUp()
		reader := newBare(b, "n2", empty)
		sent := make([]core.Envelope, 0, b.N)
		for i := range b.N {
			sent = append(sent, writer.write(b, update(i)).Send...)
		}
		b.ReportAllocs()
		b.ResetTimer()
		defer reportCPU(b)()
		for _, e := range sent {
			reader.step(core.Received{From: "n1", Frame: e.Frame})
		}
	})
}

// reportCPU adds the processor time of the whole process to a benchmark's
// figures: on a machine that is shared, elapsed time says little.
func reportCPU(b *testing.B) (end func()) {
	began := processorTime(b)
	return func() { b.ReportMetric(float64(processorTime(b)-began)/float64(b.N), "cpu-ns/op") }
}

func processorTime(b *testing.B) int64 {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}

// BenchmarkBoot is what it takes to decode, index and show a stored ConfigMap of
// 1 KB when a node starts.
func BenchmarkBoot(b *testing.B) {
	writer := newBare(b, "n1", empty)
	value := strings.Repeat("x", 1024)
	pairs := map[string][]byte{}
	for i := range b.N {
		for _, kv := range writer.write(b, largeMap(i, value)).Persist {
			pairs[kv.Key] = kv.Value
		}
	}
	keys := slices.Sorted(maps.Keys(pairs))
	load := func(prefix string, f func(string, []byte) error) error {
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) {
				if err := f(key, pairs[key]); err != nil {
					return err
				}
			}
		}
		return nil
	}
	b.ReportAllocs()
	b.ResetTimer()
	defer reportCPU(b)()
	again := newBare(b, "n1", load)
	again.projectAll(again.core.Snapshot())
}
