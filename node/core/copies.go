package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holon/crdt"
	"holon/crdt/state"
)

// Pace of copies.
const (
	copyRetry    = 30 * time.Second // after a copy that could not be written or removed
	copyPatience = 30 * time.Second // for a sync that is under way when a copy is due
)

// CopyOrder has the shell write the file of a Snapshot, or remove it. It is idempotent, and
// answered by CopyEnded; at most one is under way.
type CopyOrder struct {
	UID    crdt.UID
	Name   string // of the Snapshot, for words
	Remove bool
}

type (
	// CopiesFound says which files of Snapshots are there when the node starts. Before that
	// nothing is written.
	CopiesFound struct{ Copies []state.SnapshotCopy }
	// CopyEnded answers a CopyOrder. Copy is the file that is durable now, or it says in
	// its state and message why there is none, or why the one there could not be removed.
	CopyEnded struct {
		Order CopyOrder
		Copy  state.SnapshotCopy
	}
)

func (CopiesFound) event() {}
func (CopyEnded) event()   {}

// copies are the files that this node keeps for Snapshots. One is written where a Snapshot
// that asks this node is here and its file is not; it goes once the object is known to have
// been deleted. In between nothing happens to it.
type copies struct {
	dirty   bool // what is to be done may have changed
	found   bool // the shell has said what is there
	kept    map[crdt.UID]state.SnapshotCopy
	failed  map[crdt.UID]state.SnapshotCopy // what could not be written, and why
	order   *CopyOrder                      // under way
	retryAt Instant                         // when what failed is tried again; 0: nothing has
	waits   Instant                         // since when the next copy waits for a sync; 0: none does
}

func newCopies() copies {
	return copies{kept: map[crdt.UID]state.SnapshotCopy{}, failed: map[crdt.UID]state.SnapshotCopy{}}
}

// snapshots are those of this view.
type snapshots struct {
	bearers
	byKey map[state.Key]*state.Snapshot
}

func (c *Core) reindexSnapshot(key state.Key, rec *crdt.Record) error {
	s, err := state.DecodeSnapshot(key, rec)
	if err != nil {
		return err
	}
	x := &c.index.snapshots
	if delete(x.byKey, key); s != nil {
		x.byKey[key] = s
		x.follow(key, rec, s.Losers)
	} else {
		x.follow(key, rec, nil)
	}
	c.copies.dirty, c.derived.snapshots, c.derived.dirty, c.status.dirty = true, true, true, true
	return nil
}

func (c *Core) copiesFound(ev CopiesFound) {
	k := &c.copies
	k.found, k.dirty, c.status.dirty = true, true, true
	for _, file := range ev.Copies {
		k.kept[file.UID] = file
	}
}

func (c *Core) copyEnded(ev CopyEnded) {
	k, uid := &c.copies, ev.Order.UID
	k.order, k.dirty, c.status.dirty = nil, true, true
	about := cmp.Or(c.index.snapshots.of[uid], state.MakeKey(state.Snapshots, "", ev.Order.Name))
	switch gone := ev.Order.Remove; {
	case gone && ev.Copy.State == state.CopyKept, !gone && ev.Copy.State != state.CopyKept:
		k.retryAt = c.now + copyRetry
		if k.failed[uid].Message != ev.Copy.Message {
			c.fact(true, about, "CopyFailed", "%s: %s", c.cfg.Node, ev.Copy.Message)
		}
		k.failed[uid] = ev.Copy
	case gone:
		delete(k.kept, uid)
		delete(k.failed, uid)
	default:
		k.kept[uid] = ev.Copy
		delete(k.failed, uid)
		c.fact(false, about, "CopyKept", "%s keeps a copy of its state, %d objects in %d bytes", c.cfg.Node, ev.Copy.Objects, ev.Copy.Bytes)
	}
}

