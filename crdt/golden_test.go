package crdt_test

import (
	"fmt"
	"testing"

	"holon/crdt"
	"holon/crdt/crdttest"
	"holon/testnet/golden"
)

func TestGoldenFormats(t *testing.T) {
	golden.Check(t, golden.Format{
		Name: "record.v1",
		Make: func(t *testing.T) []byte { // with a field of a later version in it
			return later(t, goldenRecord(t), 99, "later").Encode()
		},
		Read: func(b []byte) (string, error) {
			r, err := crdt.Decode(b)
			if err != nil {
				return "", err
			}
			return crdttest.DescribeRecord(r), nil
		},
		Again: func(b []byte) ([]byte, error) {
			r, err := crdt.Decode(b)
			if err != nil {
				return nil, err
			}
			return r.Encode(), nil
		},
	})
	golden.Check(t, golden.Format{
		Name: "context.v1",
		Make: func(*testing.T) []byte {
			var c crdt.Context
			c.AddThrough(crdt.ReplicaID{1}, 300)
			c.Add(crdt.Dot{Replica: crdt.ReplicaID{1}, Counter: 400})
			c.Add(crdt.Dot{Replica: crdt.ReplicaID{2, 3}, Counter: 7})
			return c.Encode()
		},
		Read: func(b []byte) (string, error) {
			c, err := crdt.DecodeContext(b)
			said := ""
			for _, d := range []crdt.Dot{
				{Replica: crdt.ReplicaID{1}, Counter: 300}, {Replica: crdt.ReplicaID{1}, Counter: 301}, {Replica: crdt.ReplicaID{1}, Counter: 400},
				{Replica: crdt.ReplicaID{2, 3}, Counter: 6}, {Replica: crdt.ReplicaID{2, 3}, Counter: 7},
			} {
				said += fmt.Sprintf("%s is in it: %t\n", d, c.Has(d))
			}
			return said, err
		},
	})
}
