package core

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt"
	"holon/crdt/state"
	"holon/scheduler"
)

// claims are the PersistentVolumeClaims of this view. Which node has the data of one is
// written by the node that admits the first run that uses it, before that run is ordered;
// from then on pods that name the claim run there or nowhere.
type claims struct {
	bearers
	byKey map[state.Key]*state.Claim
}

func newClaims() claims {
	return claims{newBearers(), map[state.Key]*state.Claim{}}
}

// reindexClaim follows a claim, and has those looked at that use it.
func (c *Core) reindexClaim(key state.Key, rec *crdt.Record) error {
	claim, err := state.DecodeClaim(key, rec)
	if err != nil {
		return err
	}
	x := &c.index.claims
	before := x.byKey[key]
	if delete(x.byKey, key); claim != nil {
		x.byKey[key] = claim
		x.follow(key, rec, claim.Losers)
		c.sayLeft(before, claim)
	} else {
		x.follow(key, rec, nil)
	}
	c.touchClaimants(key)
	c.derived.dirty, c.runner.dirty = true, true // a volume here may be unused now
	return nil
}

// touchClaimants has the workloads planned whose pods name a claim.
func (c *Core) touchClaimants(key state.Key) {
	_, namespace, name := key.Split()
	x := &c.index
	for uid, w := range x.workloads {
		if w.Namespace != namespace {
			continue
		}
		uses := w.UsesClaim(w.Template, name)
		for _, r := range x.revisions[uid] {
			uses = uses || r.Template != nil && w.UsesClaim(r.Template, name)
		}
		if !uses {
			continue
		}
		x.touchWorkload(uid)
		for _, r := range c.runner.of[uid] {
			if r.reason == configError {
				r.retryAt = 0 // it may have waited for the claim
			}
		}
	}
}

// sayLeft tells that what this node has of a claim is not what counts any more.
func (c *Core) sayLeft(before, now *state.Claim) {
	if before != nil && before.UID == now.UID && before.Node == c.cfg.Node && before.Binding != now.Binding {
		at := cmp.Or(now.Node, "no node yet")
		c.fact(true, now.Key, "VolumeUnused", "the claim is bound to %s now; what is in %s on %s stays there, unused: holon volume rm %s/%s removes it",
			at, before.Volume, c.cfg.Node, c.cfg.Node, before.Volume)
	}
}

// pinOf is what the volumes of a slot ask. A claim without data yet goes where somebody
// else is placed who uses it, since the two will need the same node.
func (c *Core) pinOf(w *state.Workload, id state.SlotID) scheduler.Pin {
	uses := w.Claims(w.Template, id.Index)
	pin := scheduler.Pin{Keeps: len(uses) > 0}
	home := c.index.slots[w.UID][id.Index].Home.Node
	for _, use := range uses {
		claim := c.index.claims.byKey[use.Claim]
		if claim == nil {
			_, _, name := use.Claim.Split()
			pin.Missing = cmp.Or(pin.Missing, fmt.Sprintf("persistentvolumeclaim %q not found", name))
			continue
		}
		node := claim.Node
		if node == "" {
			pin.Freed = pin.Freed || claim.From != "" && claim.From == home
			pin.Shared = pin.Shared || len(w.ClaimTemplates) == 0
			if home == "" {
				node = c.pledged(claim, id)
			}
		}
		switch {
		case node == "" || node == pin.Node:
		case pin.Node == "":
			pin.Node, pin.Claim = node, use.Claim
		default:
			pin.Missing = cmp.Or(pin.Missing, fmt.Sprintf("its volumes are on different nodes: %s is on %s, %s is on %s", use.Claim, node, pin.Claim, pin.Node))
		}
	}
	pin.Freed = pin.Freed && pin.Node == ""
	return pin
}

// pledged is the node of the first other slot that uses an unbound claim and has a home
// that serves; empty: there is none.
func (c *Core) pledged(claim *state.Claim, but state.SlotID) (node string) {
	var first state.SlotID
	for uid, w := range c.index.workloads {
		if w.Namespace != claim.Namespace || !w.Keeps() || !w.UsesClaim(w.Template, claim.Name) {
			continue
		}
		for index, s := range c.index.slots[uid] {
			if s.ID == but || s.Home.Node == "" || s.Home.Node == claim.From || !c.wants(w, index) || !uses(w, index, claim.Key) || c.health(s.Home.Node) != scheduler.Serving {
				continue
			}
			if node == "" || cmp.Or(uid.Compare(first.Workload), cmp.Compare(index, first.Index)) < 0 {
				node, first = s.Home.Node, s.ID
			}
		}
	}
	return node
}

