package crdt_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"holon/crdt"
	"holon/crdt/crdttest"
)

// purger is a replica that purges: the protocol of package node/core in a few
// lines, over records that are only created, edited and deleted.
type purger struct {
	id      crdt.ReplicaID
	high    crdt.HighWater
	records map[string]*crdt.Record
	context crdt.Context
	floor   crdt.Floor
	heard   map[*purger]crdt.Floor
	ignores map[*purger]bool // do not count for its floor, rightly or not
}

// purgeRules says which rules a history of purgers leaves out.
type purgeRules struct {
	noStalePath, noIngestRule, noVectorRule, sharedBirths bool
}

type purgeHistory struct {
	random  *rand.Rand
	rules   purgeRules
	stores  []*purger
	late    []func() // gossip under way
	deleted map[crdt.UID]bool
	states  []*crdt.Record // of one key, until its record went as a whole: from then on
	spent   bool           // it takes contexts to join
	next    int
	stale   int
	purged  int
}

func (h *purgeHistory) newPurger() *purger {
	h.next++
	p := &purger{id: replicaN(h.next), records: map[string]*crdt.Record{}, heard: map[*purger]crdt.Floor{}, ignores: map[*purger]bool{}}
	p.high, _ = p.high.Reserve()
	return p
}

func (p *purger) under(d crdt.Dot) bool {
	return p.floor.Has(d) && d.Counter <= p.context.Through(d.Replica)
}

func (h *purgeHistory) put(p *purger, key string, rec *crdt.Record) {
	left := rec.Purge(p.under)
	h.purged += rec.Graves() - left.Graves()
	p.context.AddVector(rec.Vector)
	p.records[key] = left
	if left.Spent(p.under) {
		delete(p.records, key)
		h.spent = h.spent || key == "k0"
	}
	if key == "k0" && !h.spent {
		h.states = append(h.states, left)
	}
}

func (h *purgeHistory) write(p *purger) {
	key := fmt.Sprint("k", h.random.IntN(3))
	w, _ := p.high.Next(p.id)
	rec := p.records[key]
	var err error
	switch live := rec.Live(); {
	case live == nil:
		uid := crdt.UID{p.id[0], byte(w.Dot.Counter), byte(w.Dot.Counter >> 8), 1}
		if h.rules.sharedBirths {
			uid = crdt.UID{key[1], 2}
		}
		if rec, err = rec.Set(uid, w, map[string][]byte{"/a": {byte(h.random.IntN(9))}}); err != nil {
			return // a tombstone of the only UID
		}
	case h.random.IntN(3) == 0:
		h.deleted[live.UID] = true
		rec, err = rec.Delete(live.UID, w)
	default:
		rec, err = rec.Set(live.UID, w, map[string][]byte{"/a": {byte(h.random.IntN(9))}})
	}
	if err != nil {
		panic(err)
	}
	h.put(p, key, rec)
	for _, o := range h.stores {
		if o != p && h.random.IntN(3) == 0 {
			h.late = append(h.late, func() { h.receive(o, key, rec) })
		}
	}
}

func (h *purgeHistory) receive(p *purger, key string, theirs *crdt.Record) {
	p.high.Witness(theirs.Time())
	p.high, _ = p.high.Reserve()
	if !h.rules.noIngestRule {
		theirs, _ = theirs.Sift(p.records[key], p.context.Has)
	}
	join := crdt.Join
	if h.rules.noVectorRule {
		join = crdt.Union
	}
	h.put(p, key, join(p.records[key], theirs))
}

// pull is anti-entropy with the stale path.
func (h *purgeHistory) pull(p, from *purger) {
	cover := from.context.Clone()
	p.heard[from], from.heard[p] = cover.Contiguous(), p.context.Contiguous()
	for key, rec := range from.records {
		if !p.context.CoversVector(rec.Vector) {
			h.receive(p, key, rec)
		}
	}
	if !p.context.CoversFloor(from.floor) && !h.rules.noStalePath {
		h.stale++
		for key, rec := range p.records {
			var gone []crdt.UID
			for uid, o := range rec.Objects {
				if there := from.records[key]; from.context.Has(o.Birth.Dot) && (there == nil || there.Objects[uid] == nil) {
					gone = append(gone, uid)
				}
			}
			h.put(p, key, rec.Without(gone))
		}
	}
	p.context.Union(cover)
	h.take(p, from.floor)
}

