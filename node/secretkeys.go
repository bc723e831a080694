package node

import (
	"errors"
	"fmt"
	"os"

	"holon/crdt/seal"
	"holon/crdt/state"
)

// SecretKeys opens the Secrets of a snapshot. The zero value opens none.
type SecretKeys struct{ ring *keyring }

// ErrLocked says that a Secret's data key is not at hand.
var ErrLocked = errors.New("it is sealed with a data key that is not at hand")

// ReadSecretKeys takes the data keys out of the identity.json of a node: any that
// was a member when the snapshot was taken, or later.
func ReadSecretKeys(file string) (SecretKeys, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return SecretKeys{}, err
	}
	id, err := decodeIdentity(text)
	if err != nil {
		return SecretKeys{}, fmt.Errorf("%s is no identity of a node: %w", file, err)
	}
	ring, err := newKeyring(id.DataKeys)
	return SecretKeys{ring}, err
}

// Open gives an object of a snapshot in the clear; all but a Secret is that
// already. It fails with ErrLocked.
func (k SecretKeys) Open(key state.Key, o state.Object) (map[string]any, error) {
	find := func(seal.ID) (seal.Key, bool) { return seal.Key{}, false }
	if k.ring != nil {
		find = k.ring.find
	}
	opened, err := state.OpenObject(key, o.UID, o.Value, find)
	if locked := (*seal.LockedError)(nil); errors.As(err, &locked) {
		return nil, fmt.Errorf("%s: %w", key, ErrLocked)
	}
	return opened, err
}
