package state

import (
	"bytes"
	"encoding/hex"
	"math"
	"strconv"
	"strings"

	"holon/crdt"
)

// The generation of an object is a G-counter (Shapiro et al., 2011): each replica
// counts the specs that it wrote in a register of its own, and metadata.generation
// is their sum. So it never goes back, and it grows where a merge brings together
// what two sides of a partition wrote.
const generationPrefix = "#generation/"

// oldGenerationPath is where the first version of holon kept the whole number; it
// still counts.
const oldGenerationPath = "/metadata/generation"

// GenerationPath is the register of one replica's count.
func GenerationPath(replica crdt.ReplicaID) string {
	return generationPrefix + hex.EncodeToString(replica[:])
}

// RenamedGeneration is where a register goes when a replica's writes get another's
// name: a count goes with its writer. What peers know of the old count adds to it:
// a generation may skip numbers, and never goes back.
func RenamedGeneration(path string, from, to crdt.ReplicaID) string {
	if path == GenerationPath(from) {
		return GenerationPath(to)
	}
	return path
}

// NextGeneration is what replica writes to its count with one more spec.
func NextGeneration(o *crdt.Object, replica crdt.ReplicaID) []byte {
	var n int64
	if o != nil {
		n = count(o.Registers[GenerationPath(replica)].Value)
	}
	return strconv.AppendInt(nil, n+1, 10)
}

// count reads a counter; what is not one counts nothing.
func count(value []byte) int64 {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// generation is the sum of all counts; ok is false if nobody counts.
func generation(o *crdt.Object) (sum int64, ok bool) {
	for path, g := range o.Registers {
		if g.Value == nil || !strings.HasPrefix(path, generationPrefix) && path != oldGenerationPath {
			continue
		}
		n := count(g.Value)
		if sum > math.MaxInt64-n {
			return math.MaxInt64, true // forged
		}
		sum, ok = sum+n, true
	}
	return sum, ok
}

// checkGenerations: each replica counts for itself.
func (c *checker) checkGenerations() {
	for _, key := range c.keys {
		for _, o := range sortedObjects(c.doc[key]) {
			for _, path := range sortedPaths(o) {
				if !strings.HasPrefix(path, generationPrefix) {
					continue
				}
				g := o.Registers[path]
				if GenerationPath(g.Stamp.Replica) != path || len(g.Siblings) > 0 {
					c.find(Broken, key, "%s of %s is written by %s", path, o.UID, g.Stamp.Replica)
				}
				if count(g.Value) < 1 || !bytes.Equal(g.Value, strconv.AppendInt(nil, count(g.Value), 10)) {
					c.find(Broken, key, "%s of %s is %q", path, o.UID, g.Value)
				}
			}
		}
	}
}
