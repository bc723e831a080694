package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
)

// collectMax bounds how many objects one plan deletes or releases on account of one
// other. What they leave is planned again.
const collectMax = 256

// lives knows the objects that are being deleted or that have owners, of all kinds:
// few, whatever else is stored. So what follows from a finalizer that goes, or from an
// owner that does, is found without a scan.
type lives struct {
	of         map[state.Key]life
	at         map[crdt.UID]state.Key        // by the UID that they are planned under
	dependants map[string]map[state.Key]bool // by the UID of an owner, as it is spelt
	emptied    map[string]state.Key          // namespaces that are being deleted, by name
}

// life is one of them.
type life struct {
	state.Life
	planned crdt.UID // under which UID
}

func newLives() lives {
	return lives{
		of: map[state.Key]life{}, at: map[crdt.UID]state.Key{}, dependants: map[string]map[state.Key]bool{}, emptied: map[string]state.Key{},
	}
}

// followLife notes what a changed record says of its end, and has those looked at for
// whom that matters: itself, what it depends on, and a namespace that is being emptied.
func (x *index) followLife(key state.Key, rec *crdt.Record) {
	if key.Internal() {
		return
	}
	before, was := x.lives.of[key]
	now := life{Life: state.LifeOf(rec.Live())}
	_, namespace, name := key.Split()
	if ns, ok := x.lives.emptied[namespace]; ok && namespace != "" {
		x.touchLife(ns)
	}
	is := now.Deleting || len(now.Owners) > 0
	if !was && !is {
		return
	}
	x.forgetLife(key, &before)
	if is {
		if now.planned = x.byKey[key]; now.planned == (crdt.UID{}) {
			now.planned = now.UID
		}
		x.lives.of[key], x.lives.at[now.planned] = now, key
		x.touchWorkload(now.planned)
		for _, o := range now.Owners {
			setPart(x.lives.dependants, o.UID, key, true)
		}
	}
	if key.Resource() == state.Namespaces && now.Deleting {
		x.lives.emptied[name] = key
	}
	for _, o := range slices.Concat(before.Owners, now.Owners) {
		if owner := o.Key(namespace); x.lives.of[owner].Deleting {
			x.touchLife(owner)
		}
	}
}

func (x *index) forgetLife(key state.Key, before *life) {
	if x.lives.at[before.planned] == key {
		delete(x.lives.at, before.planned)
	}
	for _, o := range before.Owners {
		dropPart(x.lives.dependants, o.UID, key)
	}
	if _, _, name := key.Split(); x.lives.emptied[name] == key {
		delete(x.lives.emptied, name)
	}
	delete(x.lives.of, key)
}

func (x *index) touchLife(key state.Key) {
	if l, ok := x.lives.of[key]; ok {
		x.touchWorkload(l.planned)
		x.touch(key)
	}
}

// ownersDied has those looked at that depended on an object which a changed record shows to
// be dead, by whichever of its names.
func (c *Core) ownersDied(key state.Key, after *crdt.Record) {
	x := &c.index
	if len(x.lives.dependants) == 0 || !slices.ContainsFunc(slices.Collect(maps.Values(after.Objects)), func(o *crdt.Object) bool { return o.Dead != nil }) {
		return
	}
	names := map[string]bool{}
	for uid, o := range after.Objects {
		names[uid.String()] = o.Dead != nil
	}
	if before := c.store.record(key); before != nil {
		for uid, o := range before.Objects {
			if o.Dead == nil && after.Gone(uid) {
				for _, name := range state.Names(o) {
					names[name] = true
				}
			}
		}
	}
	for name, dead := range names {
		for of := range x.lives.dependants[name] {
			if dead {
				x.touchLife(of)
			}
		}
	}
}

