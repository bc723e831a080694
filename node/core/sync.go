package core

import (
	"maps"
	"slices"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
)

// Pace of anti-entropy.
const (
	digestEvery = time.Second            // to one live peer, in turn; give or take a quarter
	pullTimeout = 3 * time.Second        // without an answer: ask again, at last give the pull up
	pullTries   = 3                      // for one answer
	pullsMax    = 2                      // at once, so that a heal does not flood a small node
	gapPatience = 300 * time.Millisecond // how long gossip may be out of order
	poisonPause = 30 * time.Second       // before a peer that sent a bad record is pulled from again
	// differPatience is how long stores may differ without a reason: a purge that
	// got here before the word of it is no fault.
	differPatience = 5 * time.Second
)

// syncer pulls from peers what they have and this node lacks. The sender keeps
// no state: a pull carries the context and the dot to go on after, so a lost
// frame costs a retry and nothing else.
//
// A completed pull claims the context that the sender had at its first chunk:
// records that change on the sender meanwhile carry dots outside of it.
type syncer struct {
	pulls   map[p2p.PeerID]*pull
	waiting []p2p.PeerID           // peers that have something, in order of arrival
	pause   map[p2p.PeerID]Instant // peers not to be pulled from before
	nextID  uint64
	digest  Instant // when the next digest is due
	turn    int     // whose turn it is
	noise   uint64  // see apart
	gapAt   Instant // when a gap in the context was noticed first
	offer   bool    // say at once that there is something new
	// done counts since boot how often all that a peer has was known: see meet.
	done int
	held *held // a stale path that would drop too much
	// confirmed says that a person has agreed to the next one.
	confirmed bool
	differs   map[p2p.PeerID]Instant // since when a store differs without a reason
}

type pull struct {
	id       uint64
	after    crdt.Dot
	cover    crdt.Context
	began    bool
	floor    crdt.Floor // the sender's
	poisoned bool       // a record could not be taken: nothing is claimed
	check    *check     // not nil: the records are here, the stale path is under way
	tries    int        // for the answer that is awaited
	heard    Instant
}

func newSyncer(seed uint64) syncer {
	return syncer{noise: seed, pulls: map[p2p.PeerID]*pull{}, pause: map[p2p.PeerID]Instant{}, differs: map[p2p.PeerID]Instant{}}
}

// apart is d, give or take a quarter: nodes that were started or healed at one moment
// must not speak at one moment for ever. The generator is Knuth's MMIX one.
func (s *syncer) apart(d Instant) Instant {
	s.noise = s.noise*6364136223846793005 + 1442695040888963407
	return d*3/4 + Instant(s.noise>>33)%(d/2)
}

func (c *Core) digestFor(answer bool) digestBody {
	own := c.status.own
	return digestBody{Context: c.store.context.Hash(), Floor: c.floors.id, Root: c.store.tree.root, Level: c.level(), Epoch: own.Epoch, Seq: own.Seq, Answer: answer}
}

// receiveDigest starts a pull if the peer's context differs, and lets the peer
// do the same.
func (c *Core) receiveDigest(from p2p.PeerID, d digestBody) {
	if c.behind(from, d.Epoch, d.Seq) {
		c.send(from, kindStatusAsk, struct{}{})
	}
	if d.Floor != c.floors.id {
		c.sendFloor(from)
	}
	if d.Context == c.store.context.Hash() {
		c.heardFrom(from, &c.store.context)
		if d.Floor != c.floors.id && !d.Answer {
			c.send(from, kindDigest, c.digestFor(true)) // so that it says its floor
		}
		c.compare(from, d)
		return
	}
	if !d.Answer {
		c.send(from, kindDigest, c.digestFor(true))
	}
	c.startPull(from)
}

func (c *Core) startPull(from p2p.PeerID) {
	s := &c.sync
	if s.pulls[from] != nil || slices.Contains(s.waiting, from) || c.now < s.pause[from] {
		return
	}
	if len(s.pulls) >= pullsMax {
		s.waiting = append(s.waiting, from)
		return
	}
	s.pulls[from] = &pull{}
	c.askChunk(from)
}

func (c *Core) askChunk(from p2p.PeerID) {
	p := c.sync.pulls[from]
	p.heard = c.now
	c.sync.nextID++ // an answer to an earlier question may be older than what is claimed
	p.id = c.sync.nextID
	c.send(from, kindPull, pullBody{ID: p.id, Context: c.store.context.Encode(), By: p.after.Replica, At: p.after.Counter})
}

