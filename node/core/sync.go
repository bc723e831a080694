package core

import (
	"slices"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
)

// Pace of anti-entropy.
const (
	digestEvery = time.Second            // to one live peer, in turn
	pullTimeout = 3 * time.Second        // without a chunk: give the pull up
	pullsMax    = 2                      // at once, so that a heal does not flood a small node
	gapPatience = 300 * time.Millisecond // how long gossip may be out of order
)

// syncer pulls from peers what they have and this node lacks. The sender keeps
// no state: a pull carries the context and the key to go on after, so a lost
// frame costs a retry and nothing else.
//
// A completed pull claims the context that the sender had at its first chunk:
// records that change on the sender meanwhile carry dots outside of it.
type syncer struct {
	pulls   map[p2p.PeerID]*pull
	waiting []p2p.PeerID // peers that have something, in order of arrival
	nextID  uint64
	digest  Instant // when the next digest is due
	turn    int     // whose turn it is
	gapAt   Instant // when a gap in the context was noticed first
	offer   bool    // say at once that there is something new
	// done counts completed pulls since boot.
	done int
}

type pull struct {
	id    uint64
	after state.Key
	cover crdt.Context
	began bool
	heard Instant
}

func newSyncer() syncer { return syncer{pulls: map[p2p.PeerID]*pull{}} }

func (c *Core) digestFor(answer bool) digestBody {
	own := c.status.own
	return digestBody{Context: c.store.context.Hash(), Epoch: own.Epoch, Seq: own.Seq, Answer: answer}
}

// receiveDigest starts a pull if the peer's context differs, and lets the peer
// do the same.
func (c *Core) receiveDigest(from p2p.PeerID, d digestBody) {
	if c.behind(from, d.Epoch, d.Seq) {
		c.send(from, kindStatusAsk, struct{}{})
	}
	if d.Context == c.store.context.Hash() {
		return
	}
	if !d.Answer {
		c.send(from, kindDigest, c.digestFor(true))
	}
	c.startPull(from)
}

func (c *Core) startPull(from p2p.PeerID) {
	s := &c.sync
	if s.pulls[from] != nil || slices.Contains(s.waiting, from) {
		return
	}
	if len(s.pulls) >= pullsMax {
		s.waiting = append(s.waiting, from)
		return
	}
	s.nextID++
	s.pulls[from] = &pull{id: s.nextID}
	c.askChunk(from)
}

func (c *Core) askChunk(from p2p.PeerID) {
	p := c.sync.pulls[from]
	p.heard = c.now
	c.send(from, kindPull, pullBody{ID: p.id, Context: c.store.context.Encode(), After: p.after})
}

// receivePull answers with the next records that the peer lacks.
func (c *Core) receivePull(from p2p.PeerID, body pullBody) error {
	theirs, err := crdt.DecodeContext(body.Context)
	if err != nil {
		return err
	}
	chunk := chunkBody{ID: body.ID, Done: true, Context: c.store.context.Encode()}
	keys := c.store.keys()
	first, found := slices.BinarySearch(keys, body.After)
	if found {
		first++
	}
	size := 0
	for _, key := range keys[first:] {
		e := c.store.entries[key]
		if theirs.CoversVector(e.vector) {
			continue
		}
		if size+len(e.encoded) > chunkBytesMax && size > 0 || len(chunk.Records) >= chunkRecordsMax {
			chunk.Done = false
			break
		}
		chunk.Records = append(chunk.Records, packedRecord{Key: key, Record: e.encoded})
		chunk.Next = key
		size += len(key) + len(e.encoded)
	}
	c.send(from, kindChunk, chunk)
	return nil
}

func (c *Core) receiveChunk(from p2p.PeerID, body chunkBody) error {
	p := c.sync.pulls[from]
	if p == nil || p.id != body.ID {
		return nil // of a pull that was given up
	}
	if !p.began {
		cover, err := crdt.DecodeContext(body.Context)
		if err != nil {
			return err
		}
		p.cover, p.began = cover, true
	}
	for _, rec := range body.Records {
		if err := c.join(rec); err != nil {
			c.endPull(from) // not completed, so nothing is claimed
			return err
		}
	}
	if !body.Done {
		if body.Next > p.after { // else it is one that came before, again
			p.after = body.Next
			c.askChunk(from)
		}
		return nil
	}
	c.store.context.Union(p.cover)
	c.store.dirty = true
	c.sync.done++
	c.endPull(from)
	return nil
}

func (c *Core) endPull(from p2p.PeerID) {
	s := &c.sync
	delete(s.pulls, from)
	for len(s.waiting) > 0 && len(s.pulls) < pullsMax {
		next := s.waiting[0]
		s.waiting = s.waiting[1:]
		if c.members.reachable(next) {
			c.startPull(next)
		}
	}
}

// receivePut joins what a writer has just written. Gossip is a hint: if it
// leaves a gap in the context, a pull follows.
func (c *Core) receivePut(from p2p.PeerID, body putBody) error {
	for _, rec := range body.Records {
		if err := c.join(rec); err != nil {
			return err
		}
	}
	if c.sync.gapAt == 0 && c.store.context.HasGaps() {
		c.sync.gapAt = c.now
	}
	return nil
}

// tickSync offers digests in turn and gives up pulls that went silent.
func (c *Core) tickSync() {
	s := &c.sync
	for _, peer := range sortedKeys(s.pulls) {
		if due := s.pulls[peer].heard + pullTimeout; c.now >= due {
			c.endPull(peer)
		} else {
			c.wake(due)
		}
	}
	peers := c.members.reachablePeers()
	if s.gapAt != 0 && c.now >= s.gapAt+gapPatience {
		s.gapAt = 0
		if c.store.context.HasGaps() {
			s.digest = c.now
		}
	}
	switch {
	case len(peers) == 0:
		return
	case s.offer:
		s.offer = false
		for _, peer := range peers {
			c.send(peer, kindDigest, c.digestFor(false))
		}
	case c.now >= s.digest:
		s.turn++
		c.send(peers[s.turn%len(peers)], kindDigest, c.digestFor(false))
		s.digest = c.now + digestEvery
	}
	if s.gapAt != 0 {
		c.wake(s.gapAt + gapPatience)
	}
	c.wake(s.digest)
}
