package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holon/crdt"
	"holon/crdt/seal"
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
	"holon/p2p"
	"holon/p2p/cert"
	"holon/runtime"
	"holon/scheduler"
)

// Pace of looking after data keys.
const (
	keysEvery     = time.Second
	keysBootGrace = 3 * time.Second // after boot: for records and members to arrive
	keysRankDelay = 400 * time.Millisecond
)

func cutPrefix(path, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(path, prefix)
	return rest, ok && rest != "" && !strings.Contains(rest, "/")
}

// sealMutation seals both sides of a write, with one key, so that what the
// client left alone is no difference. It happens here, on the node that took the
// write: core, disk and peers see sealed values only.
func (n *Node) sealMutation(op *core.Mutate) error {
	if op.Key.Resource() != state.Secrets || op.Delete {
		return nil
	}
	key, ok := n.keys.newest()
	if !ok {
		return fmt.Errorf("%w: it has no data key yet: a member hands it over within seconds once it is in reach; see `holon secrets keys`", api.ErrSealed)
	}
	uid := op.UID
	if op.Create {
		uid = op.NewUID
	}
	for _, side := range []*map[string][]byte{&op.Old, &op.New} {
		sealed, err := state.SealRegisters(key, op.Key, uid, *side)
		if err != nil {
			return err
		}
		*side = sealed
	}
	return nil
}

// Open implements api.Backend.
func (n *Node) Open(o api.Object) (api.Object, error) {
	key := state.MakeKey(o.Resource, o.Namespace, o.Name)
	value := o.Value()
	meta, _ := value["metadata"].(map[string]any)
	text, _ := meta["uid"].(string)
	uid, err := crdt.ParseUID(text)
	if err != nil { // a dry run: it was never stored, so never sealed
		return o, nil
	}
	value, err = state.OpenObject(key, uid, value, n.keys.find)
	if err != nil {
		return o, n.sealedError(key, err)
	}
	o.Source = api.Decoded(value)
	return o, nil
}

// sealedError says what to do about a value that does not open. What is stored
// stays as it is.
func (n *Node) sealedError(key state.Key, err error) error {
	resource, namespace, name := key.Split()
	next := "the value is damaged: delete the object and create it again"
	if locked := (*seal.LockedError)(nil); errors.As(err, &locked) {
		next = fmt.Sprintf("%s gets the key from any member that has it, once one is in reach (`holon secrets keys` there says who lacks it); "+
			"if all have lost it, restore identity.json of one from a copy. The object is kept as it is", n.cfg.Identity.Name)
	}
	return fmt.Errorf("%w: %s %s/%s, %w; %s", api.ErrSealed, resource, namespace, name, err, next)
}

// withSecrets is the pod of an order with its secrets opened and its tokens made, in a copy
// that lives as long as the call of the runtime: the order itself goes back to the
// core and stays sealed.
func (n *Node) withSecrets(o core.Order) (runtime.Spec, error) {
	spec := *o.Spec
	if len(o.Sealed) == 0 {
		return spec, nil
	}
	spec.Containers = slices.Clone(spec.Containers)
	for i := range spec.Containers {
		spec.Containers[i].Env = slices.Clone(spec.Containers[i].Env)
	}
	spec.Volumes = slices.Clone(spec.Volumes)
	for i := range spec.Volumes {
		spec.Volumes[i].Files = slices.Clone(spec.Volumes[i].Files)
	}
	for _, use := range o.Sealed {
		if use.ForPull {
			continue // opened if an image has to be pulled
		}
		if use.Token != nil {
			token, err := n.podToken(o, use.Token)
			if err != nil {
				return spec, err
			}
			spec.Volumes[use.Volume].Files[use.File].Data = token
			continue
		}
		plain, err := state.OpenRegister(use.Secret, use.UID, use.Path, use.Value, n.keys.find)
		if err != nil {
			return spec, secretError(o, runtime.Unavailable, n.sealedError(use.Secret, err))
		}
		if use.InFile {
			spec.Volumes[use.Volume].Files[use.File].Data = plain
			continue
		}
		env := &spec.Containers[use.Container].Env[use.Env]
		if slices.Contains(plain, 0) {
			return spec, secretError(o, runtime.BadSpec, fmt.Errorf(
				"the value for variable %s, %s of %s, holds a zero byte, which no environment can: use a file", env.Name, use.Path, use.Secret))
		}
		env.Value = string(plain)
	}
	return spec, nil
}

