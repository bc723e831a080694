package crdt

import (
	"bytes"
	"slices"
)

// SiblingsMax bounds the losing writes that one register keeps.
const SiblingsMax = 4

// Sibling is a losing write that conflicts with the winner: its value differs,
// and nobody who saw it has written the register since.
type Sibling struct {
	Write
	Value []byte // nil: absent
}

// Register is one field. Its embedded Write and Value are the winner: the
// greatest stamp. Siblings are the writes in conflict with it, greatest first;
// the next write to the register that has seen them clears them.
//
// What is kept. Let W be all writes to the register in the record's history,
// and for w ∈ W let seen(w) be those that its writer had before it. Then
//
//	last(W) = the greatest write of each replica in W
//	kept(W) = the SiblingsMax+1 greatest of last(W)
//	settled = { e ∈ kept(W) : e ∈ seen(w) for some w ∈ W }
//
// and Join computes kept and settled of a union from those of its two sides.
// That is exact, because a write is greater than all it has seen (Set refuses
// others): what pushes e out of kept is greater and by another replica, that
// replica's later writes are greater still, so e never comes back; and e's
// settler is greater than e, so it cannot be pushed out before e is.
//
// Why settled writes and losers with the winner's own value stay on the books
// (as shadows, without a value) although nobody is shown them: forgetting them
// at once is not associative. Let a and c be concurrent with equal values, and
// let d overwrite a without having seen c. (a ⊔ c) ⊔ d would have dropped c as
// a duplicate of a; a ⊔ (c ⊔ d) shows c beside d. Counting only live losers
// against SiblingsMax fails in the same way. The price: a conflict is forgotten
// once SiblingsMax+1 other replicas have written the register with greater
// stamps.
type Register struct {
	Write
	Value    []byte // nil: absent
	Siblings []Sibling
	more     *shadows // nil in the common case
}

// shadows is the part of a register that is kept for Join alone.
type shadows struct {
	losers  []shadow // greatest first
	unknown []byte   // fields of a later format; see joinUnknown
}

// shadow is a losing write that is nobody's conflict: seen by a later writer,
// or, if not, of the same value as the winner.
type shadow struct {
	Write
	settled bool
}

// entry is one kept write in the plain form that registers are computed in.
type entry struct {
	Write
	value   []byte // nil if absent or settled
	settled bool
}

func (g Register) plain() bool { return g.Siblings == nil && g.more == nil }

func (g Register) unknown() []byte {
	if g.more == nil {
		return nil
	}
	return g.more.unknown
}

// entries lists the kept writes, the winner first, in no other order.
func (g Register) entries(out []entry) []entry {
	out = append(out, entry{Write: g.Write, value: g.Value})
	for _, s := range g.Siblings {
		out = append(out, entry{Write: s.Write, value: s.Value})
	}
	if g.more == nil {
		return out
	}
	for _, s := range g.more.losers {
		e := entry{Write: s.Write, settled: s.settled}
		if !s.settled {
			e.value = g.Value
		}
		out = append(out, e)
	}
	return out
}

// descending sorts the greatest write first. Of two entries of one write, which
// I4 allows to differ in settled only, the settled one comes first; the rest
// keeps the order total on forged input.
func descending(a, b entry) int {
	if c := b.compare(a.Write); c != 0 {
		return c
	}
	if a.settled != b.settled {
		if a.settled {
			return -1
		}
		return 1
	}
	return compareValues(b.value, a.value)
}

// compareValues orders absent before any value.
func compareValues(a, b []byte) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return bytes.Compare(a, b)
}

// keep computes kept(W) of the union that es lists; it reorders es.
func keep(es []entry) []entry {
	slices.SortFunc(es, descending)
	kept := es[:0]
	for _, e := range es {
		if len(kept) > SiblingsMax {
			break
		}
		if !slices.ContainsFunc(kept, func(k entry) bool { return k.Dot.Replica == e.Dot.Replica }) {
			kept = append(kept, e)
		}
	}
	return kept
}

// arrange builds the register of kept entries, which are descending and not
// empty.
func arrange(kept []entry, unknown []byte) Register {
	g := Register{Write: kept[0].Write, Value: kept[0].value}
	var losers []shadow
	for _, e := range kept[1:] {
		if e.settled || compareValues(e.value, g.Value) == 0 {
			losers = append(losers, shadow{Write: e.Write, settled: e.settled})
		} else {
			g.Siblings = append(g.Siblings, Sibling{Write: e.Write, Value: e.value})
		}
	}
	if losers != nil || len(unknown) > 0 {
		g.more = &shadows{losers: losers, unknown: unknown}
	}
	return g
}

// overwrite is the register after w by a writer that has seen g.
func (g Register) overwrite(w Write, value []byte) Register {
	var room [SiblingsMax + 2]entry
	es := g.entries(room[:0])
	for i := range es {
		es[i].value, es[i].settled = nil, true
	}
	es = append(es, entry{Write: w, value: value})
	return arrange(keep(es), g.unknown())
}

// joinRegister reports false if b adds nothing to a.
func joinRegister(a, b Register) (Register, bool) {
	if equalRegister(a, b) {
		return a, false
	}
	var room [2 * (SiblingsMax + 1)]entry
	kept := keep(b.entries(a.entries(room[:0])))
	out := arrange(kept, joinUnknown(a.unknown(), b.unknown()))
	return out, !equalRegister(a, out)
}

func equalRegister(a, b Register) bool {
	if a.Write != b.Write || compareValues(a.Value, b.Value) != 0 ||
		!slices.EqualFunc(a.Siblings, b.Siblings, func(x, y Sibling) bool {
			return x.Write == y.Write && compareValues(x.Value, y.Value) == 0
		}) {
		return false
	}
	if a.more == nil || b.more == nil {
		return a.more == b.more
	}
	return slices.Equal(a.more.losers, b.more.losers) && bytes.Equal(a.more.unknown, b.more.unknown)
}

// lastTime is the greatest Lamport time of the register's kept writes: by rank,
// the winner need not be the latest.
func (g Register) lastTime() uint64 {
	t := g.Stamp.Time
	for _, s := range g.Siblings {
		t = max(t, s.Stamp.Time)
	}
	if g.more != nil {
		for _, s := range g.more.losers {
			t = max(t, s.Stamp.Time)
		}
	}
	return t
}
