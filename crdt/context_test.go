package crdt_test

import (
	"crypto/sha256"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/crdttest"
)

func replicaN(n int) crdt.ReplicaID { return crdt.ReplicaID{byte(n)} }

// someDots draws any set of dots: writes of a replica may arrive in any order.
func someDots() *rapid.Generator[[]crdt.Dot] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) crdt.Dot {
		return crdt.Dot{
			Replica: replicaN(rapid.IntRange(1, 3).Draw(t, "replica")),
			Counter: rapid.Uint64Range(1, 30).Draw(t, "counter"),
		}
	}), 0, 60)
}

func contextOf(dots []crdt.Dot) crdt.Context {
	var c crdt.Context
	for _, d := range dots {
		c.Add(d)
	}
	return c
}

func union(a, b crdt.Context) crdt.Context {
	out := a.Clone()
	out.Union(b)
	return out
}

func TestContextsJoinByTheLaws(t *testing.T) {
	crdttest.Laws(t, rapid.Map(someDots(), contextOf), union,
		func(a, b crdt.Context) bool { return a.Equal(b) })
}

func TestAContextIsASetOfDots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		left, right := someDots().Draw(t, "left"), someDots().Draw(t, "right")
		c, o := contextOf(left), contextOf(right)
		checkSet(t, c, left)
		checkSet(t, union(c, o), slices.Concat(left, right))

		missing := slices.ContainsFunc(right, func(d crdt.Dot) bool { return !slices.Contains(left, d) })
		if c.Covers(o) == missing {
			t.Fatalf("Covers is %v, with dots missing: %v", c.Covers(o), missing)
		}
		vector := crdt.Vector{}
		for _, d := range right {
			vector[d.Replica] = d.Counter
		}
		covered := true
		for r, n := range vector {
			covered = covered && slices.Contains(left, crdt.Dot{Replica: r, Counter: n})
		}
		if c.CoversVector(vector) != covered {
			t.Fatalf("CoversVector(%v) is %v", vector, !covered)
		}
		with := c.Clone()
		with.AddVector(vector)
		if !with.CoversVector(vector) || !with.Covers(c) {
			t.Fatal("AddVector did not add the vector")
		}
		checkSet(t, c, left) // nothing above changed c
	})
}

func checkSet(t *rapid.T, c crdt.Context, dots []crdt.Dot) {
	set := map[crdt.Dot]bool{}
	for _, d := range dots {
		set[d] = true
	}
	contiguous := crdt.Floor{}
	for r := 1; r <= 4; r++ {
		id := replicaN(r)
		outside := c.Outside(id)
		for n := range uint64(40) {
			d := crdt.Dot{Replica: id, Counter: n}
			if c.Has(d) != set[d] {
				t.Fatalf("Has(%v) is %v", d, c.Has(d))
			}
			out := slices.ContainsFunc(outside, func(g crdt.Range) bool { return g.From <= n && n <= g.To })
			if n > 0 && out == set[d] {
				t.Fatalf("Outside(%s) = %v, at %d", id, outside, n)
			}
			if set[d] && contiguous[id] == n-1 {
				contiguous[id] = n
			}
		}
		if outside[len(outside)-1].To != crdt.CounterMax {
			t.Fatalf("Outside(%s) = %v does not end", id, outside)
		}
	}
	if have := c.Contiguous(); !maps.Equal(have, contiguous) {
		t.Fatalf("Contiguous is %v, want %v", have, contiguous)
	}
	back, err := crdt.DecodeContext(c.Encode())
	if err != nil || !back.Equal(c) || back.Hash() != c.Hash() || c.Hash() != sha256.Sum256(c.Encode()) {
		t.Fatalf("decoded %v, %v from %v", back, err, c)
	}
}

// I5: beyond its bound a context forgets, and never claims.
func TestAFullContextForgetsAndNeverClaims(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := replicaN(1)
	added := map[uint64]bool{}
	var grown, joined crdt.Context
	for range 10 {
		var part crdt.Context
		for range 1000 {
			n := 2 + random.Uint64N(20000)
			added[n] = true
			grown.Add(crdt.Dot{Replica: r, Counter: n})
			part.Add(crdt.Dot{Replica: r, Counter: n})
		}
		joined.Union(part)
	}
	for name, c := range map[string]*crdt.Context{"grown": &grown, "joined": &joined} {
		have := 0
		for n := range uint64(20010) {
			if c.Has(crdt.Dot{Replica: r, Counter: n}) {
				have++
				if !added[n] {
					t.Fatalf("%s: claims %d, which was never added", name, n)
				}
			}
		}
		if gaps := len(c.Outside(r)); gaps != crdt.IntervalsMax+1 {
			t.Errorf("%s: %d intervals, want the full %d", name, gaps-1, crdt.IntervalsMax)
		}
		if have < crdt.IntervalsMax || have == len(added) {
			t.Errorf("%s: has %d of %d dots", name, have, len(added))
		}
		if back, err := crdt.DecodeContext(c.Encode()); err != nil || !back.Equal(*c) {
			t.Errorf("%s: full, it cannot be read again: %v", name, err)
		}
	}
}

func TestAContextIgnoresWhatIsNoDot(t *testing.T) {
	var c crdt.Context
	for _, n := range []uint64{0, crdt.CounterMax + 1, 1<<64 - 1} {
		c.Add(crdt.Dot{Counter: n})
		if c.Has(crdt.Dot{Counter: n}) {
			t.Errorf("has %d", n)
		}
	}
	c.Add(crdt.Dot{Counter: crdt.CounterMax})
	if got := c.Outside(crdt.ReplicaID{}); len(got) != 1 || got[0] != (crdt.Range{From: 1, To: crdt.CounterMax - 1}) {
		t.Errorf("outside %v", got)
	}
}

// A replica may claim its own counters, those lost in a crash included: they
// will never be issued.
func TestClaimingTheOwnCountersClosesTheirGaps(t *testing.T) {
	var c crdt.Context
	c.AddThrough(replicaN(1), 0)
	if c.HasGaps() || len(c.Contiguous()) != 0 {
		t.Errorf("claimed nothing, and it became %v", c)
	}
	c.Add(crdt.Dot{Replica: replicaN(1), Counter: 4097})
	if !c.HasGaps() {
		t.Error("no gap below the first write after a restart")
	}
	c.AddThrough(replicaN(1), 4096)
	if c.HasGaps() || c.Contiguous()[replicaN(1)] != 4097 {
		t.Errorf("gaps are left: %v", c)
	}
}