func secretError(o core.Order, kind runtime.Kind, err error) error {
	return &runtime.Error{Kind: kind, Op: o.Kind.String() + " " + string(o.Run), Err: err}
}

// followKeys takes what a durable batch says of data keys and members.
func (n *Node) followKeys(c core.Change) {
	if c.Key.Resource() == state.Members {
		n.keys.followMember(c)
		return
	}
	taken, err := n.keys.follow(c, n.cfg.Identity.Key, n.cfg.Identity.Peer())
	if err != nil {
		n.log.Warn("data key record is not understood", "key", c.Key, "error", err)
	}
	if taken {
		n.saveKeys()
		n.log.Info("got a data key", "key", c.Key)
	}
}

// saveKeys puts the keys beside the identity: a node that loses its database can
// read its secrets as soon as they come back. The record that brought a key is on
// disk already, so a failure here loses nothing.
func (n *Node) saveKeys() {
	if n.cfg.SaveDataKeys == nil {
		return
	}
	if err := n.cfg.SaveDataKeys(n.keys.bytes()); err != nil {
		n.log.Error("data keys were not saved beside the identity", "error", err)
	}
}

// watchKeys does what has to be done about data keys: the first live node in the
// rendezvous order at once, the one of rank k after k x 400 ms, if it is still
// undone then.
func (n *Node) watchKeys(ctx context.Context) {
	started := n.now()
	var due core.Instant // since when there is something to do
	var quiet resealer
	for {
		wait := keysEvery
		members, names := n.keyMembers()
		duty := n.keys.duty(members)
		rank := scheduler.Rank(state.DerivedUID("datakeys", n.cfg.Identity.Cluster), names, n.cfg.Identity.Name)
		switch {
		case duty.none() || rank < 0:
			due = 0
			n.reseal(ctx, &quiet)
		case due == 0:
			due, wait = n.now(), time.Millisecond
		case n.now() < max(due, started+keysBootGrace)+core.Instant(rank)*keysRankDelay && n.waitsForOthers(duty, rank):
			wait = keysRankDelay / 2
		default:
			n.doKeyDuty(ctx, duty, members)
			due = 0
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		case <-n.keys.changed:
		}
	}
}

// waitsForOthers: the only member that there is waits for nobody.
func (n *Node) waitsForOthers(d keyDuty, rank int) bool {
	return d.rotate != "" || rank > 0
}

// keyMembers are the members that may read secrets, and the names of those that
// can act now.
func (n *Node) keyMembers() (members []p2p.PeerID, alive []string) {
	for _, m := range n.view.Load().Members {
		// Records are heard of before the view that follows from them.
		if m.State == "left" || n.keys.hasLeft(m.Peer) {
			continue
		}
		members = append(members, m.Peer)
		if m.State == "alive" {
			alive = append(alive, m.Name)
		}
	}
	return members, alive
}

func (n *Node) doKeyDuty(ctx context.Context, d keyDuty, members []p2p.PeerID) {
	if d.rotate != "" {
		id, err := n.rotate(ctx, members)
		if err != nil {
			n.log.Warn("no new data key could be made", "because", d.rotate, "error", err)
			return
		}
		n.log.Info("made a data key", "key", id, "because", d.rotate)
		return
	}
	for id, peers := range d.wrap {
		key, ok := n.keys.find(id)
		if !ok {
			continue
		}
		if err := n.putDataKey(ctx, key, peers); err != nil {
			n.log.Warn("a data key could not be handed on", "key", id, "error", err)
		}
	}
}

