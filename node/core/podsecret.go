package core

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/runtime"
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

func (c *Core) secretVolume(namespace, name string, source *corev1.SecretVolumeSource) (runtime.Volume, []SealedUse, error) {
	out := runtime.Volume{Name: name, Files: []runtime.File{}, Secret: true}
	uses, err := c.secretUses(namespace, source.SecretName, source.Optional)
	if err != nil {
		return out, nil, err
	}
	items := source.Items
	if len(items) == 0 {
		for _, use := range uses {
			items = append(items, corev1.KeyToPath{Key: use.name, Path: use.name})
		}
	}
	var sealed []SealedUse
	for _, item := range items {
		i := slices.IndexFunc(uses, func(u secretUse) bool { return u.name == item.Key })
		if i < 0 {
			if err := missing(nil, source.Optional, "volume %s: secret %q has no key %q", name, source.SecretName, item.Key); err != nil {
				return out, nil, err
			}
			continue
		}
		file := runtime.File{Path: item.Path, Mode: uint32(corev1.SecretVolumeSourceDefaultMode)}
		for _, mode := range []*int32{source.DefaultMode, item.Mode} {
			if mode != nil {
				file.Mode = uint32(*mode)
			}
		}
		if file.Mode == 0 { // means 0644 to a runtime
			file.Mode = 0o400
		}
		use := uses[i].SealedUse
		use.InFile, use.File = true, len(out.Files)
		sealed = append(sealed, use)
		out.Files = append(out.Files, file)
	}
	return out, sealed, nil
}
