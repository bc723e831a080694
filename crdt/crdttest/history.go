package crdttest

import (
	"maps"
	"math/bits"

	"pgregory.net/rapid"

	"holon/crdt"
)

// Op is one write as it happened, with all writes its replica had seen then.
type Op struct {
	crdt.Write
	UID    crdt.UID
	Delete bool
	Values map[string][]byte
	Seen   map[crdt.Dot]bool
}

// State is one record that occurred, and the writes that are in it. The zero
// value is the empty one.
type State struct {
	Record *crdt.Record
	Ops    map[crdt.Dot]*Op
}

// Join is the state of a replica in s after it received o.
func (s State) Join(o State) State {
	ops := make(map[crdt.Dot]*Op, len(s.Ops)+len(o.Ops))
	maps.Copy(ops, s.Ops)
	maps.Copy(ops, o.Ops)
	return State{Record: crdt.Join(s.Record, o.Record), Ops: ops}
}

// Replica writes to one record; its counters and times also move on by writes
// to other records.
type Replica struct {
	ID      crdt.ReplicaID
	Counter uint64
	Time    uint64
	State
}

// NewReplica is the i-th replica of a history, with the empty record. IDs do
// not ascend with i.
func NewReplica(i int) *Replica {
	return &Replica{
		ID:    crdt.ReplicaID{byte(i*151 + 17), byte(i)},
		State: State{Record: &crdt.Record{}, Ops: map[crdt.Dot]*Op{}},
	}
}

// Next issues the replica's next write; skip numbers went to other records.
func (r *Replica) Next(skip uint64) crdt.Write {
	r.Counter += 1 + skip
	r.Time += 1 + skip
	return crdt.Write{
		Dot:   crdt.Dot{Replica: r.ID, Counter: r.Counter},
		Stamp: crdt.Stamp{Time: r.Time, Replica: r.ID},
	}
}

// Apply makes op the replica's own, seen and all; false if the record refuses
// it, as it must where the object is dead, missing or outranks the write.
func (r *Replica) Apply(op Op) bool {
	var record *crdt.Record
	var err error
	if op.Delete {
		record, err = r.Record.Delete(op.UID, op.Write)
	} else {
		record, err = r.Record.Set(op.UID, op.Write, op.Values)
	}
	if err != nil {
		return false
	}
	op.Seen = make(map[crdt.Dot]bool, len(r.Ops))
	for dot := range r.Ops {
		op.Seen[dot] = true
	}
	ops := make(map[crdt.Dot]*Op, len(r.Ops)+1)
	maps.Copy(ops, r.Ops)
	ops[op.Dot] = &op
	r.State = State{Record: record, Ops: ops}
	return true
}

// Receive joins a state that some replica had at some time.
func (r *Replica) Receive(s State) {
	r.State = r.State.Join(s)
	r.Time = max(r.Time, s.Record.Time())
}

// HistoryReplicasMax is more than a register keeps writes of, so that histories
// reach its bound.
const HistoryReplicasMax = crdt.SiblingsMax + 4

// Histories draws all states of one record that a few replicas went through,
// the empty one first: writing fields of few names and values so that they
// collide, creating the same UID on several sides, deleting, and receiving each
// other's states in any order, late and repeatedly.
func Histories() *rapid.Generator[[]State] {
	return rapid.Custom(func(t *rapid.T) []State {
		replicas := make([]*Replica, oneOf(t, "replicas", 2, 3, 5, HistoryReplicasMax))
		for i := range replicas {
			replicas[i] = NewReplica(i)
		}
		states := []State{NewReplica(0).State}
		receiveEvery := oneOf(t, "receive every", 2, 4, 20)
		for range oneOf(t, "steps", 4, 16, 40, 60) {
			r := oneOf(t, "replica", replicas...)
			if oneIn(t, receiveEvery, "receive") {
				r.Receive(oneOf(t, "state", states...))
			} else if !r.Apply(drawOp(t, r)) {
				continue
			}
			states = append(states, r.State)
		}
		for _, other := range replicas[1:] { // the partition heals
			replicas[0].Receive(other.State)
			states = append(states, replicas[0].State)
		}
		return states
	})
}

// Records is Histories without the writes.
func Records() *rapid.Generator[[]*crdt.Record] {
	return rapid.Map(Histories(), func(states []State) []*crdt.Record {
		out := make([]*crdt.Record, len(states))
		for i, s := range states {
			out[i] = s.Record
		}
		return out
	})
}

func drawOp(t *rapid.T, r *Replica) Op {
	op := Op{
		Write: r.Next(oneOf[uint64](t, "skip", 0, 0, 1, 5)),
		UID:   crdt.UID{oneOf[byte](t, "uid", 1, 1, 1, 2)},
	}
	if oneIn(t, 40, "delete") {
		op.Delete = true
		return op
	}
	op.Values = map[string][]byte{}
	if oneIn(t, 4, "ranked") {
		op.Stamp.Rank = oneOf[uint64](t, "rank", 0, 1, 2, 3)
		op.Values["home"] = drawValue(t)
		return op
	}
	for _, path := range oneOf(t, "paths", []string{"/a"}, []string{"/a"}, []string{"/b"}, []string{"/a", "/b"}, nil) {
		op.Values[path] = drawValue(t)
	}
	return op
}

func oneIn(t *rapid.T, n int, label string) bool {
	return evenly(n).Draw(t, label) == n-1 // shrinks towards false
}

// evenly draws 0..n-1, all about as likely; rapid's own integers lean to the
// small ones, and a history in which mostly one replica writes shows little.
func evenly(n int) *rapid.Generator[int] {
	return rapid.Custom(func(t *rapid.T) int {
		i := 0
		for range bits.Len(uint(n-1)) + 2 {
			i <<= 1
			if rapid.Bool().Draw(t, "bit") {
				i++
			}
		}
		return i % n
	})
}

func oneOf[T any](t *rapid.T, label string, values ...T) T {
	return values[evenly(len(values)).Draw(t, label)]
}

// drawValue draws from few, so that equal values meet; nil and empty differ.
func drawValue(t *rapid.T) []byte {
	return oneOf(t, "value", []byte("1"), []byte("2"), []byte("3"), []byte{}, nil)
}
