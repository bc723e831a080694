package testnet

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/core"
)

// snapshotNames are so many that at times more Snapshots are wanted than a node keeps copies.
const snapshotNames = state.SnapshotsMax + 6

// operateSnapshots asks for copies, labels or deletes a Snapshot, or fills or empties a disk.
func (n *Node) operateSnapshots() {
	rng := n.w.rng
	key := state.MakeKey(state.Snapshots, "", fmt.Sprintf("s%d", rng.IntN(snapshotNames)))
	live := n.seen[key].Live() != nil
	switch k := rng.IntN(20); {
	case k < 12 && !live:
		spec := map[string]any{}
		if rng.IntN(3) == 0 {
			spec["nodes"] = n.w.someNames()
		}
		n.put(key, map[string]any{"spec": spec})
	case k < 14 && live:
		n.put(key, map[string]any{"metadata": map[string]any{"labels": map[string]any{"l": fmt.Sprint(rng.IntN(9))}}})
	case k < 18:
		n.remove(key)
	case k < 19:
		n.full = !n.full
	}
}

func (w *World) someNames() (names []any) {
	for _, n := range w.nodes {
		if w.rng.IntN(2) == 0 {
			names = append(names, n.name)
		}
	}
	return names
}

// ---- the shell's part

// keepFiles tells a core that has just booted which files are there.
func (n *Node) keepFiles() {
	if !n.w.keeps {
		return
	}
	var found []state.SnapshotCopy
	for _, uid := range slices.SortedFunc(maps.Keys(n.disk.files), crdt.UID.Compare) {
		found = append(found, n.disk.files[uid])
	}
	n.copying = false
	n.step(core.CopiesFound{Copies: found})
}

// copyLater carries an order to the disk: a file is there some time before anybody is told,
// and a crash may come at any point.
func (n *Node) copyLater(o core.CopyOrder) {
	w, boot := n.w, n.boot
	n.auditCopyOrder(o)
	n.copying = true
	then := func(do func()) {
		w.after(time.Duration(1+w.rng.IntN(150))*time.Millisecond, func() { n.guarded(boot, do) })
	}
	ended := func(file state.SnapshotCopy) {
		then(func() {
			n.copying = false
			n.step(core.CopyEnded{Order: o, Copy: file})
		})
	}
	switch {
	case o.Remove:
		then(func() {
			w.Counts.CopiesRemoved++
			delete(n.disk.files, o.UID)
			ended(state.SnapshotCopy{UID: o.UID})
		})
	case n.full:
		w.Counts.CopiesRefused++
		ended(state.SnapshotCopy{UID: o.UID, State: state.CopyRefused, Message: "the disk is full"})
	default:
		then(func() {
			n.ask(core.Copy{}, func(ack core.Ack) {
				n.auditCopied(o, ack.Copied)
				then(func() {
					w.Counts.CopiesWritten++
					file := state.SnapshotCopy{UID: o.UID, State: state.CopyKept, Bytes: 1}
					n.disk.files[o.UID] = file
					n.auditFiles()
					ended(file)
				})
			})
		})
	}
}

// ---- rules

// auditCopyOrder judges an order: one at a time, and only what was deleted goes.
func (n *Node) auditCopyOrder(o core.CopyOrder) {
	w := n.w
	if n.copying {
		w.violate("anytime: %s orders a copy while another one is under way", n.name)
	}
	if o.Remove && !w.deleted(o.UID) {
		w.violate("anytime: %s removes the copy for Snapshot %s, which nobody has deleted", n.name, o.UID)
	}
}

// auditCopied judges what is copied: it is on the disk, and the Snapshot is in it unless it was
// deleted meanwhile.
func (n *Node) auditCopied(o core.CopyOrder, copied *core.Copied) {
	asked := false
	for _, kv := range copied.Records {
		rec, err := crdt.Decode(kv.Value)
		if err != nil {
			n.w.violate("anytime: %s copies %s, which does not decode: %v", n.name, kv.Key, err)
			continue
		}
		key := state.Key(kv.Key)
		n.w.ledger.Released(n.name, "copied", key, rec, n.disk.written)
		if _, of := rec.Objects[o.UID]; key.Resource() == state.Snapshots && of {
			asked = true
		}
	}
	if uid := n.newestSnapshot(o.UID); uid != nil && !asked {
		n.w.violate("anytime: the copy of %s for Snapshot %s lacks it", n.name, o.UID)
	}
}

