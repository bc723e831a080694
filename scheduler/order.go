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
	ordered := slices.Clone(nodes)
	slices.SortFunc(ordered, func(a, b string) int {
		return cmp.Or(cmp.Compare(weight(workload, 0, b), weight(workload, 0, a)), cmp.Compare(a, b))
	})
	return ordered
}

// Rank is the place of node in Order, or -1.
func Rank(workload crdt.UID, nodes []string, node string) int {
	own, rank, found := weight(workload, 0, node), 0, false
	for _, n := range nodes {
		switch w := weight(workload, 0, n); {
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

// weight is FNV-1a over the parts with the finalizer of splitmix64, without
// which nearby names get nearby weights.
func weight(workload crdt.UID, index int, node string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, b := range workload {
		h = (h ^ uint64(b)) * prime
	}
	h = (h ^ uint64(index)) * prime
	for i := range len(node) {
		h = (h ^ uint64(node[i])) * prime
	}
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}
