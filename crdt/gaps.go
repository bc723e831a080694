package crdt

// AddThrough claims all counters 1..n of a replica. Only the replica itself may
// do so, for counters that it has issued or never will (HighWater).
func (c *Context) AddThrough(r ReplicaID, n uint64) {
	if n == 0 {
		return
	}
	c.Union(Context{replicas: map[ReplicaID]coverage{r: {through: n}}})
}

// HasGaps reports whether some replica's writes are known beyond one that is
// not: something is on its way, or lost.
func (c *Context) HasGaps() bool {
	for _, have := range c.replicas {
		if len(have.above) > 0 {
			return true
		}
	}
	return false
}

// Time is the greatest Lamport time issued or witnessed.
func (h HighWater) Time() uint64 { return h.last.Time }

// Persisted returns the marks that were reserved last.
func (h HighWater) Persisted() Marks { return h.reserved }
