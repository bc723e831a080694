package core

import (
	"slices"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
)

// checkObjectsMax bounds the objects that one check asks about.
const checkObjectsMax = 2000

// check is the stale path, the last part of a pull from a peer whose floor this
// node's context did not cover: objects may live here whose deletion the peer has
// purged, so before this node claims the peer's context it asks about every live object
// born under that floor. What the peer lacks although its context has the birth
// was deleted (I2). Only the stale side drops, and only its own copies.
//
// The sender answers from what it has then, so nothing has to stand still: what
// it purged before, it lacks. What it still holds dead counts as well: the pull has
// not sent such a tombstone if a third node purged the whole record, made it anew,
// and this one had it from there, because then the newest dots of both are the same
// (seed 1556 of the histories). When all objects were asked about, those that came meanwhile included,
// the dead ones go and the context is claimed in one step.
type check struct {
	floor crdt.Floor
	mark  uint64      // the store's token when this pass began
	since uint64      // entries up to this token were asked about in an earlier pass
	after state.Key   // where this pass is
	round uint64      // of the message under way
	asked []checkItem // in it
	gone  map[state.Key][]crdt.UID
	count int // of gone
}

// startCheck begins the stale path.
func (c *Core) startCheck(from p2p.PeerID, p *pull) {
	c.store.count.StalePaths++
	p.check = &check{floor: p.floor, mark: c.store.token, gone: map[state.Key][]crdt.UID{}}
	c.askCheck(from, p)
}

// askCheck asks about the next objects, or ends the check.
func (c *Core) askCheck(from p2p.PeerID, p *pull) {
	k := p.check
	k.asked = c.unchecked(k)
	for len(k.asked) == 0 && k.mark != c.store.token { // what came meanwhile
		k.since, k.mark, k.after = k.mark, c.store.token, ""
		k.asked = c.unchecked(k)
	}
	if len(k.asked) == 0 {
		c.endCheck(from, p)
		return
	}
	k.round++
	c.resendCheck(from, p)
}

func (c *Core) resendCheck(from p2p.PeerID, p *pull) {
	p.heard = c.now
	c.send(from, kindCheck, checkBody{ID: p.id, Round: p.check.round, Items: p.check.asked})
}

// unchecked lists objects born under the floor, in records after the last one.
func (c *Core) unchecked(k *check) (items []checkItem) {
	keys := c.store.keys()
	first, found := slices.BinarySearch(keys, k.after)
	if found {
		first++
	}
	for _, key := range keys[first:] {
		if len(items) >= checkObjectsMax {
			break
		}
		k.after = key
		if c.store.entries[key].token <= k.since || state.Lasting(key) {
			continue
		}
		for uid, o := range c.store.record(key).Objects {
			if o.Dead == nil && k.floor.Has(o.Birth.Dot) {
				items = append(items, checkItem{Key: key, UID: uid, By: o.Birth.Dot.Replica, At: o.Birth.Dot.Counter})
			}
		}
	}
	slices.SortStableFunc(items, func(a, b checkItem) int {
		if a.Key != b.Key {
			return 0 // sorted by key already
		}
		return a.UID.Compare(b.UID)
	})
	return items
}

// receiveCheck says which objects of a stale peer were deleted.
func (c *Core) receiveCheck(from p2p.PeerID, body checkBody) {
	answer := goneBody{ID: body.ID, Round: body.Round}
	for i, item := range body.Items {
		if !c.store.context.Has(crdt.Dot{Replica: item.By, Counter: item.At}) {
			continue
		}
		if c.store.record(item.Key).Gone(item.UID) {
			answer.Gone = append(answer.Gone, i)
		}
	}
	c.send(from, kindGone, answer)
}

func (c *Core) receiveGone(from p2p.PeerID, body goneBody) error {
	p := c.sync.pulls[from]
	if p == nil || p.id != body.ID || p.check == nil || p.check.round != body.Round {
		return nil // of a check that was given up, or again
	}
	k := p.check
	for _, i := range body.Gone {
		if i < 0 || i >= len(k.asked) {
			return errForeignIndex
		}
		item := k.asked[i]
		if !slices.Contains(k.gone[item.Key], item.UID) {
			k.gone[item.Key] = append(k.gone[item.Key], item.UID)
			k.count++
		}
	}
	c.askCheck(from, p)
	return nil
}

// endCheck drops what was deleted elsewhere and completes the pull.
func (c *Core) endCheck(from p2p.PeerID, p *pull) {
	p.check.count = c.stillHere(p.check.gone) // another pull may have dropped some
	if c.braked(from, p.check) {
		c.endPull(from)
		return
	}
	for _, key := range sortedKeys(p.check.gone) {
		c.dropObjects(key, p.check.gone[key], "deleted elsewhere while this node was away")
	}
	c.completePull(from, p)
}

func (c *Core) stillHere(objects map[state.Key][]crdt.UID) (count int) {
	for key, uids := range objects {
		if rec := c.store.record(key); rec != nil {
			count += len(rec.Only(uids).Objects)
		}
	}
	return count
}

// dropObjects puts objects aside that were deleted elsewhere and purged.
func (c *Core) dropObjects(key state.Key, uids []crdt.UID, why string) {
	rec := c.store.record(key)
	left := rec.Without(uids)
	if rec == nil || left == rec {
		return
	}
	c.store.count.Dropped += len(rec.Objects) - len(left.Objects)
	c.quarantine(key, rec.Only(uids).Encode(), why)
	c.commit(key, left)
}
