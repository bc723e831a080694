package core

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
	"holon/testnet/golden"
)

// frame is a format of messages between nodes: one kind of body.
func frame[B any](name string, kind byte, body B, say func(B) string) golden.Format {
	return golden.Format{
		Name: name,
		Make: func(*testing.T) []byte { return encodeMessage(kind, body) },
		Read: func(b []byte) (string, error) {
			var got B
			err := decodeMessage(b, &got)
			return fmt.Sprintf("kind %d\n%s", b[0], say(got)), err
		},
	}
}

// words are every field of a body by its name.
func words[B any](body B) string {
	text, err := json.MarshalIndent(body, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestGoldenFormats(t *testing.T) {
	records := []packedRecord{{Key: "configmaps/default/a", Record: []byte{1}}, {Key: "secrets/default/b", Record: []byte{1, 2}}}
	context := (&crdt.Context{}).Encode()
	golden.Check(t, frame("put.v1", kindPut, putBody{Records: records}, func(b putBody) string { return fmt.Sprintf("%v", b.Records) }))
	golden.Check(t, frame("digest.v1", kindDigest, digestBody{Context: [32]byte{1}, Epoch: 2, Seq: 3, Answer: true, Floor: crdt.FloorID{4}, Root: crdt.Fingerprint{High: 5, Low: 6}, Level: true}, words[digestBody]))
	golden.Check(t, frame("pull.v1", kindPull, pullBody{ID: 7, Context: context, By: crdt.ReplicaID{1}, At: 9}, words[pullBody]))
	golden.Check(t, frame("chunk.v1", kindChunk, chunkBody{ID: 7, Records: records, By: crdt.ReplicaID{1}, At: 9, Done: true, Context: context, Floor: []byte{3}}, words[chunkBody]))
	golden.Check(t, frame("floor.v1", kindFloor, floorBody{Floor: []byte{3}}, words[floorBody]))
	golden.Check(t, frame("check.v1", kindCheck, checkBody{ID: 7, Round: 2, Items: []checkItem{{Key: "configmaps/default/a", UID: crdt.UID{8}, By: crdt.ReplicaID{1}, At: 9}}}, words[checkBody]))
	golden.Check(t, frame("gone.v1", kindGone, goneBody{ID: 7, Round: 2, Gone: []int{0, 4}}, words[goneBody]))
	golden.Check(t, frame("have.v1", kindHave, haveBody{Records: []haveRecord{{Key: "configmaps/default/a", By: crdt.ReplicaID{1}, At: 9, Size: 20_000}}}, words[haveBody]))
	golden.Check(t, frame("fetch.v1", kindFetch, fetchBody{Keys: []state.Key{"configmaps/default/a"}, Repair: true}, words[fetchBody]))
	golden.Check(t, frame("tree.v1", kindTree, treeBody{Context: [32]byte{1}, Sums: []byte{1, 2}}, words[treeBody]))
	golden.Check(t, frame("leaves.v1", kindLeaves, leavesBody{Buckets: []int{3}, Leaves: []leaf{{Key: "configmaps/default/a", Print: crdt.Fingerprint{High: 5, Low: 6}}}}, words[leavesBody]))
	golden.Check(t, frame("repair.v1", kindRepair, repairBody{Records: records}, words[repairBody]))
	golden.Check(t, golden.Format{
		Name: "marks.v1",
		Make: func(*testing.T) []byte { return encodeMarks(crdt.Marks{Counter: 4096, Time: 77}) },
		Read: func(b []byte) (string, error) {
			var m crdt.Marks
			err := cbor.Unmarshal(b, &m)
			return fmt.Sprintf("counters to %d, time %d", m.Counter, m.Time), err
		},
	})
}

// FuzzReceive feeds any frame to a node: no panic, nothing is sent that a frame
// cannot carry, and what it stores it can load again.
func FuzzReceive(f *testing.F) {
	for _, kind := range []byte{kindSwim, kindPut, kindDigest, kindPull, kindChunk, kindStatus, kindStatusAsk, kindFloor, kindCheck, kindGone, kindHave, kindFetch, kindTree, kindLeaves, kindRepair, 99} {
		f.Add(append([]byte{kind}, 0xa0))
	}
	f.Add(encodeMessage(kindPut, putBody{Records: []packedRecord{{Key: "configmaps/default/a", Record: []byte{1}}}}))
	f.Add(encodeMessage(kindPull, pullBody{ID: 7, Context: (&crdt.Context{}).Encode()}))
	f.Add(encodeMessage(kindChunk, chunkBody{ID: 7, Done: true, Context: (&crdt.Context{}).Encode()}))
	f.Add((&state.NodeStatus{Node: "n"}).Encode())
	nothing := func(string, func(string, []byte) error) error { return nil }
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := New(Config{Node: "n1", Peer: "p1", Cluster: "c", Replica: crdt.ReplicaID{1}, Epoch: 1, Known: []p2p.Member{{ID: "p2"}}}, 1, nothing)
		if err != nil {
			t.Fatal(err)
		}
		ready := c.Step(2, Received{From: "p2", Frame: data})
		for _, e := range ready.Send {
			if len(e.Frame) > p2p.FrameBytesMax {
				t.Fatalf("%d bytes are sent", len(e.Frame))
			}
		}
		disk := memory{}
		disk.keep(ready)
		c.Step(3, Woke{})
		if _, err := New(c.cfg, 4, disk.load); err != nil {
			t.Fatalf("what the frame left on disk does not load: %v", err)
		}
	})
}

// FuzzLoad: whatever the store says a disk holds under a key of the core, it boots
// or says why not, and what it makes of it boots again.
func FuzzLoad(f *testing.F) {
	f.Add(diskHigh, encodeMarks(crdt.Marks{Counter: 4096, Time: 77}))
	f.Add(diskContext, (&crdt.Context{}).Encode())
	f.Add(diskFloor, crdt.Floor{{1}: 3}.Encode())
	f.Add(diskMet, encodeNumber(1<<63))
	f.Add(diskUptime, encodeNumber(1<<63))
	f.Add(diskSwim, encodeNumber(1<<63))
	f.Add(diskAside+"1/configmaps/default/a", []byte{0xa1, 4, 0x1b, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Add(diskRecords+"members//p", []byte{1})
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		disk := memory{key: value}
		cfg := Config{Node: "n1", Peer: "p1", Cluster: "c", Replica: crdt.ReplicaID{1}, Epoch: 1}
		c, err := New(cfg, 1, disk.load)
		if err != nil {
			return
		}
		disk.keep(c.Step(2, Woke{}))
		disk.keep(c.Step(2+2*uptimeEvery, Asked{ID: 1, Op: Mutate{Key: "configmaps/default/b", Create: true, NewUID: crdt.UID{1}}}))
		if _, err := New(cfg, 4, disk.load); err != nil {
			t.Fatalf("%q %x was read, and what followed is not: %v", key, value, err)
		}
	})
}