// keepsMark refuses to let an object that is being deleted be held by something new, and
// keeps its mark.
func keepsMark(live *crdt.Object, delta map[string][]byte) error {
	life := state.LifeOf(live)
	if !life.Deleting {
		return nil
	}
	if value, written := delta[state.MarkPath]; written && value == nil {
		delete(delta, state.MarkPath)
	}
	next := state.LifeOf(state.Written(live, delta))
	fresh := slices.DeleteFunc(next.Finalizers, func(f string) bool { return slices.Contains(life.Finalizers, f) })
	if len(fresh) > 0 {
		return fmt.Errorf("%w: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers %q", ErrInvalid, fresh)
	}
	return nil
}

// end deletes an object, or marks it if something holds it.
func (c *Core) end(key state.Key, how state.Cascade) error {
	live := c.store.record(key).Live()
	if live == nil {
		return nil
	}
	life := state.LifeOf(live)
	finalizers := life.Finalized(how)
	if len(finalizers) == 0 && !c.filled(key) || c.cfg.Ablate == HoldRule {
		return c.bury(key)
	}
	delta, err := life.Mark(key, live, finalizers, cmp.Or(c.display(), unknownTime))
	if err != nil || len(delta) == 0 {
		return err
	}
	return c.set(key, live.UID, delta)
}

// unknownTime is shown as the time of a mark by a node that has no clock.
const unknownTime = "1970-01-01T00:00:00Z"

// release deletes an object for good that is marked, once nothing holds it any more.
func (c *Core) release(key state.Key) error {
	live := c.store.record(key).Live()
	if life := state.LifeOf(live); !life.Deleting || life.Held() || c.filled(key) {
		return nil
	}
	return c.bury(key)
}

// filled reports whether a key is that of a namespace with something in it.
func (c *Core) filled(key state.Key) bool {
	_, _, name := key.Split()
	return key.Resource() == state.Namespaces && len(c.content(name, 1)) > 0
}

// content lists what users keep in a namespace, so many at most; 0: all.
func (c *Core) content(namespace string, most int) (found []state.Key) {
	keys := c.store.keys()
	for _, resource := range state.InNamespaces() {
		prefix := state.MakeKey(resource, namespace, "")
		i, _ := slices.BinarySearch(keys, prefix)
		for ; i < len(keys) && keys[i] > prefix && keys[i].Within(prefix); i++ {
			if c.store.record(keys[i]).Live() != nil {
				found = append(found, keys[i])
			}
			if len(found) == most && most > 0 {
				return found
			}
		}
	}
	return found
}

// lifeDeeds are what is to be done about an object that is being deleted or has owners.
// All of them follow from what is stored, so whoever does one again changes nothing.
func (c *Core) lifeDeeds(uid crdt.UID) []deed {
	key, ok := c.index.lives.at[uid]
	if !ok {
		return nil
	}
	l := c.index.lives.of[key]
	switch {
	case !l.Deleting:
		return c.disownDeeds(key, &l, false)
	case slices.Contains(l.Finalizers, state.OrphanFinalizer):
		return c.orphanDeeds(key, &l)
	case l.InForeground():
		return c.foregroundDeeds(key, &l)
	case l.Held(), c.cfg.Ablate == ReleaseRule:
		return nil
	case c.filled(key):
		return c.emptyDeeds(key)
	}
	return []deed{{"release " + string(key), func() error { return c.release(key) }}}
}

// disownDeeds delete an object whose owners are all gone; asked: by one that waits for it.
// If only some of them are, it goes on without those. What is merely not here is no proof
// that it is gone.
func (c *Core) disownDeeds(key state.Key, l *life, asked bool) []deed {
	_, namespace, _ := key.Split()
	stays, gone := false, ""
	for i := range l.Owners {
		switch o := &l.Owners[i]; c.ownerFate(o, namespace) {
		case ownerStays:
			stays = true
		case ownerWaits:
			stays = stays || !asked
		case ownerGone:
			gone += " " + o.UID
		}
	}
	switch {
	case stays && gone == "":
		return nil
	case stays:
		return []deed{{"orphan " + string(key) + " of" + gone, func() error {
			return c.disown(key, func(o state.Owner) bool { return c.ownerFate(&o, namespace) == ownerGone })
		}}}
	}
	how := state.Background
	if live := c.store.record(key).Live(); asked && len(c.dependantsOf(live)) > 0 {
		how = state.Foreground
	}
	return []deed{{"collect " + string(key), func() error {
		c.fact(false, key, "OwnersGone", "deleted, as its owners are: %s %s", l.Owners[0].Kind, l.Owners[0].Name)
		return c.end(key, how)
	}}}
}