func (h *purgeHistory) take(p *purger, floor crdt.Floor) {
	if p.context.CoversFloor(floor) {
		p.floor = p.floor.Join(floor)
		for key, rec := range p.records {
			h.put(p, key, rec)
		}
	}
}

func (h *purgeHistory) advance(p *purger) {
	low := p.context.Contiguous()
	for _, o := range h.stores {
		if o != p && !p.ignores[o] {
			low = low.Meet(p.heard[o])
		}
	}
	h.take(p, low)
}

// play runs a history and returns what broke.
func (h *purgeHistory) play() error {
	for range 4 {
		h.stores = append(h.stores, h.newPurger())
	}
	pick := func() *purger { return h.stores[h.random.IntN(len(h.stores))] }
	for range 150 {
		p, o := pick(), pick()
		switch k := h.random.IntN(20); {
		case k < 8:
			h.write(p)
		case k < 12 && len(h.late) > 0:
			i := h.random.IntN(len(h.late))
			deliver := h.late[i]
			h.late[i] = h.late[len(h.late)-1]
			h.late = h.late[:len(h.late)-1]
			deliver()
		case k < 16 && p != o:
			h.pull(p, o)
		case k < 18:
			h.advance(p)
		case k == 18 && p != o:
			p.ignores[o] = !p.ignores[o]
		}
		for _, s := range h.stores {
			if !s.context.CoversFloor(s.floor) {
				return fmt.Errorf("the floor of %s is above its context (I3)", s.id)
			}
		}
	}
	for range 5 {
		for i := range h.stores {
			for j := range h.stores {
				if i != j {
					h.pull(h.stores[i], h.stores[j])
				}
			}
			if len(h.late) > 0 {
				h.late[0]()
				h.late = h.late[1:]
			}
		}
	}
	for key := range 3 {
		name := fmt.Sprint("k", key)
		for _, s := range h.stores {
			if !crdt.Alike(s.records[name], h.stores[0].records[name]) {
				return fmt.Errorf("%s differs between %s and %s after all have synced", name, s.id, h.stores[0].id)
			}
			for uid, o := range crdt.Join(s.records[name], nil).Objects {
				if o.Dead == nil && h.deleted[uid] && !h.rules.sharedBirths {
					return fmt.Errorf("%s of %s was deleted and lives at %s", uid, name, s.id)
				}
			}
		}
	}
	for range 30 { // what was purged and what was not must still join by the laws
		a, b, c := h.state(), h.state(), h.state()
		join := func(a, b *crdt.Record) *crdt.Record { return crdt.Join(a, b) }
		if err := crdttest.Violation(a, b, c, join, crdt.Alike); err != nil {
			return err
		}
	}
	return nil
}

func (h *purgeHistory) state() *crdt.Record {
	if len(h.states) == 0 {
		return &crdt.Record{}
	}
	return h.states[h.random.IntN(len(h.states))]
}

func newPurgeHistory(seed uint64, rules purgeRules) *purgeHistory {
	return &purgeHistory{random: rand.New(rand.NewPCG(seed, 7)), rules: rules, deleted: map[crdt.UID]bool{}}
}

const purgeSeeds = 1000

