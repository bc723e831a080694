package core

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
)

// identity is the replica ID that this node writes under. One belongs to one
// database that was never rolled back, or dots would be issued twice (I4).
//
// A database that was rolled back, with nothing outside it to say so, is noticed
// by peers: only this node issues its dots and says which it never will, and each
// is on its disk before anybody hears of it. So whoever knows a dot of ours that
// our context lacks knows a life of this database that we have forgotten. Then
// the writes since we last agreed with a peer get a new replica ID.
type identity struct {
	replica crdt.ReplicaID
	// void: counters up to this one that are not in a record were lost in a crash
	// before anybody saw them. They are claimed only once a peer has been heard:
	// after a rollback they are those of writes that peers have.
	void uint64
	// last is the greatest counter that is issued and in a record.
	last uint64
	// booted is last at boot.
	booted uint64
	// met is last when a pull was completed last or a peer's store equalled ours, or
	// at the first boot since: up to there our writes are what peers take them for.
	// What is renamed although peers know it by its old name would come back to life
	// if they have purged it. A newcomer that this node has admitted since the boot knows
	// of it only what it was told, so it agrees with anything (seed 9231 of the histories).
	met uint64
	// marked says that met is on disk, because no peer was met since.
	marked bool
}

const diskReplica = "n/replica" // the shell reads it at boot

// loadIdentity claims the own writes that are on disk.
func (c *Core) loadIdentity() {
	s := &c.store
	s.own.replica = c.cfg.Replica
	if c.cfg.Doubt != "" {
		// What is missing here the old context would hide; a forgotten dot costs a
		// record that is sent again (I5).
		s.context = crdt.Context{}
		for _, e := range s.entries {
			s.context.AddVector(e.vector())
		}
		c.fact(true, "", "ReplicaRenewed", "the database is doubted (%s): this node writes as replica %s from now on, no more as %s", c.cfg.Doubt, c.cfg.Replica, c.cfg.Former)
	}
	s.own.last = s.dots.Last(s.own.replica)
	s.own.booted = s.own.last
	s.context.AddThrough(s.own.replica, s.own.last)
	if !s.own.marked || c.cfg.Doubt != "" {
		s.own.met, s.own.marked = s.own.last, true
		c.persist(diskMet, encodeNumber(s.own.met))
	}
	c.lowerFloor()
	s.own.void = s.high.Persisted().Counter
	if c.cfg.Ablate == ReplicaRule {
		s.context.AddThrough(s.own.replica, s.own.void)
	}
}

// claimVoid closes the gap that a crash left in the own counters.
func (c *Core) claimVoid() {
	own := &c.store.own
	if own.void == 0 || c.sync.done == 0 && len(c.members.byName) > 1 {
		return
	}
	if c.store.context.Through(own.replica) < own.void {
		c.store.context.AddThrough(own.replica, own.void)
		c.saveContext() // before anybody hears of it
	}
	own.void = 0
}

// meet notes that all a peer has is known, and that nothing contradicted our writes.
func (c *Core) meet(peer p2p.PeerID) {
	own := &c.store.own
	c.sync.done++
	if b := c.members.byPeer[peer]; b != nil && b.Admitted.Replica == own.replica && b.Admitted.Counter > own.booted {
		return
	}
	own.met = own.last
	if own.marked {
		own.marked = false
		c.persist(diskMet, nil)
	}
}

// suspectContext looks for own writes in a peer's context that are not here.
func (c *Core) suspectContext(from p2p.PeerID, theirs *crdt.Context) {
	if !c.store.context.CoversReplica(theirs, c.store.own.replica) {
		c.fork(fmt.Sprintf("peer %s knows writes of this node that are not here", from))
	}
}

// suspectRecord looks for own writes in a record that are not here, or are
// different ones, and reports whether it found any.
func (c *Core) suspectRecord(ours, theirs *crdt.Record) bool {
	own := c.store.own.replica
	last := crdt.Dot{Replica: own, Counter: theirs.Vector[own]}
	if last.Counter > 0 && !c.store.context.Has(last) {
		c.fork(fmt.Sprintf("a peer has write %d of this node, which is not here", last.Counter))
		return true
	}
	// Above the floor nothing is purged, so a dot that is claimed and not in its record
	// was issued again, for another one (seed 3392 of the histories).
	if last.Counter > ours.Counter(own) && !c.floors.floor.Has(last) {
		c.fork(fmt.Sprintf("a peer has write %d of this node in another record", last.Counter))
		return true
	}
	if crdt.Forked(ours, theirs, own) {
		c.fork("a peer has another write under a dot of this node")
		return true
	}
	return false
}

// fork gives this node a new replica ID, and its writes since it last agreed with
// a peer with it.
func (c *Core) fork(why string) {
	if c.cfg.Ablate == ReplicaRule {
		return
	}
	s := &c.store
	old, above := s.own.replica, s.own.met
	s.own.replica = nextReplica(c.cfg.Seed, old)
	c.persist(diskReplica, s.own.replica[:])
	c.store.count.Forks++
	c.fact(true, "", "ReplicaForked", "%s: this database was rolled back or copied; it is replica %s from now on, no more %s", why, s.own.replica, old)
	s.context.Forget(old)
	// What pulls were asked for, they were not told to send again.
	clear(c.sync.pulls)
	c.sync.waiting = nil
	// The counters go on, so those of the new ID up to the last one are all here or
	// never will be.
	s.context.AddThrough(s.own.replica, s.high.Counter())
	s.own.void, s.own.last = 0, s.high.Counter()
	moved := func(path string) string { return state.RenamedGeneration(path, old, s.own.replica) }
	for _, key := range s.keys() {
		if s.entries[key].vector()[old] > above {
			c.commit(key, s.record(key).Rename(old, s.own.replica, above, moved))
		}
		if e := s.entries[key]; e != nil {
			s.context.AddVector(e.vector())
		}
	}
	c.lowerFloor()
	c.saveContext()
	c.persist(diskFloor, c.floors.floor.Encode())
	c.sync.offer = true
}

// lowerFloor keeps I3 when the context has forgotten something.
func (c *Core) lowerFloor() { c.floors.set(c.floors.floor.Meet(c.store.context.Contiguous())) }

func nextReplica(seed uint64, old crdt.ReplicaID) (next crdt.ReplicaID) {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(old[:], seed))
	copy(next[:], sum[:])
	return next
}

// Replica is the ID that this node writes under now.
func (c *Core) Replica() crdt.ReplicaID { return c.store.own.replica }