func uses(w *state.Workload, index int, claim state.Key) bool {
	for _, use := range w.Claims(w.Template, index) {
		if use.Claim == claim {
			return true
		}
	}
	return false
}

// misplaced reports whether a run must not be here: the data of one of its claims is on
// another node, or its pod was made with data that was given up since.
func (c *Core) misplaced(w *state.Workload, t *corev1.PodTemplateSpec, index int, id state.RunID) bool {
	if c.cfg.Ablate == ClaimRule {
		return false
	}
	for _, use := range w.Claims(t, index) {
		claim := c.index.claims.byKey[use.Claim]
		if claim == nil {
			continue
		}
		has := c.runner.seen[id].Claims[use.Volume]
		if claim.Node != "" && claim.Node != c.cfg.Node || claim.Had(has) && has != claim.Volume {
			return true
		}
	}
	return false
}

// bind gives the claims of a run that have no data yet a volume here, and fails while one
// is missing that its pod has not got already.
func (c *Core) bind(r *run) error {
	for _, use := range r.workload.Claims(r.template, r.slot.ID.Index) {
		claim := c.index.claims.byKey[use.Claim]
		_, _, name := use.Claim.Split()
		switch {
		case c.runner.seen[r.id].Claims[use.Volume] != "":
		case claim == nil:
			return fmt.Errorf("persistentvolumeclaim %q not found", name)
		case claim.Node == "":
			b := state.Binding{Node: c.cfg.Node, Volume: claim.NextVolume(), Round: claim.Round}
			if err := c.setRanked(claim.Key, claim.UID, state.ClaimBinding, b.Round, state.EncodeRegister(b)); err != nil {
				return err
			}
			c.fact(false, claim.Key, "ProvisioningSucceeded", "volume %s is on %s, where the first pod of the claim runs", b.Volume, b.Node)
		}
	}
	return nil
}

// volumeOf names the volume here that a run has, or shall have, of a claim.
func (c *Core) volumeOf(r *run, use *state.ClaimUse) (string, error) {
	if has := c.runner.seen[r.id].Claims[use.Volume]; has != "" {
		return has, nil
	}
	_, _, name := use.Claim.Split()
	claim := c.index.claims.byKey[use.Claim]
	switch {
	case claim == nil:
		return "", fmt.Errorf("persistentvolumeclaim %q not found", name)
	case claim.Node != c.cfg.Node:
		return "", fmt.Errorf("the data of persistentvolumeclaim %q is on %q", name, claim.Node)
	}
	return claim.Volume, nil
}

// abandon gives the data of a claim up: it is unbound, and the next pod that uses it
// starts with an empty volume wherever there is room. force: also if the node that has
// the data is in reach.
func (c *Core) abandon(op AbandonVolume) error {
	claim := c.index.claims.byKey[op.Claim]
	switch {
	case claim == nil:
		return ErrNotFound
	}
	node := cmp.Or(claim.Node, c.lostUser(claim))
	switch {
	case node == "":
		return fmt.Errorf("%w: %s has no data yet", ErrInvalid, op.Claim)
	case c.live(node) && !op.Force:
		return fmt.Errorf("%w: %s, which has its data, is in reach; with --force its data is given up nevertheless", ErrStays, node)
	}
	b := state.Binding{Round: claim.Round + 1, From: node}
	c.fact(true, claim.Key, "VolumeAbandoned", "the data that %s has is given up; the next pod starts with an empty volume", node)
	return c.setRanked(claim.Key, claim.UID, state.ClaimBinding, b.Round, state.EncodeRegister(b))
}

// lostUser is the home, out of reach, of a slot that uses an unbound claim: it may have
// bound it, and nobody has heard.
func (c *Core) lostUser(claim *state.Claim) string {
	for _, uid := range sortedUIDs(c.index.workloads) {
		w := c.index.workloads[uid]
		if w.Namespace != claim.Namespace || !w.Keeps() {
			continue
		}
		for _, s := range c.wanted(w) {
			if s.Home.Node != "" && !c.live(s.Home.Node) && uses(w, s.ID.Index, claim.Key) {
				return s.Home.Node
			}
		}
	}
	return ""
}

