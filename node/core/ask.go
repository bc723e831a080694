package core

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
)

// Op is a request of a user, or of the shell on a user's behalf. Its Ack is
// given once what it wrote is durable here.
type Op interface{ op() }

// The operations.
type (
	// Mutate writes one API object. Old and New are its registers as the client
	// saw them and as they shall be; only what differs is written.
	Mutate struct {
		Key     state.Key
		UID     crdt.UID // of the object that is meant; zero with Create
		Create  bool
		Delete  bool
		Cascade state.Cascade // of Delete
		NewUID  crdt.UID      // of a created object
		Token   uint64        // not 0: only if the record is still this one
		Old     map[string][]byte
		New     map[string][]byte
		Upsert  bool // write whether the object is there or not
	}
	// Settle answers the conflict at Path of an object: Loser is the index of the
	// loser whose value is to be taken, or KeepWinner.
	Settle struct {
		Key   state.Key
		Path  string
		Loser int
	}
	// Compact frees the registers of removed fields of an object, by a new object
	// under NewUID that takes its place.
	Compact struct {
		Key      state.Key
		Recreate bool // it may have another UID
		NewUID   crdt.UID
	}
	// DeletePod gives the slot behind a derived pod a new run.
	DeletePod struct{ Slot state.SlotID }
	// Evict has the slot of a pod on a node run elsewhere, if its budget lets it.
	Evict struct {
		Slot   state.SlotID
		Node   string
		DryRun bool
	}
	// Rebalance moves at most Max homes from nodes that are crowded to those that are
	// not, or says which it would; the Ack has them.
	Rebalance struct {
		Max    int
		DryRun bool
	}
	// WhatIf asks what would become of slots without these nodes; the Ack has it.
	WhatIf struct{ Lose []string }
	// Admit makes a peer a member and uses a token up by one.
	Admit struct {
		Token      string
		SecretHash [32]byte
		Peer       p2p.PeerID
		Name       string
		Chain      []byte
		Addrs      []string
	}
	// PutToken stores a join token.
	PutToken struct{ Token Token }
	// RevokeToken ends a join token for good.
	RevokeToken struct {
		ID      string
		Expired bool // not by a user: its time is over
	}
	// Drain asks that the slots of this node move away (or stay: On false).
	Drain struct{ On bool }
	// StopAll stops every pod of this node, whatever becomes of its slots.
	StopAll struct{}
	// Leave ends this node's membership for good.
	Leave struct{}
	// EvictMember ends the membership of another node for good: a name, or a peer ID where
	// several bear one. Gone: it must be out of reach. Force, too, is for one that is gone
	// for good: it counts no more at once, whether a majority agrees or not.
	EvictMember struct {
		Member      string
		Gone, Force bool
	}
	// AbandonVolume gives the data of a claim up; see Core.abandon.
	AbandonVolume struct {
		Claim state.Key
		Force bool
	}
	// ListVolumes lists what this node keeps beyond pods, RemoveVolume removes some of it
	// that is unused.
	ListVolumes  struct{}
	RemoveVolume struct{ Name string }
	// ConfirmSync agrees that a sync drops what peers have deleted, though it is much.
	ConfirmSync struct{}
	// Restarting says goodbye for a short while: others hold stand-ins back.
	Restarting struct{ For time.Duration }
)

func (Mutate) op()        {}
func (Settle) op()        {}
func (Compact) op()       {}
func (DeletePod) op()     {}
func (Evict) op()         {}
func (Rebalance) op()     {}
func (WhatIf) op()        {}
func (Admit) op()         {}
func (PutToken) op()      {}
func (RevokeToken) op()   {}
func (Drain) op()         {}
func (StopAll) op()       {}
func (Leave) op()         {}
func (EvictMember) op()   {}
func (Restarting) op()    {}
func (AbandonVolume) op() {}
func (ListVolumes) op()   {}

func (RemoveVolume) op() {}
func (ConfirmSync) op()  {}
func (FirstMember) op()  {}

// KeepWinner is a Settle.Loser that stands for the winner.
const KeepWinner = -1

// Why a request fails. Nothing was written.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("already exists")
	ErrConflict = errors.New("the object has been changed since it was read")
	ErrInvalid  = errors.New("invalid")
)

