package crdt

import (
	"slices"

	"github.com/tidwall/btree"
)

// DotIndex maps exactly the dots of the vectors of all records to their keys. It
// lives in memory and is made again by scanning the records. With it a sender
// finds what a peer lacks in the order of what is missing, not of what there is.
// The zero value is empty.
type DotIndex struct {
	replicas []replicaDots // ascending
}

type replicaDots struct {
	replica ReplicaID
	keys    btree.Map[uint64, string]
}

func (x *DotIndex) find(r ReplicaID) (int, bool) {
	return slices.BinarySearchFunc(x.replicas, r, func(d replicaDots, r ReplicaID) int { return d.replica.Compare(r) })
}

// Move follows the record of a key from one vector to another; nil is none.
func (x *DotIndex) Move(key string, from, to Vector) {
	for r, n := range from {
		if to[r] == n {
			continue
		}
		if i, ok := x.find(r); ok {
			x.replicas[i].keys.Delete(n)
			if x.replicas[i].keys.Len() == 0 {
				x.replicas = slices.Delete(x.replicas, i, i+1)
			}
		}
	}
	for r, n := range to {
		if from[r] == n {
			continue
		}
		i, ok := x.find(r)
		if !ok {
			x.replicas = slices.Insert(x.replicas, i, replicaDots{replica: r})
		}
		x.replicas[i].keys.Set(n, key)
	}
}

// Key is the key of the record that has d in its vector.
func (x *DotIndex) Key(d Dot) (string, bool) {
	i, ok := x.find(d.Replica)
	if !ok {
		return "", false
	}
	return x.replicas[i].keys.Get(d.Counter)
}

// Last is the greatest counter of a replica in any vector, 0 if there is none.
func (x *DotIndex) Last(r ReplicaID) uint64 {
	if i, ok := x.find(r); ok {
		n, _, _ := x.replicas[i].keys.Max()
		return n
	}
	return 0
}

// Len is the number of dots.
func (x *DotIndex) Len() (n int) {
	for i := range x.replicas {
		n += x.replicas[i].keys.Len()
	}
	return n
}

// Outside calls yield for each dot after `after` (ascending by replica, then
// counter) that is not in the context, until yield says false. The zero dot
// begins. What a record of several such dots gets is several calls.
//
// A sender may stop and go on later from the last dot although records change
// meanwhile: a record that moves has a new dot, which is ahead, or the sender
// made it after the context that the receiver will claim.
func (x *DotIndex) Outside(c *Context, after Dot, yield func(d Dot, key string) bool) {
	first, _ := x.find(after.Replica)
	for i := first; i < len(x.replicas); i++ {
		dots := &x.replicas[i]
		from := uint64(1)
		if dots.replica == after.Replica {
			from = after.Counter + 1
		}
		for _, gap := range c.Outside(dots.replica) {
			if gap.To < from {
				continue
			}
			going := true
			dots.keys.Ascend(max(from, gap.From), func(n uint64, key string) bool {
				if n > gap.To {
					return false
				}
				going = yield(Dot{dots.replica, n}, key)
				return going
			})
			if !going {
				return
			}
		}
	}
}