// keepCopies orders what is to be done next: what is dead goes first, since it makes room.
func (c *Core) keepCopies() {
	k := &c.copies
	if k.retryAt != 0 && c.now >= k.retryAt {
		k.retryAt, k.dirty = 0, true
	}
	if k.retryAt != 0 {
		c.wake(k.retryAt)
	}
	if !k.dirty || !k.found || k.order != nil || c.cfg.Passive {
		return
	}
	k.dirty = false
	for _, uid := range sortedUIDs(k.kept) {
		switch {
		case !c.goes(uid) || c.waitsAgain(uid):
		case c.tells(uid): // until the next status, which says it no more
			k.dirty, c.status.dirty = true, true
		default:
			c.orderCopy(CopyOrder{UID: uid, Name: c.nameOfSnapshot(uid), Remove: true})
			return
		}
	}
	for _, s := range c.copiesDue() {
		if c.waitsAgain(s.UID) {
			continue
		}
		if c.copyMustWait() {
			k.dirty = true
			c.wake(c.now + time.Second)
			return
		}
		c.orderCopy(CopyOrder{UID: s.UID, Name: c.nameOfSnapshot(s.UID)})
		return
	}
	maps.DeleteFunc(k.failed, func(uid crdt.UID, _ state.SnapshotCopy) bool {
		_, there := k.kept[uid]
		return !there && c.goes(uid)
	})
}

// goes reports whether the file of a Snapshot is not wanted by anybody any more.
func (c *Core) goes(uid crdt.UID) bool {
	x := &c.index.snapshots
	if c.cfg.Ablate == CopyRule {
		s := x.byKey[x.of[uid]]
		return s == nil || s.UID != uid
	}
	return c.buried(&x.bearers, uid)
}

// tells reports whether the own status, as it was sent last, has a copy.
func (c *Core) tells(uid crdt.UID) bool {
	return slices.ContainsFunc(c.status.own.Copies, func(file state.SnapshotCopy) bool { return file.UID == uid })
}

// waitsAgain reports whether the last attempt has failed and the next one is not due.
func (c *Core) waitsAgain(uid crdt.UID) bool {
	_, failed := c.copies.failed[uid]
	return failed && c.copies.retryAt != 0
}

// copiesDue are the Snapshots that this node is to write a copy for, as far as it may keep so
// many.
func (c *Core) copiesDue() (due []*state.Snapshot) {
	for _, s := range c.snapshotsInOrder() {
		if _, kept := c.copies.kept[s.UID]; s.Asks(c.cfg.Node) && !kept {
			due = append(due, s)
		}
	}
	return due[:min(len(due), max(state.SnapshotsMax-len(c.copies.kept), 0))]
}

func (c *Core) snapshotsInOrder() []*state.Snapshot {
	return slices.SortedFunc(maps.Values(c.index.snapshots.byKey), state.SnapshotOrder)
}

// copyMustWait holds a copy back while this node is being told what it lacks, for some time:
// that of a node which has just joined would have little in it.
func (c *Core) copyMustWait() bool {
	k := &c.copies
	alone := len(c.members.byName) <= 1
	if len(c.sync.pulls) == 0 && (alone || c.sync.done > 0) {
		k.waits = 0
		return false
	}
	if k.waits == 0 {
		k.waits = c.now
	}
	if c.now < k.waits+copyPatience {
		return true
	}
	k.waits = 0
	return false
}

func (c *Core) orderCopy(o CopyOrder) {
	c.copies.order, c.status.dirty = &o, true
	c.out.Copies = append(c.out.Copies, o)
	if c.cfg.Ablate == DurableRule && !o.Remove {
		c.copies.kept[o.UID] = state.SnapshotCopy{UID: o.UID, State: state.CopyKept}
	}
}

func (c *Core) nameOfSnapshot(uid crdt.UID) string {
	_, _, name := c.index.snapshots.of[uid].Split()
	return name
}

// reportCopies is what this node says of its copies, by UID: what it keeps, and what it is about
// to, at most SnapshotsMax.
func (c *Core) reportCopies() (list []state.SnapshotCopy) {
	if !c.copies.found {
		return nil
	}
	under := CopyOrder{}
	if c.copies.order != nil {
		under = *c.copies.order
	}
	for _, uid := range sortedUIDs(c.copies.kept) {
		if !c.goes(uid) && (under.UID != uid || !under.Remove) {
			file := c.copies.kept[uid]
			file.Message = short(file.Message)
			list = append(list, file)
		}
	}
	for _, s := range c.copiesDue() {
		file, failed := c.copies.failed[s.UID]
		if !failed || under.UID == s.UID {
			file = state.SnapshotCopy{UID: s.UID, State: state.CopyWriting}
		}
		file.Message = short(file.Message)
		list = append(list, file)
	}
	slices.SortFunc(list, func(a, b state.SnapshotCopy) int { return a.UID.Compare(b.UID) })
	return list[:min(len(list), state.SnapshotsMax)]
}