func (c *Core) asked(id uint64, op Op) {
	ack := Ack{ID: id}
	switch op := op.(type) {
	case Mutate:
		ack.Key = op.Key
		ack.UID, ack.Err = c.mutate(op)
	case Settle:
		ack.Key, ack.Err = op.Key, c.settleConflict(op)
	case Compact:
		ack.Key = op.Key
		ack.UID, ack.Err = c.compact(op)
	case DeletePod:
		ack.Err = c.deletePod(op)
	case Evict:
		ack.Err = c.evict(op)
	case Rebalance:
		ack.Moves, ack.Err = c.rebalance(op)
	case WhatIf:
		ack.Fates, ack.Err = c.whatIf(op.Lose)
	case Admit:
		ack.Err = c.admitMember(op)
	case FirstMember:
		ack.Err = c.firstMember(op)
	case Copy:
		ack.Copied = c.copyStore()
	case Import:
		ack.Err = c.createAll(op.Objects)
	case PutToken:
		ack.Err = c.putToken(op.Token)
	case RevokeToken:
		ack.Err = c.revokeToken(op)
	case Drain:
		c.runner.draining, c.runner.dirty, c.runner.unsureAll = op.On, true, true
		c.status.dirty, c.index.dirtyAll = true, true
	case StopAll:
		c.runner.stopping, c.runner.draining = true, true
		c.runner.dirty, c.runner.unsureAll, c.status.dirty = true, true, true
	case Leave:
		ack.Err = c.leave()
	case EvictMember:
		ack.Err = c.evictMember(op)
	case AbandonVolume:
		ack.Key, ack.Err = op.Claim, c.abandon(op)
	case ListVolumes:
		ack.Volumes = c.keptVolumes()
	case RemoveVolume:
		ack.Err = c.removeVolume(op.Name)
	case ConfirmSync:
		ack.Err = c.confirmSync()
	case Restarting:
		c.swimOutput(c.members.swim.Restarting(c.now, op.For))
	default:
		ack.Err = fmt.Errorf("core: unknown request %T", op)
	}
	c.out.Acks = append(c.out.Acks, ack)
}

func (c *Core) mutate(op Mutate) (crdt.UID, error) {
	if err := op.Key.Validate(); err != nil {
		return crdt.UID{}, err
	}
	if err := checkSealed(op); err != nil {
		return crdt.UID{}, err
	}
	rec := c.store.record(op.Key)
	live := rec.Live()
	if op.Token != 0 && c.store.entries[op.Key] != nil && c.store.entries[op.Key].token != op.Token {
		return crdt.UID{}, ErrConflict
	}
	switch {
	case op.Upsert && live == nil:
		return op.NewUID, c.set(op.Key, op.NewUID, state.Changes(nil, op.Old, op.New))
	case op.Upsert:
		return live.UID, c.update(op, live)
	case op.Create && live != nil:
		return crdt.UID{}, ErrExists
	case op.Create:
		return op.NewUID, c.create(op)
	case live == nil || live.UID != op.UID:
		return crdt.UID{}, ErrNotFound
	case op.Delete:
		return live.UID, c.end(op.Key, op.Cascade)
	}
	return live.UID, cmp.Or(c.update(op, live), c.release(op.Key))
}

// checkSealed refuses a write that would put a Secret's value into a record in
// the clear: whoever asks has to seal it first.
func checkSealed(op Mutate) error {
	for path, value := range op.New {
		if value == nil || !state.SealedPath(op.Key.Resource(), path) {
			continue
		}
		if _, err := state.SealedWith(value); err != nil {
			return fmt.Errorf("core: %s %s: %w; nothing was stored", op.Key, path, err)
		}
	}
	return nil
}

func (c *Core) create(op Mutate) error {
	values := state.Changes(nil, nil, op.New)
	if hasSpec(op.Key) {
		values[state.GenerationPath(c.Replica())] = state.NextGeneration(nil, c.Replica())
	}
	if j := c.cronOf(op); j != nil {
		values[state.JobOwner] = state.EncodeRegister(j.Owner())
	}
	return c.set(op.Key, op.NewUID, values)
}

// update writes the registers that the client changed. A value that is there
// already is not written again.
func (c *Core) update(op Mutate, live *crdt.Object) error {
	delta := state.Changes(live.Registers, op.Old, op.New)
	if len(delta) == 0 {
		return nil
	}
	if err := keepsMark(live, delta); err != nil {
		return err
	}
	c.countSpec(op.Key, live, delta)
	if live.Registers[state.ValidPath].Value != nil {
		if _, after, err := state.Preview(live, delta); err == nil {
			c.dropValid(op.Key, live, after, delta)
		}
	}
	return c.tooLarge(op.Key, live, c.set(op.Key, live.UID, delta))
}

// countSpec adds to what is to be written that it makes a new generation.
func (c *Core) countSpec(key state.Key, live *crdt.Object, delta map[string][]byte) {
	if !hasSpec(key) {
		return
	}
	for path := range delta {
		if path == "/spec" || strings.HasPrefix(path, "/spec/") {
			delta[state.GenerationPath(c.Replica())] = state.NextGeneration(live, c.Replica())
			return
		}
	}
}

func hasSpec(key state.Key) bool {
	return state.Plans(key.Resource()) || slices.Contains([]string{state.Nodes, state.Budgets}, key.Resource())
}

func (c *Core) deletePod(op DeletePod) error {
	s, ok := c.index.slots[op.Slot.Workload][op.Slot.Index]
	if !ok {
		return ErrNotFound
	}
	return c.renew(c.index.workloads[op.Slot.Workload], &s)
}