// receivePull answers with the next records that the peer lacks, in the order of
// their dots.
func (c *Core) receivePull(from p2p.PeerID, body pullBody) error {
	theirs, err := crdt.DecodeContext(body.Context)
	if err != nil {
		return err
	}
	c.suspectContext(from, &theirs)
	c.heardFrom(from, &theirs)
	after := crdt.Dot{Replica: body.By, Counter: body.At}
	chunk := chunkBody{ID: body.ID, Done: true}
	if after == (crdt.Dot{}) {
		chunk.Context = c.store.context.Encode()
	}
	size, packed := 0, map[string]bool{}
	c.store.dots.Outside(&theirs, after, func(d crdt.Dot, key string) bool {
		if packed[key] {
			return true
		}
		e := c.store.entries[state.Key(key)]
		if size+len(e.encoded) > chunkBytesMax && size > 0 || len(chunk.Records) >= chunkRecordsMax {
			chunk.Done = false
			return false
		}
		chunk.Records = append(chunk.Records, packedRecord{Key: state.Key(key), Record: e.encoded})
		packed[key], chunk.By, chunk.At = true, d.Replica, d.Counter
		size += len(key) + len(e.encoded)
		return true
	})
	if chunk.Done {
		chunk.Floor = c.floors.floor.Encode()
	}
	c.send(from, kindChunk, chunk)
	return nil
}

func (c *Core) receiveChunk(from p2p.PeerID, body chunkBody) error {
	p := c.sync.pulls[from]
	if p == nil || p.id != body.ID || p.check != nil {
		return nil // of a pull that was given up, or again
	}
	if !p.began {
		cover, err := crdt.DecodeContext(body.Context)
		if err != nil {
			return err
		}
		c.suspectContext(from, &cover)
		c.heardFrom(from, &cover)
		p.cover, p.began = cover, true
	}
	for _, rec := range body.Records {
		if err := c.join(rec); err != nil {
			p.poisoned = true
			c.poison(from, rec, err)
		}
	}
	if c.sync.pulls[from] != p {
		return nil // this node has found out that it is another replica
	}
	next := crdt.Dot{Replica: body.By, Counter: body.At}
	switch {
	case body.Done:
		return c.endChunks(from, p, body.Floor)
	case next.Compare(p.after) > 0: // else it is one that came before, again
		p.after, p.tries = next, 0
		c.askChunk(from)
	}
	return nil
}

// endChunks follows the last chunk: what is here now may be claimed, once it is
// sure that nothing lives here that the sender has purged.
func (c *Core) endChunks(from p2p.PeerID, p *pull, floor []byte) (err error) {
	if p.poisoned {
		c.sync.pause[from] = c.now + poisonPause
		c.endPull(from) // not complete, so nothing is claimed (I5)
		return nil
	}
	if p.floor, err = crdt.DecodeFloor(floor); err != nil {
		c.endPull(from)
		return err
	}
	p.tries = 0
	if c.store.context.CoversFloor(p.floor) || c.cfg.Ablate == StaleRule {
		c.completePull(from, p)
	} else {
		c.startCheck(from, p)
	}
	return nil
}

// completePull claims what the sender had.
func (c *Core) completePull(from p2p.PeerID, p *pull) {
	c.store.context.Union(p.cover)
	c.store.dirty = true
	c.meet(from)
	c.takeFloor(p.floor)
	c.lookForOrphans()
	c.endPull(from)
}

// lookForOrphans plans again what is here without its workload: the context may
// now say that the workload is gone.
func (c *Core) lookForOrphans() { maps.Copy(c.index.touched, c.index.strays) }

func (c *Core) endPull(from p2p.PeerID) {
	s := &c.sync
	delete(s.pulls, from)
	for len(s.waiting) > 0 && len(s.pulls) < pullsMax {
		next := s.waiting[0]
		s.waiting = s.waiting[1:]
		if c.members.speaks(next) {
			c.startPull(next)
		}
	}
}

// receivePut joins what a writer has just written. Gossip is a hint: if it
// leaves a gap in the context, a pull follows.
func (c *Core) receivePut(from p2p.PeerID, body putBody) {
	for _, rec := range body.Records {
		if err := c.join(rec); err != nil {
			c.poison(from, rec, err)
		}
	}
	if c.sync.gapAt == 0 && c.store.context.HasGaps() {
		c.sync.gapAt = c.now
	}
}

// tickSync offers digests in turn, asks again for answers that did not come and
// gives up pulls that went silent.
func (c *Core) tickSync() {
	s := &c.sync
	for _, peer := range sortedKeys(s.pulls) {
		c.retryPull(peer, s.pulls[peer])
	}
	peers := c.members.partners()
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
		s.digest = c.now + s.apart(digestEvery)
	}
	if s.gapAt != 0 {
		c.wake(s.gapAt + gapPatience)
	}
	c.wake(s.digest)
}

func (c *Core) retryPull(peer p2p.PeerID, p *pull) {
	due := p.heard + pullTimeout
	switch {
	case c.now < due:
		c.wake(due)
	case p.tries >= pullTries || !c.members.speaks(peer):
		c.endPull(peer)
	case p.check != nil:
		p.tries++
		c.resendCheck(peer, p)
		c.wake(c.now + pullTimeout)
	default:
		p.tries++
		c.askChunk(peer)
		c.wake(c.now + pullTimeout)
	}
}
