package crdt_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"holon/crdt"
	"holon/crdt/crdttest"
)

const syncKeys = 4

// store is a replica of several records with its context, and all it is known to
// have been told.
type store struct {
	id      crdt.ReplicaID
	high    crdt.HighWater
	records [syncKeys]crdttest.State
	context crdt.Context
}

func newStore(i int) *store {
	s := &store{id: replicaN(i)}
	s.high, _ = s.high.Reserve()
	return s
}

func (s *store) write(key int, random *rand.Rand) {
	w, _ := s.high.Next(s.id)
	r := &crdttest.Replica{State: s.records[key]}
	if !r.Apply(crdttest.Op{Write: w, UID: uid, Values: map[string][]byte{fmt.Sprint(random.IntN(3)): fmt.Append(nil, random.IntN(9))}}) {
		panic("write refused")
	}
	s.records[key] = r.State
	s.context.Add(w.Dot)
}

// receive is gossip: one record, and a claim of its exact dots.
func (s *store) receive(key int, state crdttest.State) {
	s.records[key] = s.records[key].Join(state)
	s.high.Witness(state.Record.Time())
	s.high, _ = s.high.Reserve()
	s.context.AddVector(state.Record.Vector)
}

// syncFrom is anti-entropy: what s lacks, then the sender's whole context.
func (s *store) syncFrom(o *store, needs func(to, from *store, v crdt.Vector) bool) {
	for key, state := range o.records {
		if state.Record != nil && needs(s, o, state.Record.Vector) {
			s.receive(key, state)
		}
	}
	s.context.Union(o.context)
}

// forget is what overflow or doubt may do at any time (I5).
func (s *store) forget() {
	var kept crdt.Context
	for r, n := range s.context.Contiguous() {
		for i := range n {
			kept.Add(crdt.Dot{Replica: r, Counter: i + 1})
		}
	}
	s.context = kept
}

// brokenI2 returns a dot that s claims without having its write.
func (s *store) brokenI2(written map[crdt.Dot]int) (crdt.Dot, bool) {
	for dot, key := range written {
		if s.context.Has(dot) && s.records[key].Ops[dot] == nil {
			return dot, true
		}
	}
	return crdt.Dot{}, false
}

// runStores makes a history of three stores with lost gossip, syncs and
// forgetting, then syncs all with all; it returns what broke.
func runStores(seed uint64, needs func(to, from *store, v crdt.Vector) bool) error {
	random := rand.New(rand.NewPCG(seed, 1))
	stores := []*store{newStore(1), newStore(2), newStore(3)}
	written := map[crdt.Dot]int{}
	for range 80 {
		s, o, key := stores[random.IntN(3)], stores[random.IntN(3)], random.IntN(syncKeys)
		switch random.IntN(8) {
		case 0, 1, 2:
			s.write(key, random)
			written[crdt.Dot{Replica: s.id, Counter: s.records[key].Record.Vector[s.id]}] = key
		case 3, 4, 5:
			if o.records[key].Record != nil {
				s.receive(key, o.records[key])
			}
		case 6:
			s.syncFrom(o, needs)
		case 7:
			s.forget()
		}
		if dot, broken := s.brokenI2(written); broken {
			return fmt.Errorf("%s claims %s and does not have it", s.id, dot)
		}
	}
	for range 2 {
		for i, s := range stores {
			s.syncFrom(stores[(i+1)%3], needs)
			s.syncFrom(stores[(i+2)%3], needs)
		}
	}
	for key := range syncKeys {
		for _, s := range stores[1:] {
			if !crdt.Equal(s.records[key].Record, stores[0].records[key].Record) {
				return fmt.Errorf("key %d differs between %s and %s after all have synced", key, s.id, stores[0].id)
			}
		}
	}
	return nil
}

func TestSendingWhatThePeersContextLacksKeepsEveryClaimTrue(t *testing.T) {
	for seed := range uint64(1000) {
		err := runStores(seed, func(to, _ *store, v crdt.Vector) bool { return !to.context.CoversVector(v) })
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// The mistake that the Context comment warns of: a sender that has forgotten
// some dots of its own records, and looks only for what its context has beyond
// the peer's.
func TestSendingOnlyWhatTheOwnContextHasLosesWrites(t *testing.T) {
	for seed := range uint64(1000) {
		err := runStores(seed, func(to, from *store, v crdt.Vector) bool {
			for r, n := range v {
				d := crdt.Dot{Replica: r, Counter: n}
				if from.context.Has(d) && !to.context.Has(d) {
					return true
				}
			}
			return false
		})
		if err != nil {
			t.Logf("caught with seed %d: %v", seed, err)
			return
		}
	}
	t.Error("not caught")
}
