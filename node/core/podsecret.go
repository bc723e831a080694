package core

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
)

// secretUse is a sealed value by the name of its key.
type secretUse struct {
	name string
	SealedUse
}

// secretUses lists the values of a Secret in the order of their keys; none if it
// is optional and not there.
func (c *Core) secretUses(namespace, name string, optional *bool) ([]secretUse, error) {
	key := state.MakeKey(state.Secrets, namespace, name)
	live := c.store.record(key).Live()
	if live == nil {
		return nil, missing(nil, optional, "secret %q not found", name)
	}
	var uses []secretUse
	for _, path := range slices.Sorted(maps.Keys(live.Registers)) {
		value := live.Registers[path].Value
		if field, ok := strings.CutPrefix(path, state.SecretData); ok && value != nil {
			uses = append(uses, secretUse{field, SealedUse{Secret: key, UID: live.UID, Path: path, Value: value}})
		}
	}
	return uses, nil
}

// secretKey finds one value of a Secret; nil if it is optional and not there.
func (c *Core) secretKey(namespace string, ref *corev1.SecretKeySelector) (*SealedUse, error) {
	uses, err := c.secretUses(namespace, ref.Name, ref.Optional)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(uses, func(u secretUse) bool { return u.name == ref.Key }); i >= 0 {
		return &uses[i].SealedUse, nil
	}
	return nil, missing(nil, ref.Optional, "secret %q has no key %q", ref.Name, ref.Key)
}