// newestSnapshot is a Snapshot as the core has it; nil if it has it no more.
func (n *Node) newestSnapshot(uid crdt.UID) *crdt.Object {
	rec := n.newest[n.w.claimUIDs[uid]]
	if live := rec.Live(); live != nil && live.UID == uid {
		return live
	}
	return nil
}

func (n *Node) auditFiles() {
	if len(n.disk.files) > state.SnapshotsMax {
		n.w.violate("anytime: %s keeps %d copies, at most %d", n.name, len(n.disk.files), state.SnapshotsMax)
	}
}

// judgeTold looks whether a node has on its disk what it says that it keeps.
func (n *Node) judgeTold(frame []byte) {
	s := core.StatusIn(frame)
	if s == nil || !n.w.keeps {
		return
	}
	for _, file := range s.Copies {
		if _, there := n.disk.files[file.UID]; file.State == state.CopyKept && !there {
			n.w.violate("anytime: %s says that it keeps a copy for Snapshot %s before it is on its disk", n.name, file.UID)
		}
	}
}

// judgeSnapshots looks after the calm whether every node keeps what it was asked for, and shows
// of all others that they do.
func (w *World) judgeSnapshots() {
	for _, n := range w.nodes {
		for _, key := range slices.Sorted(maps.Keys(n.seen)) {
			if key.Resource() != state.Snapshots {
				continue
			}
			s, err := state.DecodeSnapshot(key, n.seen[key])
			if err != nil || s == nil {
				continue
			}
			if _, kept := n.disk.files[s.UID]; s.Asks(n.name) && !kept && len(n.disk.files) < state.SnapshotsMax {
				w.violate("eventually: %s keeps no copy for %s, though it has room", n.name, key)
			}
			n.judgeShown(key, s)
		}
		if w.provenDead() {
			for uid := range n.disk.files {
				if w.forgotten[uid] {
					w.violate("eventually: %s still keeps the copy for %s (%s), which was deleted", n.name, w.claimUIDs[uid], uid)
				}
			}
		}
	}
}

// judgeShown compares what a node shows of the copies of all nodes with their disks.
func (n *Node) judgeShown(key state.Key, s *state.Snapshot) {
	status, _ := n.shown[key]["status"].(map[string]any)
	said := map[string]string{}
	for _, item := range listOf(status["copies"]) {
		c, _ := item.(map[string]any)
		node, _ := c["node"].(string)
		said[node], _ = c["state"].(string)
	}
	for _, other := range n.w.nodes {
		if !s.Asks(other.name) {
			continue
		}
		want := string(state.CopyKept)
		if _, kept := other.disk.files[s.UID]; !kept {
			want = string(state.CopyRefused)
		}
		if said[other.name] != want {
			n.w.violate("eventually: %s shows %q of the copy of %s for %s, which is %s", n.name, said[other.name], other.name, key, want)
		}
	}
}

// provenDead reports whether every node was there for each delete, or has its tombstone. Who was
// away until a delete was purged elsewhere puts the object aside, and keeps its copy.
func (w *World) provenDead() bool {
	c := &w.Counts
	return c.DiskLosts+c.RollbacksSeen+c.RollbacksUnseen+c.MemberEvictions+c.Core.Superseded+c.Core.Dropped == 0
}

// noCopies looks for copies that outlived their Snapshots.
func (w *World) noCopies() {
	for _, n := range w.nodes {
		for uid := range n.disk.files {
			w.violate("finally: %s still keeps the copy for %s (%s); deleted: %v, its name lost: %v", n.name, w.claimUIDs[uid], uid, w.forgotten[uid], w.nameLost[uid])
		}
	}
}
