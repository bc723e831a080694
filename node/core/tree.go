package core

import (
	"encoding/binary"
	"hash/fnv"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
)

// treeBuckets is the fan-out of the fingerprint tree, which has one level: 64 KiB
// of sums, which fit into one frame, so that the leaves that differ are found in
// one round trip. 65,536 buckets of 32 bytes (2 MB per node and per comparison)
// would name 1.5 of 100,000 keys instead of 24; the names of 24 keys are 2 KB.
const treeBuckets = 4096

// leavesMax bounds the keys that one comparison names.
const leavesMax = 4000

// tree is the second, independent net under the accounting: the sum of the
// fingerprints of all records, by hash of their keys. Nodes with equal contexts
// have equal sums. If not, some accounting was wrong (a bug, a damaged
// disk, a database rolled back in secret), and the records that differ are
// exchanged and joined plainly, whatever contexts and floors say.
type tree struct {
	sums [treeBuckets]crdt.Fingerprint
	root crdt.Fingerprint
}

func bucketOf(key state.Key) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % treeBuckets)
}

func (t *tree) move(key state.Key, from, to crdt.Fingerprint) {
	b := bucketOf(key)
	t.sums[b] = t.sums[b].Sub(from).Add(to)
	t.root = t.root.Sub(from).Add(to)
}

func (t *tree) encode() []byte {
	out := make([]byte, 0, 16*treeBuckets)
	for _, f := range t.sums {
		out = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(out, f.High), f.Low)
	}
	return out
}

// compare follows a digest with our own context: the stores must be equal. Nodes
// that know of deletions they have not pulled are not compared.
func (c *Core) compare(from p2p.PeerID, d digestBody) {
	s := &c.sync
	if d.Floor == c.floors.id {
		// A database that was rolled back in secret has taken back what it said (seed 7928 of
		// the histories).
		delete(c.floors.ahead, from)
	}
	if d.Root == c.store.tree.root {
		c.meet(from) // where gossip brings everything no pull is ever completed
	}
	if d.Root == c.store.tree.root || !d.Level || !c.level() || d.Floor != c.floors.id {
		delete(s.differs, from)
		return
	}
	since, ok := s.differs[from]
	if !ok {
		s.differs[from] = c.now
		return
	}
	if c.now < since+differPatience {
		return
	}
	s.differs[from] = c.now
	c.store.count.Divergences++
	c.fact(true, "", "StoreDivergence", "peer %s has the same context and other records; comparing and joining what differs", from)
	c.send(from, kindTree, treeBody{Context: c.store.context.Hash(), Sums: c.store.tree.encode()})
}

// receiveTree answers with the keys of the buckets that differ.
func (c *Core) receiveTree(from p2p.PeerID, body treeBody) {
	if body.Context != c.store.context.Hash() || len(body.Sums) != 16*treeBuckets {
		return // one of us has changed meanwhile
	}
	ours := c.store.tree.encode()
	differs := map[int]bool{}
	answer := leavesBody{}
	for b := range treeBuckets {
		if string(ours[16*b:16*b+16]) != string(body.Sums[16*b:16*b+16]) {
			differs[b] = true
		}
	}
	for _, key := range c.store.keys() {
		if !differs[bucketOf(key)] {
			continue
		}
		if len(answer.Leaves) >= leavesMax {
			break // the next comparison finds the rest
		}
		answer.Leaves = append(answer.Leaves, leaf{Key: key, Print: c.store.entries[key].print})
	}
	for b := range differs {
		answer.Buckets = append(answer.Buckets, b)
	}
	slices.Sort(answer.Buckets)
	c.send(from, kindLeaves, answer)
}

// receiveLeaves sends what differs and asks for the peer's.
func (c *Core) receiveLeaves(from p2p.PeerID, body leavesBody) {
	theirs := map[state.Key]crdt.Fingerprint{}
	for _, l := range body.Leaves {
		theirs[l.Key] = l.Print
	}
	fetch := fetchBody{Repair: true}
	repair := repairBody{}
	size := 0
	for _, key := range c.store.keys() {
		e := c.store.entries[key]
		if _, asked := slices.BinarySearch(body.Buckets, bucketOf(key)); !asked || theirs[key] == e.print {
			delete(theirs, key)
			continue
		}
		if size+len(e.encoded) > chunkBytesMax && size > 0 {
			break // the next comparison finds the rest
		}
		repair.Records = append(repair.Records, packedRecord{Key: key, Record: e.encoded})
		size += len(key) + len(e.encoded)
	}
	fetch.Keys = append(fetch.Keys, sortedKeys(theirs)...)
	if len(repair.Records) > 0 {
		c.send(from, kindRepair, repair)
	}
	if len(fetch.Keys) > 0 {
		c.send(from, kindFetch, fetch)
	}
}

// receiveFetch sends the records that a peer has asked for by key.
func (c *Core) receiveFetch(from p2p.PeerID, body fetchBody) {
	var records []packedRecord
	size := 0
	for _, key := range body.Keys {
		e := c.store.entries[key]
		if e == nil {
			continue
		}
		if size+len(e.encoded) > chunkBytesMax && size > 0 || len(records) >= chunkRecordsMax {
			break // anti-entropy brings the rest
		}
		records = append(records, packedRecord{Key: key, Record: e.encoded})
		size += len(key) + len(e.encoded)
	}
	if len(records) == 0 {
		return
	}
	if body.Repair {
		c.send(from, kindRepair, repairBody{Records: records})
	} else {
		c.send(from, kindPut, putBody{Records: records})
	}
}

// receiveRepair joins records plainly: the accounting cannot be trusted here, and
// nothing is deleted because information is missing. It is heeded only after a
// comparison, whoever began it.
func (c *Core) receiveRepair(from p2p.PeerID, body repairBody) {
	for _, p := range body.Records {
		if err := c.take(p, true); err != nil {
			c.poison(from, p, err)
		}
	}
}