// fate is what has become of an owner.
type fate uint8

const (
	ownerStays fate = iota // or nobody here knows
	ownerWaits             // for those who depend on it
	ownerGone
)

func (c *Core) ownerFate(o *state.Owner, namespace string) fate {
	uid, err := crdt.ParseUID(o.UID)
	key := o.Key(namespace)
	if err != nil || key == "" {
		return ownerStays
	}
	rec := c.store.record(key)
	if live := rec.Live(); state.Succeeds(live, uid) {
		if life := state.LifeOf(live); life.InForeground() {
			return ownerWaits
		}
		return ownerStays
	}
	if c.departed.known[uid] || rec.Buried(uid) || c.cfg.Ablate == ProofRule {
		return ownerGone
	}
	return ownerStays
}

// dependantsOf lists what names an object as its owner, sorted.
func (c *Core) dependantsOf(live *crdt.Object) []state.Key {
	found := map[state.Key]bool{}
	if live != nil {
		for _, uid := range state.Names(live) {
			maps.Copy(found, c.index.lives.dependants[uid])
		}
	}
	return sortedKeys(found)
}

// orphanDeeds let what depends on an object go on without it, and then the object go.
func (c *Core) orphanDeeds(key state.Key, l *life) (deeds []deed) {
	live := c.store.record(key).Live()
	dependants := c.dependantsOf(live)
	for _, of := range dependants[:min(len(dependants), collectMax)] {
		deeds = append(deeds, deed{fmt.Sprintf("orphan %s of %s", of, l.UID), func() error { return c.disown(of, means(live)) }})
	}
	if len(dependants) > collectMax {
		return deeds
	}
	return append(deeds, c.unhold(key, state.OrphanFinalizer))
}

// foregroundDeeds delete what depends on an object, and then, once all of it that blocks
// the object and all of its pods are gone, let the object go.
func (c *Core) foregroundDeeds(key state.Key, l *life) (deeds []deed) {
	live := c.store.record(key).Live()
	blocked := false
	for _, of := range c.dependantsOf(live) {
		dependant := c.index.lives.of[of]
		_, namespace, _ := of.Split()
		stays := false
		for i := range dependant.Owners {
			o := &dependant.Owners[i]
			if means(live)(*o) {
				blocked = blocked || o.Blocks && !c.above(of, key)
			} else {
				stays = stays || c.ownerFate(o, namespace) == ownerStays
			}
		}
		switch {
		case len(deeds) == collectMax:
		case stays:
			deeds = append(deeds, deed{fmt.Sprintf("orphan %s of %s", of, l.UID), func() error { return c.disown(of, means(live)) }})
		case !dependant.Deleting:
			deeds = append(deeds, c.disownDeeds(of, &dependant, true)...)
		}
	}
	if blocked || len(c.runsOf(l.planned)) > 0 {
		return deeds
	}
	return append(deeds, c.unhold(key, state.ForegroundFinalizer))
}

// above reports whether one object owns another, directly or not. Who owns its owner does
// not block it: else a circle would wait for itself.
func (c *Core) above(owner, key state.Key) bool {
	seen, next := map[state.Key]bool{}, []state.Key{key}
	for len(next) > 0 {
		at := next[0]
		next = next[1:]
		_, namespace, _ := at.Split()
		for _, o := range c.index.lives.of[at].Owners {
			up := o.Key(namespace)
			if up == owner {
				return true
			}
			if up != "" && !seen[up] {
				seen[up], next = true, append(next, up)
			}
		}
	}
	return false
}