// TestPurgingNeitherRevivesNorLoses plays the protocol with wrong decisions of
// who counts, late gossip and edits of what is deleted.
func TestPurgingNeitherRevivesNorLoses(t *testing.T) {
	stale, purged := 0, 0
	for seed := range uint64(purgeSeeds) {
		h := newPurgeHistory(seed, purgeRules{})
		if err := h.play(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		stale, purged = stale+h.stale, purged+h.purged
	}
	t.Logf("%d histories, %d tombstones purged, %d stale paths", purgeSeeds, purged, stale)
	if stale == 0 || purged == 0 {
		t.Errorf("too tame: %d tombstones purged, %d stale paths", purged, stale)
	}
}

// TestEveryRuleOfPurgingIsNeeded leaves each one out.
func TestEveryRuleOfPurgingIsNeeded(t *testing.T) {
	for name, rules := range map[string]purgeRules{
		"no stale path":  {noStalePath: true},
		"no ingest rule": {noIngestRule: true},
		"no vector rule": {noVectorRule: true},
		"shared births":  {sharedBirths: true},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(purgeSeeds) {
				if err := newPurgeHistory(seed, rules).play(); err != nil {
					t.Logf("caught with seed %d: %v", seed, err)
					return
				}
			}
			t.Errorf("not caught in %d histories", purgeSeeds)
		})
	}
}

// The index finds what a scan of all vectors finds, whatever order records move
// in, and from any dot on.
func TestTheDotIndexFindsWhatAScanFinds(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 3))
		var index crdt.DotIndex
		vectors, counters := map[string]crdt.Vector{}, [4]uint64{}
		for range 100 {
			key, r := fmt.Sprint(random.IntN(12)), random.IntN(4)
			before := vectors[key]
			after := crdt.Vector{}
			for replica, n := range before {
				after[replica] = n
			}
			counters[r]++
			after[replicaN(r+1)] = counters[r]
			if random.IntN(10) == 0 {
				after = nil
			}
			index.Move(key, before, after)
			vectors[key] = after
		}
		var context crdt.Context
		for range 60 {
			context.Add(crdt.Dot{Replica: replicaN(1 + random.IntN(4)), Counter: 1 + random.Uint64N(30)})
		}
		want, count := map[string]bool{}, 0
		for key, v := range vectors {
			count += len(v)
			if !context.CoversVector(v) {
				want[key] = true
			}
		}
		if index.Len() != count {
			t.Fatalf("seed %d: %d dots, the vectors have %d", seed, index.Len(), count)
		}
		found, after := map[string]bool{}, crdt.Dot{}
		for going := true; going; { // in parts of two, as chunks are
			going = false
			left := 2
			index.Outside(&context, after, func(d crdt.Dot, key string) bool {
				if left == 0 {
					going = true
					return false
				}
				left--
				if context.Has(d) || vectors[key][d.Replica] != d.Counter {
					t.Fatalf("seed %d: %s of %q is not outside, or not of it", seed, d, key)
				}
				found[key], after = true, d
				return true
			})
		}
		if fmt.Sprint(found) != fmt.Sprint(want) {
			t.Fatalf("seed %d: found %v, want %v", seed, found, want)
		}
	}
}

func TestFloors(t *testing.T) {
	one, two := replicaN(1), replicaN(2)
	a, b := crdt.Floor{one: 3, two: 1}, crdt.Floor{one: 2, two: 5}
	if join := a.Join(b); join[one] != 3 || join[two] != 5 || !join.Covers(a) || !join.Covers(b) || a.Covers(b) {
		t.Errorf("joined %v", join)
	}
	if meet := a.Meet(b); meet[one] != 2 || meet[two] != 1 || len(a.Meet(crdt.Floor{})) != 0 {
		t.Errorf("met %v", meet)
	}
	if back, err := crdt.DecodeFloor(a.Encode()); err != nil || back.ID() != a.ID() || a.ID() == b.ID() {
		t.Errorf("decoded %v, %v", back, err)
	}
	var gaps crdt.Context
	gaps.Add(crdt.Dot{Replica: one, Counter: 7})
	if _, err := crdt.DecodeFloor(gaps.Encode()); err == nil {
		t.Error("a floor with intervals was taken")
	}
	if a.Has(crdt.Dot{Replica: one}) || !a.Has(crdt.Dot{Replica: one, Counter: 3}) || a.Has(crdt.Dot{Replica: one, Counter: 4}) {
		t.Error("the floor's edge is wrong")
	}
}
