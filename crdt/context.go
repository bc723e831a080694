package crdt

import (
	"crypto/sha256"
	"maps"
	"slices"
)

// IntervalsMax bounds, per replica, what a Context remembers above its
// contiguous part.
const IntervalsMax = 1024

// Range is the counters From..To of one replica, both included.
type Range struct{ From, To uint64 }

// Context is the set of dots a replica has: per replica the contiguous part
// 1..n and at most IntervalsMax intervals above it. The zero value is empty.
//
// I2: d ∈ ctx ⇒ the state contains write(d). So Add, AddVector and Union come
// after the records they speak of, in the same durable transaction.
//
// I5: forgetting a dot is always safe, claiming one never is. A forgotten dot
// costs a record that is sent again; a false claim loses a write for ever.
// Hence the overflow rule: of more than IntervalsMax intervals the highest are
// forgotten. I1 (vec(K) ⊆ ctx) lapses for the keys concerned, so a sender must
// never use its own context to find what a peer lacks, only the vectors of its
// records:
//
//	send(K)  ⇔  vec(K) ⊄ ctx(peer)  ⇔  ¬ctx(peer).CoversVector(vec(K))
//
// After all such K have arrived the peer may Union the sender's context. Proof:
// for d = (r,c) ∈ ctx(sender) \ ctx(peer) on K, state(K).Vector[r] >= c by I2.
// Either the dot (r, state(K).Vector[r]) is outside ctx(peer), then K was sent;
// or the peer has it, and with it r's earlier writes to K, d among them.
type Context struct {
	replicas map[ReplicaID]coverage
}

// coverage is 1..through and, above it, disjoint intervals that do not touch,
// ascending.
type coverage struct {
	through uint64
	above   []Range
}

// Has reports whether d is in the set.
func (c *Context) Has(d Dot) bool {
	have := c.replicas[d.Replica]
	if d.Counter <= have.through {
		return d.Counter > 0
	}
	i, found := have.find(d.Counter)
	return found || i < len(have.above) && have.above[i].From <= d.Counter
}

// find returns the first interval that ends at n or later; found if it ends
// at n.
func (v coverage) find(n uint64) (int, bool) {
	return slices.BinarySearchFunc(v.above, n, func(r Range, n uint64) int {
		switch {
		case r.To < n:
			return -1
		case r.To > n:
			return 1
		}
		return 0
	})
}

// Add puts d in the set. A dot outside 1..CounterMax is not a dot and ignored.
func (c *Context) Add(d Dot) {
	if d.Counter == 0 || d.Counter > CounterMax || c.Has(d) {
		return
	}
	have := c.replicas[d.Replica]
	if len(have.above) == 0 && d.Counter == have.through+1 {
		have.through++
	} else {
		have = have.union(coverage{above: []Range{{d.Counter, d.Counter}}})
	}
	c.put(d.Replica, have)
}

// AddVector adds the exact dots of a record's vector.
func (c *Context) AddVector(v Vector) {
	for r, n := range v {
		c.Add(Dot{r, n})
	}
}

func (c *Context) put(r ReplicaID, v coverage) {
	if c.replicas == nil {
		c.replicas = make(map[ReplicaID]coverage)
	}
	c.replicas[r] = v
}

// Union adds all of o, as allowed after a completed sync from o's owner.
func (c *Context) Union(o Context) {
	for r, theirs := range o.replicas {
		if ours, ok := c.replicas[r]; ok {
			theirs = ours.union(theirs)
		} else {
			theirs.above = slices.Clone(theirs.above)
		}
		c.put(r, theirs)
	}
}

// union shares nothing with v and o, and forgets the highest intervals beyond
// IntervalsMax.
func (v coverage) union(o coverage) coverage {
	out := coverage{through: max(v.through, o.through)}
	a, b := v.above, o.above
	for len(a)+len(b) > 0 {
		var next Range
		if len(b) == 0 || len(a) > 0 && a[0].From <= b[0].From {
			next, a = a[0], a[1:]
		} else {
			next, b = b[0], b[1:]
		}
		last := len(out.above) - 1
		switch {
		case next.From <= out.through+1:
			out.through = max(out.through, next.To)
		case last >= 0 && next.From <= out.above[last].To+1:
			out.above[last].To = max(out.above[last].To, next.To)
		case len(out.above) < IntervalsMax:
			out.above = append(out.above, next)
		default:
			return out
		}
	}
	return out
}

// CoversVector reports whether all exact dots of v are in the set: whether the
// owner of the context needs nothing from the record of v.
func (c *Context) CoversVector(v Vector) bool {
	for r, n := range v {
		if !c.Has(Dot{r, n}) {
			return false
		}
	}
	return true
}

// Covers reports whether o is a subset of c.
func (c *Context) Covers(o Context) bool {
	for r, theirs := range o.replicas {
		if !c.replicas[r].covers(theirs) {
			return false
		}
	}
	return true
}

func (v coverage) covers(o coverage) bool {
	if o.through > v.through {
		return false
	}
	for _, want := range o.above {
		if want.To <= v.through {
			continue
		}
		i, found := v.find(want.To)
		if !found && i == len(v.above) || v.above[i].From > want.From {
			return false
		}
	}
	return true
}

// Outside returns the counters of r that are not in the set, ascending, the
// last range ending at CounterMax. With an index from dots to keys it finds what
// to send to the owner of c: the keys of r's dots in these ranges, over all
// replicas r of the index.
func (c *Context) Outside(r ReplicaID) []Range {
	have := c.replicas[r]
	out := make([]Range, 0, len(have.above)+1)
	from := have.through + 1
	for _, known := range have.above {
		out = append(out, Range{from, known.From - 1})
		from = known.To + 1
	}
	if from <= CounterMax {
		out = append(out, Range{from, CounterMax})
	}
	return out
}

// Contiguous returns the contiguous part: all writes 1..n of each replica.
func (c *Context) Contiguous() Floor {
	out := make(Floor, len(c.replicas))
	for r, have := range c.replicas {
		if have.through > 0 {
			out[r] = have.through
		}
	}
	return out
}

// Clone returns a copy that shares nothing with c.
func (c *Context) Clone() Context {
	out := Context{replicas: maps.Clone(c.replicas)}
	for r, have := range out.replicas {
		have.above = slices.Clone(have.above)
		out.replicas[r] = have
	}
	return out
}

// Equal reports whether c and o are the same set.
func (c *Context) Equal(o Context) bool {
	return maps.EqualFunc(c.replicas, o.replicas, func(a, b coverage) bool {
		return a.through == b.through && slices.Equal(a.above, b.above)
	})
}

// Hash is the SHA-256 of Encode: equal sets have equal hashes.
func (c *Context) Hash() [32]byte { return sha256.Sum256(c.Encode()) }
