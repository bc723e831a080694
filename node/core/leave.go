package core

import (
	"fmt"

	"holon/crdt/state"
	"holon/p2p"
)

// leave writes the goodbye that every other member will honour. Its rank makes it
// final: no concurrent write about this member takes it back.
func (c *Core) leave() error {
	key := state.MakeKey(state.Members, "", string(c.cfg.Peer))
	if err := c.setRanked(key, state.MemberUID(string(c.cfg.Peer)), state.MemberLeft, 1, []byte("true")); err != nil {
		return err
	}
	err := c.bury(state.MakeKey(state.Nodes, "", c.cfg.Node))
	c.swimOutput(c.members.swim.Leave(c.now))
	return err
}

// evictMember ends the membership of another node for good.
func (c *Core) evictMember(op EvictMember) error {
	b := c.memberOf(op.Member)
	if err := c.mayEvict(op, b); err != nil {
		return err
	}
	key, uid := state.MakeKey(state.Members, "", string(b.peer)), state.MemberUID(string(b.peer))
	// Who was asked comes first: whoever reads that somebody has left sees at once that
	// it was not by itself.
	values := map[string][]byte{}
	if !b.Left {
		values[state.MemberEvictedBy] = state.EncodeRegister(c.cfg.Node)
	}
	if op.Force {
		values[state.MemberForgotten] = []byte("true")
	}
	if len(values) > 0 {
		if err := c.set(key, uid, values); err != nil {
			return err
		}
	}
	if b.Left {
		return nil
	}
	if err := c.setRanked(key, uid, state.MemberLeft, 1, []byte("true")); err != nil {
		return err
	}
	if bearer := c.members.byName[b.Name]; bearer != b && !bearer.Left {
		return nil // the Node belongs to whoever has the name now
	}
	if node := state.MakeKey(state.Nodes, "", b.Name); c.store.record(node).Live() != nil {
		return c.bury(node)
	}
	return nil
}

// mayEvict says why a member is not evicted.
func (c *Core) mayEvict(op EvictMember, b *member) error {
	switch {
	case b == nil:
		return ErrNotFound
	case b.peer == c.cfg.Peer:
		return fmt.Errorf("%w: this is the node that was asked; `holon node leave` takes it out of the cluster", ErrInvalid)
	case (op.Gone || op.Force) && b.live && !b.Left:
		return fmt.Errorf("%w: %s is in reach, and only a node that is gone can be forgotten; `holon node evict %s` takes it out of the cluster", ErrInvalid, b.Name, b.Name)
	case op.Gone && !op.Force && !c.majority():
		return fmt.Errorf("%w: half of the members that count or fewer are in reach here, so the others could not agree and %s would go on counting; bring some of them back, or say --force if it is gone for good", ErrInvalid, b.Name)
	}
	return nil
}

// memberOf finds a member by its name or its peer ID.
func (c *Core) memberOf(name string) *member {
	if b := c.members.byPeer[p2p.PeerID(name)]; b != nil {
		return b
	}
	return c.members.byName[name]
}

// dismissed follows a member that belongs to the cluster no more.
func (c *Core) dismissed(m state.Member) {
	if m.EvictedBy == "" {
		c.fact(false, "", "MemberLeft", "%s has left the cluster", m.Name)
		return
	}
	c.fact(true, "", "MemberEvicted", "%s (peer %s) is evicted from the cluster; %s was asked to", m.Name, m.Peer, m.EvictedBy)
}

// farewell is what an evicted peer is told if it comes back: its own record. It stops
// its pods then. One that is not reached goes on like any that is cut off.
func (c *Core) farewell(peer p2p.PeerID) []byte {
	key := state.MakeKey(state.Members, "", string(peer))
	return encodeMessage(kindPut, putBody{Records: []packedRecord{{Key: key, Record: c.store.entries[key].encoded}}})
}

// evicted ends what this node does: its slots are others' now. It may be known from the
// disk, at boot, so it is said with the next Step.
func (c *Core) evicted(m state.Member) {
	c.members.evicted, c.members.evictedBy = true, m.EvictedBy
	c.runner.stopping, c.runner.draining = true, true
	c.runner.dirty, c.runner.unsureAll, c.status.dirty = true, true, true
}

func (c *Core) sayEvicted() {
	if by := c.members.evictedBy; by != "" {
		c.members.evictedBy = ""
		c.fact(true, "", "Evicted", "this node is evicted from the cluster; %s was asked to. Its pods stop; to join again it needs a token", by)
	}
}
