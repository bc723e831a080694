package core

import (
	"slices"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
)

// Pace of purging.
const (
	floorEvery  = time.Minute        // between two advances by this node
	floorRank   = 5 * time.Second    // by so much later than the node before it in order
	absentAfter = 7 * 24 * time.Hour // unheard for so long, a member does not count
)

// floors is when tombstones may go. The floor is joined from the peers and taken
// only where the context covers it (I3), so a node never purges what it may not
// have heard of, and whoever is behind a peer's floor goes the stale path first
// (stale.go).
type floors struct {
	floor crdt.Floor
	id    crdt.FloorID
	// ahead is what was heard of peers' floors and is not covered here yet, by who said it.
	ahead map[p2p.PeerID]crdt.Floor
	// heard is the contiguous context that each peer was last known to have.
	heard map[p2p.PeerID]heardContext
	next  Instant // when the floor may be advanced next
}

type heardContext struct {
	contiguous crdt.Floor
	at         Instant
}

func newFloors() floors {
	f := floors{heard: map[p2p.PeerID]heardContext{}, ahead: map[p2p.PeerID]crdt.Floor{}}
	f.set(nil)
	return f
}

func (f *floors) set(floor crdt.Floor) { f.floor, f.id = floor, floor.ID() }

// purgeable is I3 for one dot.
func (c *Core) purgeable(d crdt.Dot) bool { return c.floors.floor.Has(d) }

// takeFloor joins a floor if the context covers it, and purges what is under it.
func (c *Core) takeFloor(theirs crdt.Floor) {
	f := &c.floors
	if f.floor.Covers(theirs) || !c.store.context.CoversFloor(theirs) {
		return
	}
	f.set(f.floor.Join(theirs))
	// The context first: the floor on disk must not be ahead of it.
	c.saveContext()
	c.persist(diskFloor, f.floor.Encode())
	c.store.count.FloorsTaken++
	for _, key := range sortedKeys(c.store.graves) {
		c.purge(key)
	}
}

func (c *Core) purge(key state.Key) {
	rec := c.store.record(key)
	left := rec.Purge(c.purgeable)
	if left == rec && !left.Spent(c.purgeable) {
		return
	}
	c.store.count.Purged += rec.Graves() - left.Graves()
	c.depart(rec, left)
	c.commit(key, left)
}

// heardFrom notes what a peer has.
func (c *Core) heardFrom(peer p2p.PeerID, context *crdt.Context) {
	c.floors.heard[peer] = heardContext{context.Contiguous(), c.now}
	c.noteHolder(peer, context)
}

// candidate is what every member that counts has: the floor may rise to it. False
// if one that counts was not heard since boot. Counting wrongly costs whoever did
// not count the stale path, and nothing else.
func (c *Core) candidate() (crdt.Floor, bool) {
	low := c.store.context.Contiguous()
	for name, b := range c.members.byName {
		if name == c.cfg.Node || b.Left {
			continue
		}
		h, ok := c.floors.heard[b.peer]
		if c.now-max(h.at, c.booted) > c.cfg.AbsentAfter {
			continue
		}
		if !ok {
			return nil, false
		}
		low = low.Meet(h.contiguous)
	}
	return low, true
}

// tickFloor advances the floor once in a while, if that lets a tombstone go.
// Nodes take turns by name, so that mostly one of them does it.
func (c *Core) tickFloor() {
	f := &c.floors
	if len(c.store.graves) == 0 {
		return
	}
	if f.next == 0 {
		turn := slices.Index(c.liveNodes(), c.cfg.Node)
		f.next = c.now + c.cfg.FloorEvery + time.Duration(turn)*min(floorRank, c.cfg.FloorEvery/4)
	}
	if c.now < f.next {
		c.wake(f.next)
		return
	}
	f.next = 0
	low, ok := c.candidate()
	if !ok {
		return
	}
	low = low.Join(f.floor)
	for _, key := range sortedKeys(c.store.graves) {
		if rec := c.store.record(key); rec.Purge(low.Has) != rec || rec.Spent(low.Has) {
			c.takeFloor(low)
			for _, peer := range c.members.reachablePeers() {
				c.sendFloor(peer)
			}
			return
		}
	}
}

func (c *Core) sendFloor(to p2p.PeerID) {
	c.send(to, kindFloor, floorBody{Floor: c.floors.floor.Encode()})
}

// receiveFloor takes a peer's floor, or pulls what this node lacks for it.
func (c *Core) receiveFloor(from p2p.PeerID, body floorBody) error {
	floor, err := crdt.DecodeFloor(body.Floor)
	if err != nil {
		return err
	}
	if c.store.context.CoversFloor(floor) {
		c.takeFloor(floor)
	} else {
		c.floors.ahead[from] = c.floors.ahead[from].Join(floor)
		c.startPull(from)
	}
	return nil
}

// level reports whether this node has no deletion to learn of that it knows of. What was
// purged by one whose name somebody else bears, or who was evicted, may be known to nobody
// any more (seed 1058 of the histories).
func (c *Core) level() bool {
	level := c.store.context.CoversFloor(c.floors.floor)
	for peer, floor := range c.floors.ahead {
		b := c.members.byPeer[peer]
		switch gone := b == nil || b.gone() || c.members.byName[b.Name] != b; {
		case gone || c.store.context.CoversFloor(floor):
			delete(c.floors.ahead, peer)
		default:
			level = false
		}
	}
	return level
}