// claimDeeds make the claims of a StatefulSet's slots that are not there, as the
// templates say. The name tells whose a claim is: where both sides of a split make one,
// the older stays.
func (c *Core) claimDeeds(w *state.Workload, slots []state.Slot) (deeds []deed) {
	for i := range slots {
		for t := range w.ClaimTemplates {
			key := w.ClaimKey(&w.ClaimTemplates[t], slots[i].ID.Index)
			if c.index.claims.byKey[key] != nil {
				continue
			}
			deeds = append(deeds, deed{"make " + string(key), func() error {
				values, err := w.ClaimTemplates[t].ClaimAt(c.display())
				if err != nil {
					return err
				}
				_, _, name := key.Split()
				c.fact(false, w.Key, "SuccessfulCreate", "created claim %s of slot %d", name, slots[i].ID.Index)
				return c.write(key, func(rec *crdt.Record, at crdt.Write) (*crdt.Record, error) {
					return rec.Set(state.DerivedUID("claim", string(key), at.Dot.String()), at, values)
				})
			}})
		}
	}
	return deeds
}

// spareLoser keeps what is worth keeping of a claim or a Snapshot that is deleted because an
// older one bears its name: the mark that nobody wanted its data gone, its own marks of those
// that had lost to it before, whose data it may have, and where the data of a claim is, if the
// other has none.
func (c *Core) spareLoser(key state.Key, loser crdt.UID) error {
	if key.Resource() != state.Claims && key.Resource() != state.Snapshots {
		return nil
	}
	rec := c.store.record(key)
	live, marks := rec.Live(), map[string][]byte{}
	mark := func(path string) {
		if _, marked := live.Registers[path]; !marked {
			marks[path] = nil
		}
	}
	mark(state.ConflictPath(loser))
	for path := range rec.Objects[loser].Registers {
		if uid, ok := (&state.Conflict{Path: path}).LoserOf(); ok && uid != live.UID {
			mark(path)
		}
	}
	if len(marks) > 0 {
		if err := c.set(key, live.UID, marks); err != nil {
			return err
		}
	}
	if key.Resource() == state.Snapshots {
		return nil
	}
	theirs, ours := state.BindingOf(rec.Objects[loser]), state.BindingOf(live)
	if theirs.Node == "" || ours != (state.Binding{}) {
		return nil
	}
	return c.setRanked(key, live.UID, state.ClaimBinding, theirs.Round, state.EncodeRegister(theirs))
}

type madeClaim struct {
	claim *state.Claim
	lost  bool
	token uint64
}

// deriveClaims shows the claims that have changed, or all if nodes may have left, and
// their volumes.
func (c *Core) deriveClaims() {
	due := map[state.Key]bool{}
	for key := range c.index.keys {
		if key.Resource() == state.Claims {
			due[key] = true
		}
	}
	if c.derived.all {
		for key := range c.index.claims.byKey {
			due[key] = true
		}
	}
	for _, key := range sortedKeys(due) {
		c.deriveClaim(key)
	}
}

func (c *Core) deriveClaim(key state.Key) {
	d, claim := &c.derived, c.index.claims.byKey[key]
	volume := state.Key("")
	if claim == nil {
		if _, shown := d.made[key]; shown {
			c.takeBack(key)
		}
	} else {
		m := c.members.byName[claim.Node]
		lost := claim.Node != "" && (m == nil || m.Left)
		if claim.Node != "" && !lost {
			volume = state.MakeKey(state.Volumes, "", claim.Volume)
		}
		token := c.store.entries[key].token
		made := madeClaim{claim, lost, token}
		if !d.shownAs(key, made) {
			c.publish(key, state.ClaimFace(claim, lost), token)
		}
		if volume != "" && !d.shownAs(volume, made) {
			c.publish(volume, state.VolumeFace(claim), 0)
		}
	}
	if was := d.volumes[key]; was != "" && was != volume {
		c.takeBack(was)
	}
	if delete(d.volumes, key); volume != "" {
		d.volumes[key] = volume
	}
}
