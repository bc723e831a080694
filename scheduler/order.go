package scheduler

import (
	"cmp"
	"slices"

	"holon/crdt"
)

// Order is the rendezvous order of a workload over nodes (Thaler and Ravishankar,
// "Using Name-Based Mappings to Increase Hit Rates", 1998): the first is its
// scheduler, the next ones are its standbys. A node that leaves moves nobody else.
func Order(workload crdt.UID, nodes []string) []string {
	type weighted struct {
		name   string
		weight uint64
	}
	seed, list := seedOf(workload, 0), make([]weighted, len(nodes))
	for i, n := range nodes {
		list[i] = weighted{n, seed.weight(n)}
	}
	slices.SortFunc(list, func(a, b weighted) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.name, b.name))
	})
	ordered := make([]string, len(list))
	for i := range list {
		ordered[i] = list[i].name
	}
	return ordered
}

// Rank is the place of node in Order, or -1.
func Rank(workload crdt.UID, nodes []string, node string) int {
	seed := seedOf(workload, 0)
	own, rank, found := seed.weight(node), 0, false
	for _, n := range nodes {
		switch w := seed.weight(n); {
		case n == node:
			found = true
		case w > own || w == own && n < node:
			rank++
		}
	}
	if !found {
		return -1
	}
	return rank
}

// seed is the part of a weight that all nodes share. Index 0 is the workload
// itself, index i+1 its slot i.
type seed uint64

const fnvOffset, fnvPrime = 14695981039346656037, 1099511628211

func seedOf(workload crdt.UID, index int) seed {
	h := uint64(fnvOffset)
	for _, b := range workload {
		h = (h ^ uint64(b)) * fnvPrime
	}
	return seed((h ^ uint64(index)) * fnvPrime)
}

// weight is FNV-1a over the parts with the finalizer of splitmix64, without
// which nearby names get nearby weights.
func (s seed) weight(node string) uint64 {
	h := uint64(s)
	for i := range len(node) {
		h = (h ^ uint64(node[i])) * fnvPrime
	}
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}
