package core

import (
	"holon/crdt"
)

// Copy asks for all records as they are now. Its Ack, like any other, is given
// once all of them are durable here.
type Copy struct{}

func (Copy) op() {}

// Copied is the store at one moment: the records as they are stored, in no order,
// and the context that goes with them. Stored bytes never change, so it costs a
// reference each, and the core goes on at once.
type Copied struct {
	Records []crdt.KV // keys as state.Key; values are shared
	Context []byte
	Replica crdt.ReplicaID
}

func (c *Core) copyStore() *Copied {
	out := &Copied{
		Records: make([]crdt.KV, 0, len(c.store.entries)),
		Context: c.store.context.Encode(), Replica: c.Replica(),
	}
	for key, e := range c.store.entries {
		out.Records = append(out.Records, crdt.KV{Key: string(key), Value: e.encoded})
	}
	return out
}

// Import creates many objects by one request. Those that are there already stay as
// they are.
type Import struct{ Objects []Mutate }

func (Import) op() {}