// RotateDataKey implements api.Backend.
func (n *Node) RotateDataKey(ctx context.Context) (string, error) {
	members, _ := n.keyMembers()
	if len(members) == 0 {
		return "", fmt.Errorf("%w: this node does not know the cluster's members yet; try again in a moment", api.ErrUnreachable)
	}
	id, err := n.rotate(ctx, members)
	if err != nil {
		return "", apiError(err)
	}
	return id.String(), nil
}

// rotate makes a key. It is used as soon as its record is durable here, and the
// record brings it to every member, however late.
func (n *Node) rotate(ctx context.Context, members []p2p.PeerID) (seal.ID, error) {
	if known := len(n.keys.bytes()); known >= DataKeysMax {
		return seal.ID{}, fmt.Errorf("%w: the cluster has %d data keys, and keeps no more", api.ErrInvalid, known)
	}
	random, err := NewDataKey()
	if err != nil {
		return seal.ID{}, err
	}
	key, err := seal.MakeKey(random)
	if err != nil {
		return seal.ID{}, err
	}
	return key.ID(), n.putDataKey(ctx, key, members)
}

// putDataKey adds members to the record of a key.
func (n *Node) putDataKey(ctx context.Context, key seal.Key, peers []p2p.PeerID) error {
	registers, err := wrapFor(key, peers)
	if err != nil {
		return err
	}
	_, err = n.ask(ctx, core.Mutate{Key: dataKeyName(key.ID()), Upsert: true, NewUID: dataKeyUID(key.ID()), New: registers})
	return err
}

// wrapFor wraps a key for members. One whose identity is no key is left out.
func wrapFor(key seal.Key, peers []p2p.PeerID) (map[string][]byte, error) {
	registers := map[string][]byte{}
	for _, peer := range peers {
		public, err := cert.PublicKeyOf(peer)
		if err != nil {
			return nil, err
		}
		var once [32]byte
		if _, err := rand.Read(once[:]); err != nil {
			return nil, err
		}
		wrapped, err := seal.Wrap(key, public, once[:])
		if err != nil {
			return nil, err
		}
		registers[keyWrapped+string(peer)] = state.EncodeRegister(wrapped)
	}
	return registers, nil
}

// DataKeys implements api.Backend.
func (n *Node) DataKeys(context.Context) ([]api.DataKeyInfo, error) {
	uses := map[seal.ID]int{}
	secrets, _ := n.cfg.Cache.List(state.Secrets, "")
	for _, o := range secrets {
		for id := range keysIn(o) {
			uses[id]++
		}
	}
	names := map[p2p.PeerID]string{}
	for _, m := range n.view.Load().Members {
		if m.State != "left" {
			names[m.Peer] = m.Name
		}
	}
	newest, _ := n.keys.newest()
	return n.keys.describe(newest.ID(), uses, names), nil
}

func (k *keyring) describe(newest seal.ID, uses map[seal.ID]int, names map[p2p.PeerID]string) []api.DataKeyInfo {
	k.mu.Lock()
	defer k.mu.Unlock()
	var ids []seal.ID
	for id := range k.known {
		ids = append(ids, id)
	}
	for _, id := range k.order {
		if _, known := k.known[id]; !known {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b seal.ID) int {
		if c := k.known[a].born.Compare(k.known[b].born); c != 0 {
			return c
		}
		return slices.Compare(a[:], b[:])
	})
	infos := make([]api.DataKeyInfo, 0, len(ids))
	for _, id := range ids {
		_, here := k.held[id]
		info := api.DataKeyInfo{ID: id.String(), Here: here, Newest: here && id == newest, Sealed: uses[id]}
		for peer, name := range names {
			if _, done := k.known[id].wrapped[string(peer)]; !done {
				info.Lacking = append(info.Lacking, name)
			}
		}
		slices.Sort(info.Lacking)
		infos = append(infos, info)
	}
	return infos
}