// short is as much of a message as goes into a status, which has to be UTF-8.
func short(text string) string {
	if len(text) > state.CopyMessageMax {
		text = text[:state.CopyMessageMax-3] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}

// deriveSnapshots shows Snapshots with what the nodes say of them, all if one node's word has
// changed: there are few.
func (c *Core) deriveSnapshots() {
	x, d := &c.index.snapshots, &c.derived
	if !d.snapshots && !d.all {
		return
	}
	d.snapshots = false
	for key := range c.index.keys {
		if key.Resource() == state.Snapshots && x.byKey[key] == nil {
			if _, shown := d.made[key]; shown {
				c.takeBack(key)
			}
		}
	}
	for _, s := range c.snapshotsInOrder() {
		files, token := c.copiesOf(s), c.store.entries[s.Key].token
		if made := fmt.Sprint(token, files); !d.shownAs(s.Key, made) {
			c.publish(s.Key, state.SnapshotFace(s, files), token)
		}
	}
}

// copiesOf is what each node that is asked says of its copy.
func (c *Core) copiesOf(s *state.Snapshot) (list []state.NodeCopy) {
	asked := s.Nodes
	if len(asked) == 0 {
		for name, m := range c.members.byName {
			if !m.Left {
				asked = append(asked, name)
			}
		}
		if !slices.Contains(asked, c.cfg.Node) {
			asked = append(asked, c.cfg.Node)
		}
	}
	asked = slices.Sorted(slices.Values(asked))
	for _, node := range slices.Compact(asked) {
		list = append(list, c.copyOn(node, s))
	}
	return list
}

// StrayCopy is a copy of which nobody here knows whether its Snapshot was deleted. It stays, and
// counts against those that its node may keep.
type StrayCopy struct {
	Node string
	UID  crdt.UID
}

func (c *Core) strayCopies(members []MemberView) (strays []StrayCopy) {
	x := &c.index.snapshots
	for i := range members {
		m := &members[i]
		if m.Status == nil || !m.InReach() {
			continue
		}
		for _, file := range m.Status.Copies {
			if _, known := x.of[file.UID]; !known && !c.departed.known[file.UID] {
				strays = append(strays, StrayCopy{m.Name, file.UID})
			}
		}
	}
	return strays
}

// copyOn is what a node says of its copy of a Snapshot.
func (c *Core) copyOn(node string, s *state.Snapshot) state.NodeCopy {
	m := c.members.byName[node]
	out := state.NodeCopy{Node: node, InReach: node == c.cfg.Node || c.live(node), SnapshotCopy: state.SnapshotCopy{UID: s.UID, State: state.CopyWaiting}}
	told := false
	said := c.statusOf(node)
	if said == nil {
		said = &state.NodeStatus{}
	}
	for _, file := range said.Copies {
		if file.UID == s.UID {
			out.SnapshotCopy, told = file, true
		}
		if s.Losers[file.UID] {
			out.Also = append(out.Also, file.UID)
		}
	}
	full := len(said.Copies) >= state.SnapshotsMax
	switch {
	case told && !out.InReach:
		out.Message = "the node is out of reach; this is what it said last"
	case told:
	case node != c.cfg.Node && (m == nil || m.Left):
		out.State, out.Message = state.CopyFailed, fmt.Sprintf("no member is called %s", node)
	case !out.InReach:
		out.Message = "the node is out of reach, and has said nothing of it"
	case full:
		out.State, out.Message = state.CopyRefused, fmt.Sprintf("%s keeps %d copies, and no more: delete a Snapshot", node, state.SnapshotsMax)
	}
	return out
}
