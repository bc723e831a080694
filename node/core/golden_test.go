package core

import (
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

func TestGoldenFormats(t *testing.T) {
	records := []packedRecord{{Key: "configmaps/default/a", Record: []byte{1}}, {Key: "secrets/default/b", Record: []byte{1, 2}}}
	context := (&crdt.Context{}).Encode()
	golden.Check(t, frame("put.v1", kindPut, putBody{Records: records}, func(b putBody) string { return fmt.Sprintf("%v", b.Records) }))
	golden.Check(t, frame("digest.v1", kindDigest, digestBody{Context: [32]byte{1}, Epoch: 2, Seq: 3, Answer: true}, func(b digestBody) string {
		return fmt.Sprintf("context %x\nepoch %d seq %d answer %t", b.Context, b.Epoch, b.Seq, b.Answer)
	}))
	golden.Check(t, frame("pull.v1", kindPull, pullBody{ID: 7, Context: context, After: "configmaps/default/a"}, func(b pullBody) string {
		return fmt.Sprintf("id %d after %s context %x", b.ID, b.After, b.Context)
	}))
	golden.Check(t, frame("chunk.v1", kindChunk, chunkBody{ID: 7, Records: records, Next: "secrets/default/b", Done: true, Context: context}, func(b chunkBody) string {
		return fmt.Sprintf("id %d next %s done %t context %x\n%v", b.ID, b.Next, b.Done, b.Context, b.Records)
	}))
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
	for _, kind := range []byte{kindSwim, kindPut, kindDigest, kindPull, kindChunk, kindStatus, kindStatusAsk, 99} {
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
		disk := ready.Persist
		c.Step(3, Woke{})
		if _, err := New(c.cfg, 4, func(prefix string, each func(string, []byte) error) error {
			for _, kv := range disk {
				if len(kv.Key) >= len(prefix) && kv.Key[:len(prefix)] == prefix {
					if err := each(kv.Key, kv.Value); err != nil {
						return err
					}
				}
			}
			return nil
		}); err != nil {
			t.Fatalf("what the frame left on disk does not load: %v", err)
		}
	})
}
