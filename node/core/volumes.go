package core

import (
	"fmt"
	"slices"

	"holon/crdt/state"
	"holon/runtime"
)

// kept are the volumes that this node keeps beyond pods, as the runtime saw them last. One
// is removed once its claim was deleted, by somebody who is known to have done so, and no
// pod here has it. What else is not in use stays until a user removes it.
type kept struct {
	names    []string
	removing map[string]bool // an order is under way
	failed   map[string]bool // and was said to have failed
	retryAt  Instant         // when removals that failed are tried again; 0: none has
}

// The states of a KeptVolume.
const (
	VolumeBound  = "bound"
	VolumeUnused = "unused" // its claim is bound elsewhere, or unknown here
	VolumeGoes   = "going"  // its claim was deleted
	VolumeAway   = "node unreachable"
	VolumeLost   = "lost" // its node has left
)

// KeptVolume is a volume, for users.
type KeptVolume struct {
	Node  string
	Name  string
	State string
	Claim state.Key // that it is of, as far as it is known
	InUse bool      // a pod here has it
}

// volumeFate is what becomes of a volume here.
func (c *Core) volumeFate(name string) (v KeptVolume) {
	v = KeptVolume{Node: c.cfg.Node, Name: name, State: VolumeUnused, InUse: c.inUse(name)}
	uid, ok := state.ClaimOfVolume(name)
	if !ok {
		return v
	}
	x := &c.index.claims
	key := x.of[uid]
	claim := x.byKey[key]
	v.Claim = key
	switch {
	case c.buried(&x.bearers, uid):
		v.State = VolumeGoes
	case claim != nil && claim.Node == c.cfg.Node && claim.Volume == name:
		v.State = VolumeBound
	}
	return v
}

// inUse reports whether a pod here has a volume, or is being made with it.
func (c *Core) inUse(name string) bool {
	for id := range c.runner.seen {
		if pod := c.runner.seen[id]; runtime.InUse(name, []runtime.Status{pod}) {
			return true
		}
	}
	for _, r := range c.runner.runs {
		if runtime.InUse(name, []runtime.Status{{Claims: r.claims}}) {
			return true
		}
	}
	return false
}

// sweepVolumes orders the removal of volumes whose claims were deleted.
func (c *Core) sweepVolumes() {
	k := &c.runner.kept
	if k.retryAt > c.now {
		return
	}
	for _, name := range k.names {
		if v := c.volumeFate(name); v.State == VolumeGoes && !v.InUse && !k.removing[name] {
			c.discard(v)
		}
	}
}

func (c *Core) discard(v KeptVolume) {
	c.runner.kept.removing[v.Name] = true
	c.out.Run = append(c.out.Run, Order{Kind: Discard, Volume: v.Name})
	c.fact(false, v.Claim, "VolumeDelete", "removing volume %s from %s", v.Name, c.cfg.Node)
}

// discarded takes the outcome of a removal.
func (c *Core) discarded(ev Ordered) {
	k, name := &c.runner.kept, ev.Order.Volume
	delete(k.removing, name)
	c.runner.dirty = true
	if ev.Err == nil {
		delete(k.failed, name)
		k.names = slices.DeleteFunc(k.names, func(n string) bool { return n == name })
		return
	}
	k.retryAt = c.now + orderRetryMax
	if !k.failed[name] {
		k.failed[name] = true
		c.fact(true, c.volumeFate(name).Claim, "VolumeFailedDelete", "%v", ev.Err)
	}
}

// removeVolume is of a user, for those that are unused: he alone knows that nobody will
// want them again.
func (c *Core) removeVolume(name string) error {
	if !slices.Contains(c.runner.kept.names, name) {
		return fmt.Errorf("%w: %s keeps no volume %s", ErrNotFound, c.cfg.Node, name)
	}
	switch v := c.volumeFate(name); {
	case v.State == VolumeBound:
		return fmt.Errorf("%w: it has the data of %s; delete the claim, or give its data up with holon volume abandon", ErrStays, v.Claim)
	case v.InUse:
		return fmt.Errorf("%w: a pod of %s has it", ErrStays, c.cfg.Node)
	case !c.runner.kept.removing[name]:
		c.discard(v)
	}
	return nil
}

// keptVolumes lists the volumes of this node, and those of others to which claims are
// bound.
func (c *Core) keptVolumes() []KeptVolume {
	list := make([]KeptVolume, 0, len(c.runner.kept.names))
	for _, name := range c.runner.kept.names {
		list = append(list, c.volumeFate(name))
	}
	for _, key := range sortedKeys(c.index.claims.byKey) {
		claim := c.index.claims.byKey[key]
		if claim.Node == "" || claim.Node == c.cfg.Node {
			continue
		}
		v := KeptVolume{Node: claim.Node, Name: claim.Volume, State: VolumeAway, Claim: key}
		if m := c.members.byName[claim.Node]; m == nil || m.Left {
			v.State = VolumeLost
		}
		list = append(list, v)
	}
	return list
}