// means picks the references to one owner.
func means(owner *crdt.Object) func(state.Owner) bool {
	return func(o state.Owner) bool {
		uid, err := crdt.ParseUID(o.UID)
		return err == nil && state.Succeeds(owner, uid)
	}
}

// disown lets an object go on without some of its owners.
func (c *Core) disown(key state.Key, gone func(state.Owner) bool) error {
	live := c.store.record(key).Live()
	if live == nil {
		return nil
	}
	delta, err := state.Disowned(key, live, gone)
	if err != nil || len(delta) == 0 {
		return err
	}
	return c.set(key, live.UID, delta)
}

// unhold takes a finalizer away, and the object with it if that was the last one.
func (c *Core) unhold(key state.Key, finalizer string) deed {
	return deed{fmt.Sprintf("take %s from %s", finalizer, key), func() error {
		live := c.store.record(key).Live()
		if live == nil {
			return nil
		}
		life := state.LifeOf(live)
		delta, err := life.WithoutFinalizer(key, live, finalizer)
		if err != nil || len(delta) == 0 {
			return err
		}
		if len(life.Finalizers) == 1 && !c.filled(key) {
			return c.bury(key)
		}
		return c.set(key, live.UID, delta)
	}}
}

// emptyDeeds delete what is in a namespace that is being deleted.
func (c *Core) emptyDeeds(key state.Key) (deeds []deed) {
	_, _, name := key.Split()
	for _, of := range c.content(name, 0) {
		if len(deeds) < collectMax && !c.index.lives.of[of].Deleting {
			deeds = append(deeds, deed{"empty " + string(of), func() error { return c.end(of, state.Background) }})
		}
	}
	return deeds
}

// madeNamespace is what the face of a namespace was made of.
type madeNamespace struct {
	token uint64
	left  state.Remains
}

// deriveNamespaces publishes the namespaces that have changed, and those that are being
// emptied in which something has.
func (c *Core) deriveNamespaces() {
	for key := range c.index.keys {
		e := c.store.entries[key]
		if key.Resource() != state.Namespaces || e == nil {
			continue
		}
		rec, made := c.store.record(key), madeNamespace{token: e.token}
		if c.index.lives.of[key].Deleting {
			_, _, name := key.Split()
			left := map[state.Key]state.Life{}
			for _, of := range c.content(name, 0) {
				left[of] = c.index.lives.of[of].Life
			}
			made.left = state.RemainsOf(left)
		}
		if c.derived.shownAs(key, made) {
			continue
		}
		value, err := state.NamespaceFace(key, rec, made.left)
		if err != nil {
			c.fact(true, key, "InvalidRecord", "%v", err)
		} else if value != nil {
			c.publish(key, value, made.token)
		}
	}
}

// podEnded notes in which phase a Pod ended that is held by finalizers.
func (c *Core) podEnded(r *run) {
	w := c.index.workloads[r.slot.ID.Workload]
	if w == nil || !w.Bare() || !w.Stops || w.Ended != "" {
		return
	}
	phase := c.runner.reportRun(c, r).Phase
	if phase != state.Succeeded {
		phase = state.Failed
	}
	if err := c.set(w.Key, w.ObjectUID, map[string][]byte{state.PodEnded: state.EncodeRegister(phase)}); err != nil {
		c.fact(true, w.Key, "ResultNotWritten", "%v", err)
	}
}

// heldPod is a Pod that finalizers hold after its containers are gone.
func (c *Core) heldPod(w *state.Workload) state.PodFace {
	s := c.index.slots[w.UID][w.First]
	id, phase := state.SlotID{Workload: w.UID, Index: w.First}, w.Ended
	switch {
	case phase != "":
	case s.Home.Node == "":
		phase = state.Pending
	default:
		phase = state.Failed
	}
	return c.podFace(w, id, s.Home.Node, &state.RunStatus{
		Run: state.MakeRunID(id, w.Revision, s.Home.Node, s.Run.Nonce), Revision: w.Revision, Phase: phase, Slot: id,
	})
}
