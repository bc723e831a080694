package node

import (
	"context"
	"errors"
	"time"

	"holon/crdt"
	"holon/crdt/seal"
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
	"holon/scheduler"
)

const (
	// resealBatch bounds the objects that one pass writes again.
	resealBatch = 16
	// resealQuiet is how long every member has been in reach before old values are
	// sealed anew. A re-seal is a write like any other: beside an edit on the other
	// side of a split it could be the one that wins, and undo it.
	resealQuiet = 10 * time.Second
)

// resealer remembers when the cluster was last seen incomplete.
type resealer struct {
	since core.Instant // every member is in reach; 0: not
	done  uint64       // resourceVersion at which nothing was left to do
	key   seal.ID      // with this key as the newest
}

// reseal writes some Secrets again that have values under an old key: each is
// done by the first live node in its own rendezvous order. The write fails if the
// record has changed meanwhile, and the next pass looks again.
func (n *Node) reseal(ctx context.Context, r *resealer) {
	if !n.everybodyIsHere() {
		r.since = 0
		return
	}
	if r.since == 0 {
		r.since = n.now()
	}
	newest, ok := n.keys.newest()
	if !ok || n.now()-r.since < resealQuiet {
		return
	}
	objects, rv := n.cfg.Cache.List(state.Secrets, "")
	if r.done == rv && r.key == newest.ID() {
		return
	}
	_, alive := n.keyMembers()
	left := 0
	for _, o := range objects {
		if !staleUnder(o, newest.ID()) {
			continue
		}
		if left++; left > resealBatch || scheduler.Rank(uidOf(o), alive, n.cfg.Identity.Name) != 0 {
			continue
		}
		if err := n.resealOne(ctx, o, newest); err != nil && !errors.Is(err, core.ErrConflict) {
			n.log.Warn("a secret could not be sealed with the newest key", "secret", o.Key, "error", err)
		}
	}
	if left == 0 {
		r.done, r.key = rv, newest.ID()
	}
}

func (n *Node) everybodyIsHere() bool {
	for _, m := range n.view.Load().Members {
		if m.State != "alive" && m.State != "left" {
			return false
		}
	}
	return true
}

func (n *Node) resealOne(ctx context.Context, o api.Object, newest seal.Key) error {
	opened, err := n.Open(o)
	if err != nil {
		return err
	}
	key, uid := state.MakeKey(o.Resource, o.Namespace, o.Name), uidOf(o)
	old, err := registers(o.Resource, o.Value())
	if err != nil {
		return err
	}
	plain, err := registers(o.Resource, opened.Value())
	if err != nil {
		return err
	}
	sealed, err := state.SealRegisters(newest, key, uid, plain)
	if err != nil {
		return err
	}
	// Only what is under another key: an equal write would be one all the same.
	for path := range old {
		if id, err := state.SealedWith(old[path]); err == nil && id == newest.ID() {
			sealed[path] = old[path]
		}
	}
	_, err = n.ask(ctx, core.Mutate{Key: key, UID: uid, Token: o.Token, Old: old, New: sealed})
	return err
}

func uidOf(o api.Object) crdt.UID {
	meta, _ := o.Value()["metadata"].(map[string]any)
	text, _ := meta["uid"].(string)
	uid, _ := crdt.ParseUID(text)
	return uid
}

func staleUnder(o api.Object, newest seal.ID) bool {
	for id := range keysIn(o) {
		if id != newest {
			return true
		}
	}
	return false
}

// keysIn are the data keys under which an object of the cache has values.
func keysIn(o api.Object) map[seal.ID]bool {
	found := map[seal.ID]bool{}
	flat, err := registers(o.Resource, o.Value())
	if err != nil {
		return found
	}
	for path, value := range flat {
		if !state.SealedPath(o.Resource, path) {
			continue
		}
		if id, err := state.SealedWith(value); err == nil {
			found[id] = true
		}
	}
	return found
}
