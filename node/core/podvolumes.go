package core

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/runtime"
)

// podFile is a file of a volume, and where its content comes from if the shell adds it.
type podFile struct {
	runtime.File
	use *SealedUse
}

// volumeOf makes a volume of its files and says which of them are sealed. Of two files
// with one path the later one counts, as in Kubernetes.
func volumeOf(name string, secret bool, files []podFile) (runtime.Volume, []SealedUse) {
	out := runtime.Volume{Name: name, Files: []runtime.File{}, Secret: secret}
	var sealed []SealedUse
	for i, f := range files {
		if slices.ContainsFunc(files[i+1:], func(later podFile) bool { return later.Path == f.Path }) {
			continue
		}
		if f.use != nil {
			use := *f.use
			use.InFile, use.File = true, len(out.Files)
			sealed = append(sealed, use)
		}
		out.Files = append(out.Files, f.File)
	}
	return out, sealed
}

// mapped gives the keys of an object the paths and modes that a volume asks for: all of
// them under their own names if it names none.
func mapped(items []corev1.KeyToPath, keys []string, mode *int32, absent func(key string) error, content func(key string) podFile) ([]podFile, error) {
	if len(items) == 0 {
		for _, key := range keys {
			items = append(items, corev1.KeyToPath{Key: key, Path: key})
		}
	}
	var files []podFile
	for _, item := range items {
		if !slices.Contains(keys, item.Key) {
			if err := absent(item.Key); err != nil {
				return nil, err
			}
			continue
		}
		f := content(item.Key)
		f.Path, f.Mode = item.Path, fileMode(mode, item.Mode)
		files = append(files, f)
	}
	return files, nil
}

// fileMode is the mode of one file: its own, else that of its volume, else 0644.
func fileMode(volume, own *int32) uint32 {
	for _, mode := range []*int32{own, volume} {
		if mode != nil && *mode != 0 { // 0 means 0644 to a runtime
			return uint32(*mode)
		}
		if mode != nil {
			return 0o400
		}
	}
	return uint32(corev1.ConfigMapVolumeSourceDefaultMode)
}

func (c *Core) configMapFiles(namespace, volume string, source *corev1.ConfigMapProjection, mode *int32) ([]podFile, error) {
	cm, err := c.configMap(namespace, source.Name)
	if err != nil || cm == nil {
		return nil, missing(err, source.Optional, "volume %s: configmap %q not found", volume, source.Name)
	}
	data := map[string][]byte{}
	for key, text := range cm.Data {
		data[key] = []byte(text)
	}
	maps.Copy(data, cm.BinaryData)
	return mapped(source.Items, slices.Sorted(maps.Keys(data)), mode, func(key string) error {
		return missing(nil, source.Optional, "volume %s: configmap %q has no key %q", volume, source.Name, key)
	}, func(key string) podFile { return podFile{File: runtime.File{Data: data[key]}} })
}

func (c *Core) secretFiles(namespace, volume string, source *corev1.SecretProjection, mode *int32) ([]podFile, error) {
	uses, err := c.secretUses(namespace, source.Name, source.Optional)
	if err != nil {
		return nil, fmt.Errorf("volume %s: %w", volume, err)
	}
	var keys []string
	for _, use := range uses {
		keys = append(keys, use.name)
	}
	return mapped(source.Items, keys, mode, func(key string) error {
		return missing(nil, source.Optional, "volume %s: secret %q has no key %q", volume, source.Name, key)
	}, func(key string) podFile { return podFile{use: &uses[slices.Index(keys, key)].SealedUse} })
}

// downwardFiles are files with fields of the pod itself.
func (c *Core) downwardFiles(r *run, spec *runtime.Spec, items []corev1.DownwardAPIVolumeFile, mode *int32) ([]podFile, error) {
	var files []podFile
	for i := range items {
		item := &items[i]
		var value string
		var err error
		switch {
		case item.FieldRef != nil:
			value, err = c.fieldOf(r, spec, item.FieldRef.FieldPath)
		case item.ResourceFieldRef != nil:
			value, err = c.resourceOf(r, "", item.ResourceFieldRef)
		}
		if err != nil {
			return nil, fmt.Errorf("file %s: %w", item.Path, err)
		}
		files = append(files, podFile{File: runtime.File{Path: item.Path, Data: []byte(value), Mode: fileMode(mode, item.Mode)}})
	}
	return files, nil
}

// tokenFile is a file with a token of the pod's ServiceAccount. There is none without a time
// for its end, nor of an account that is not there; that each namespace is given is not stored.
func (c *Core) tokenFile(r *run, volume string, source *corev1.ServiceAccountTokenProjection, mode *int32) (podFile, error) {
	account := accountOf(r.template)
	if account != state.DefaultAccount && c.store.record(state.MakeKey(state.ServiceAccounts, r.workload.Namespace, account)).Live() == nil {
		return podFile{}, fmt.Errorf("volume %s: serviceaccount %q not found", volume, account)
	}
	if t, ok := c.ClusterTime(c.now); !ok || t.UnixMilli() < firstWall {
		return podFile{}, fmt.Errorf("volume %s: no token can be made as long as no node in reach knows what time it is", volume)
	}
	return podFile{
		File: runtime.File{Path: source.Path, Mode: fileMode(mode, nil)},
		use:  &SealedUse{Token: &AccountToken{Account: account, Audience: source.Audience, Life: tokenLife(source)}},
	}, nil
}

// projectedVolume puts the files of several sources into one directory. It is kept in
// memory as a whole if one of them is a Secret or a token.
func (c *Core) projectedVolume(r *run, spec *runtime.Spec, name string, from *corev1.ProjectedVolumeSource) (runtime.Volume, []SealedUse, error) {
	var files []podFile
	secret := false
	for i := range from.Sources {
		source := &from.Sources[i]
		var more []podFile
		var err error
		switch {
		case source.ConfigMap != nil:
			more, err = c.configMapFiles(spec.Namespace, name, source.ConfigMap, from.DefaultMode)
		case source.Secret != nil:
			secret = true
			more, err = c.secretFiles(spec.Namespace, name, source.Secret, from.DefaultMode)
		case source.DownwardAPI != nil:
			more, err = c.downwardFiles(r, spec, source.DownwardAPI.Items, from.DefaultMode)
		case source.ServiceAccountToken != nil:
			secret, more = true, make([]podFile, 1)
			more[0], err = c.tokenFile(r, name, source.ServiceAccountToken, from.DefaultMode)
		default:
			err = fmt.Errorf("volume %s: source %d is of a kind that is not served", name, i)
		}
		if err != nil {
			return runtime.Volume{}, nil, err
		}
		files = append(files, more...)
	}
	volume, sealed := volumeOf(name, secret, files)
	return volume, sealed, nil
}
