package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"sync"

	"holon/crdt"
	"holon/crdt/seal"
	"holon/crdt/state"
	"holon/node/core"
	"holon/p2p"
)

// DataKeysMax bounds the data keys of a cluster. None is ever dropped: a
// snapshot may hold values under the oldest one.
const DataKeysMax = 512

// keyring holds the data keys of this node, and what the cluster's records say
// of data keys. A record of a key holds it wrapped for each member (registers
// /wrapped/PEER); which key is the newest follows from the births of the
// records, so both sides of a split that made keys agree after it.
type keyring struct {
	mu      sync.Mutex
	held    map[seal.ID]seal.Key
	order   []seal.ID // of held, as they came
	known   map[seal.ID]knownKey
	left    map[p2p.PeerID]bool // peers that have left for good
	changed chan struct{}
}

// knownKey is what a record says of a data key.
type knownKey struct {
	born    crdt.Stamp
	uid     crdt.UID
	wrapped map[string][]byte // by peer ID
}

const keyWrapped = "/wrapped/"

func dataKeyName(id seal.ID) state.Key { return state.MakeKey(state.DataKeys, "", id.String()) }
func dataKeyUID(id seal.ID) crdt.UID   { return state.DerivedUID("datakey", id.String()) }

func newKeyring(stored [][]byte) (*keyring, error) {
	k := &keyring{
		held: map[seal.ID]seal.Key{}, known: map[seal.ID]knownKey{}, left: map[p2p.PeerID]bool{}, changed: make(chan struct{}, 1),
	}
	for _, bytes := range stored {
		key, err := seal.MakeKey(bytes)
		if err != nil {
			return k, fmt.Errorf("%s: %w; restore it from a copy, or move the data directory away and join again", identityFile, err)
		}
		k.hold(key)
	}
	return k, nil
}

// NewDataKey makes a data key for Identity.DataKeys.
func NewDataKey() ([]byte, error) {
	key := make([]byte, seal.KeySize)
	_, err := rand.Read(key)
	return key, err
}

// hold keeps a key; false if it was there.
func (k *keyring) hold(key seal.Key) bool {
	id := key.ID()
	if _, there := k.held[id]; there {
		return false
	}
	k.held[id] = key
	k.order = append(k.order, id)
	return true
}

func (k *keyring) find(id seal.ID) (seal.Key, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.held[id]
	return key, ok
}

// newest is the key for what is written now: of those at hand the last born. A
// key whose record has not arrived is older than those whose record has.
func (k *keyring) newest() (seal.Key, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if id, ok := k.last(func(id seal.ID) bool { _, held := k.held[id]; return held }); ok {
		return k.held[id], true
	}
	if len(k.order) == 0 {
		return seal.Key{}, false
	}
	return k.held[k.order[len(k.order)-1]], true
}

// last is the last born of the known keys that are wanted.
func (k *keyring) last(want func(seal.ID) bool) (newest seal.ID, ok bool) {
	for id, key := range k.known {
		if !want(id) {
			continue
		}
		if c := key.born.Compare(k.known[newest].born); !ok || c > 0 || c == 0 && slices.Compare(id[:], newest[:]) > 0 {
			newest, ok = id, true
		}
	}
	return newest, ok
}

// bytes are all keys at hand, oldest first, for identity.json and for newcomers.
func (k *keyring) bytes() [][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([][]byte, 0, len(k.order))
	for _, id := range k.order {
		key := k.held[id]
		out = append(out, key[:])
	}
	return out
}

// follow takes a changed record of a data key, and the key itself if it is
// wrapped for us and new here.
func (k *keyring) follow(c core.Change, own ed25519.PrivateKey, self p2p.PeerID) (taken bool, err error) {
	_, _, name := c.Key.Split()
	id, err := seal.ParseID(name)
	if err != nil {
		return false, err
	}
	live := c.Record.Live()
	if live == nil {
		return false, nil // a key is never taken back; what is at hand stays
	}
	known := knownKey{born: live.Birth.Stamp, uid: live.UID, wrapped: map[string][]byte{}}
	into := map[string]any{}
	boxes := map[string]*[]byte{}
	for path, g := range live.Registers {
		if peer, ok := cutPrefix(path, keyWrapped); ok && g.Value != nil {
			boxes[peer] = new([]byte)
			into[path] = boxes[peer]
		}
	}
	if err := state.DecodeRegisters(c.Key, live, into); err != nil {
		return false, err
	}
	for peer, box := range boxes {
		known.wrapped[peer] = *box
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known[id] = known
	k.poke()
	mine, wrapped := known.wrapped[string(self)]
	if _, held := k.held[id]; held || !wrapped {
		return false, nil
	}
	key, err := seal.Unwrap(mine, id, own)
	if err != nil {
		return false, err
	}
	return k.hold(key), nil
}

// followMember remembers who has left.
func (k *keyring) followMember(c core.Change) {
	m, ok, err := state.DecodeMember(c.Key, c.Record)
	if err != nil || !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left[p2p.PeerID(m.Peer)] = m.Left
	k.poke()
}

func (k *keyring) hasLeft(peer p2p.PeerID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.left[peer]
}

func (k *keyring) poke() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// keyDuty is what has to be done about data keys, by whoever can.
type keyDuty struct {
	// rotate says why a new key is due; empty: it is not.
	rotate string
	// wrap lists the members that a key at hand is not wrapped for yet.
	wrap map[seal.ID][]p2p.PeerID
}

func (d keyDuty) none() bool { return d.rotate == "" && len(d.wrap) == 0 }

// duty follows from what is known alone, so that every node comes to the same
// and doing it twice does no harm. Members are those that may read secrets.
func (k *keyring) duty(members []p2p.PeerID) keyDuty {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := keyDuty{wrap: map[seal.ID][]p2p.PeerID{}}
	newest, any := k.last(func(seal.ID) bool { return true })
	switch {
	case any:
		for _, peer := range slices.Sorted(maps.Keys(k.known[newest].wrapped)) {
			if k.left[p2p.PeerID(peer)] && len(k.known) < DataKeysMax {
				d.rotate = "a member that has left knows data key " + newest.String()
				break
			}
		}
	case len(k.held) == 0:
		d.rotate = "there is no data key yet"
	}
	for id := range k.held {
		for _, peer := range members {
			if _, done := k.known[id].wrapped[string(peer)]; !done {
				d.wrap[id] = append(d.wrap[id], peer)
			}
		}
	}
	return d
}
