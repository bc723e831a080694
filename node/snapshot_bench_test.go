package node

import (
	"fmt"
	"io"
	"testing"

	"holon/crdt"
	"holon/crdt/snapshot"
	"holon/crdt/state"
	"holon/node/core"
)

// benchObjects is how many ConfigMaps of 400 bytes a benchmark saves.
const benchObjects = 100_000

func benchDisk(b *testing.B) *memory {
	disk := &memory{pairs: map[string][]byte{diskReplica: make([]byte, 16)}}
	replica := crdt.ReplicaID{1}
	disk.pairs[diskReplica] = replica[:]
	text := fmt.Sprintf("%0400d", 0)
	for i := range benchObjects {
		w := crdt.Write{Dot: crdt.Dot{Replica: replica, Counter: uint64(i + 1)}, Stamp: crdt.Stamp{Time: uint64(i + 1), Replica: replica}}
		rec, err := (*crdt.Record)(nil).Set(crdt.UID{byte(i), byte(i >> 8), byte(i >> 16)}, w, map[string][]byte{
			"/data/k": state.EncodeRegister(text + fmt.Sprint(i)), "/metadata/creationTimestamp": []byte(`"2026-01-01T00:00:00Z"`),
		})
		if err != nil {
			b.Fatal(err)
		}
		disk.pairs["r/"+string(state.MakeKey(state.ConfigMaps, "default", fmt.Sprintf("c%06d", i)))] = rec.Encode()
	}
	return disk
}

func benchCore(b *testing.B) *core.Core {
	c, err := core.New(core.Config{Node: "n1", Peer: "p1", Cluster: testCluster, Replica: crdt.ReplicaID{1}, Passive: true}, 1, benchDisk(b).Load)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkCopy is how long the loop of a node is held up by a snapshot.
func BenchmarkCopy(b *testing.B) {
	c := benchCore(b)
	b.ReportAllocs()
	for b.Loop() {
		if n := len(c.Step(1, core.Asked{ID: 1, Op: core.Copy{}}).Acks[0].Copied.Records); n != benchObjects {
			b.Fatal(n)
		}
	}
}

// BenchmarkSnapshot is everything else: sorting, packing, checksums.
func BenchmarkSnapshot(b *testing.B) {
	c := benchCore(b)
	b.ReportAllocs()
	for b.Loop() {
		copied := c.Step(1, core.Asked{ID: 1, Op: core.Copy{}}).Acks[0].Copied
		if err := writeSnapshot(b.Context(), io.Discard, copied, snapshot.Header{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(benchObjects, "records")
}
