package testnet

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/core"
	"holon/testnet/check"
)

// operateLives makes objects that finalizers hold and that others own, deletes some, and
// takes finalizers away.
func (n *Node) operateLives() {
	rng := n.w.rng
	owner := state.MakeKey(state.ConfigMaps, "default", fmt.Sprintf("o%d", rng.IntN(4)))
	member := state.MakeKey(state.ConfigMaps, "default", fmt.Sprintf("m%d", rng.IntN(6)))
	switch rng.IntN(10) {
	case 0, 1:
		n.putHeld(owner, map[string]any{"data": map[string]any{"k": fmt.Sprint(rng.IntN(100))}})
	case 2, 3, 4:
		n.putHeld(member, map[string]any{"metadata": map[string]any{"ownerReferences": n.anyOwners()}})
	case 5:
		n.putHeld(state.MakeKey(state.Pods, "default", fmt.Sprintf("h%d", rng.IntN(2))), map[string]any{"spec": podTemplate(n.w, "")})
	case 6:
		n.endHow(owner)
	case 7:
		n.endHow([]state.Key{
			member, state.MakeKey(state.Pods, "default", fmt.Sprintf("h%d", rng.IntN(2))),
			state.MakeKey(state.Deployments, "default", fmt.Sprintf("d%d", rng.IntN(4))),
		}[rng.IntN(3)])
	default:
		n.letGo(rng.IntN(2) == 0)
	}
}

// putHeld creates an object, sometimes with finalizers; one that is there gets new values
// unless it is being deleted.
func (n *Node) putHeld(key state.Key, value map[string]any) {
	life := state.LifeOf(n.seen[key].Live())
	if life.Deleting || key.Resource() == state.Pods && life.UID != (crdt.UID{}) {
		return
	}
	if n.w.rng.IntN(2) == 0 {
		meta, _ := value["metadata"].(map[string]any)
		if meta == nil {
			meta = map[string]any{}
			value["metadata"] = meta
		}
		for i := range 1 + n.w.rng.IntN(2) {
			meta["finalizers"] = append(listOf(meta["finalizers"]), fmt.Sprintf("sim.io/f%d", i))
		}
	}
	n.put(key, value)
}

func listOf(v any) []any { list, _ := v.([]any); return list }

// anyOwners names one or two owners that this node shows.
func (n *Node) anyOwners() (refs []any) {
	for _, key := range slices.Sorted(maps.Keys(n.seen)) {
		_, _, name := key.Split()
		live := n.seen[key].Live()
		if key.Resource() != state.ConfigMaps || name[0] != 'o' || live == nil || n.w.rng.IntN(2) == 0 {
			continue
		}
		refs = append(refs, map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": live.UID.String(), "blockOwnerDeletion": n.w.rng.IntN(2) == 0,
		})
	}
	return refs[:min(len(refs), 2)]
}

func (n *Node) endHow(key state.Key) {
	how := []state.Cascade{"", state.Background, state.Foreground, state.Orphan}[n.w.rng.IntN(4)]
	if live := n.seen[key].Live(); live != nil {
		n.mutate(core.Mutate{Key: key, UID: live.UID, Delete: true, Cascade: how})
	}
}

// letGo takes finalizers of users from objects that are being deleted: from each, or now and
// then.
func (n *Node) letGo(some bool) {
	for _, key := range slices.Sorted(maps.Keys(n.seen)) {
		live := n.seen[key].Live()
		life := state.LifeOf(live)
		if !life.Deleting || some && n.w.rng.IntN(2) == 0 {
			continue
		}
		for _, f := range life.Finalizers {
			if f == state.ForegroundFinalizer || f == state.OrphanFinalizer || some && n.w.rng.IntN(2) == 0 {
				continue
			}
			n.w.Counts.Released++
			n.take(key, live, f)
			break
		}
	}
}

// take removes one finalizer, as a client does that has read the object.
func (n *Node) take(key state.Key, live *crdt.Object, finalizer string) {
	life := state.LifeOf(live)
	delta, err := life.WithoutFinalizer(key, live, finalizer)
	if err != nil {
		n.w.violate("world: %v", err)
		return
	}
	op := core.Mutate{Key: key, UID: live.UID, Old: map[string][]byte{}, New: map[string][]byte{}}
	for path, g := range live.Registers {
		if g.Value != nil {
			op.Old[path], op.New[path] = g.Value, g.Value
		}
	}
	for path, value := range delta {
		if op.New[path] = value; value == nil {
			delete(op.New, path)
		}
	}
	n.mutate(op)
}

// auditLife judges what a node has deleted itself: nobody deletes what finalizers of users
// hold, nor collects what has an owner that may be alive. Objects that lost their name, or
// whose place another one takes, are not held. said tells of what was said of the key.
func (n *Node) auditLife(key state.Key, before, after *crdt.Record, said func(reason string) bool) {
	w := n.w
	if key.Internal() {
		return
	}
	live := before.Live()
	if before != nil {
		for uid, o := range before.Objects {
			if o.Dead == nil && uid != live.UID {
				w.losers[uid] = true
			}
			if after == nil || after.Objects[uid] == nil { // purged in the same step, or elsewhere
				w.dead[uid.String()] = true
			}
		}
	}
	for _, uid := range slices.SortedFunc(maps.Keys(crdt.Join(after, nil).Objects), crdt.UID.Compare) {
		o := after.Objects[uid]
		if o.Dead == nil || w.dead[uid.String()] {
			continue
		}
		w.dead[uid.String()] = true
		if live == nil || uid != live.UID || w.losers[uid] || o.Dead.Dot.Replica != n.core.Replica() || said("Compacted") {
			continue
		}
		life := state.LifeOf(live)
		held := slices.DeleteFunc(life.Finalizers, func(f string) bool { return f == state.ForegroundFinalizer || f == state.OrphanFinalizer })
		if w.Counts.Ended++; len(held) > 0 {
			w.violate("anytime: %s deletes %s, which %v holds", n.name, key, held)
		}
	}
	if !said("OwnersGone") || live == nil || w.losers[live.UID] || !after.Gone(live.UID) && !state.LifeOf(after.Live()).Deleting {
		return
	}
	w.Counts.Collected++
	_, namespace, _ := key.Split()
	for _, o := range state.LifeOf(live).Owners {
		owner := n.newest[o.Key(namespace)].Live()
		at := state.LifeOf(owner)
		waits := owner != nil && at.InForeground() && slices.Contains(state.Names(owner), o.UID)
		if !w.dead[o.UID] && !waits {
			w.violate("anytime: %s collects %s, whose owner %s may be alive", n.name, key, o.UID)
		}
	}
}

// judgeLives judges what is left after the calm; then every finalizer is taken away, and
// nothing may be held any more.
func (w *World) judgeLives() {
	if w.Counts.DiskLosts+w.Counts.RollbacksSeen+w.Counts.RollbacksUnseen == 0 { // or the proof of a death may be lost
		w.bad = append(w.bad, check.Lives(w.replicas(), w.dead)...)
	}
	w.letAllGo()
}

// letAllGo takes away all finalizers of what is being deleted, after which nothing may be.
func (w *World) letAllGo() {
	for range finalizersMax {
		w.nodes[0].letGo(false)
		w.Run(livesCalm)
	}
	for key, rec := range w.nodes[0].seen {
		if life := state.LifeOf(rec.Live()); life.Deleting {
			w.violate("eventually: %s is still held by %v", key, life.Finalizers)
		}
	}
}

const (
	finalizersMax = 6               // rounds in which one finalizer of each object goes
	livesCalm     = 5 * time.Second // after each
)
