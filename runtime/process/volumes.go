package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"holon/runtime"
)

// checkVolumes refuses names and paths that could leave the pod's directory.
func checkVolumes(volumes []runtime.Volume) error {
	seen := map[string]bool{}
	for _, v := range volumes {
		if !nameRE.MatchString(v.Name) || seen[v.Name] {
			return fmt.Errorf("volume name %q is not valid, or there twice", v.Name)
		}
		seen[v.Name] = true
		if v.Claim != "" {
			if err := runtime.CheckClaim(v.Claim); err != nil {
				return err
			}
		}
		for _, f := range v.Files {
			if !filepath.IsLocal(f.Path) || f.Path == "." {
				return fmt.Errorf("volume %s: file %q is not inside the volume", v.Name, f.Path)
			}
		}
	}
	return nil
}

// writeVolumes fills the volume directories of a pod that is being made. Those
// of Secrets are links into memory, where the host has a place for them.
func (r *Runtime) writeVolumes(pod string, id runtime.RunID, volumes []runtime.Volume, group *int64) error {
	for _, v := range volumes {
		dir := volumeDir(pod, v.Name)
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return err
		}
		if v.Claim != "" {
			if err := r.kept().Link(v.Claim, dir); err != nil {
				return fmt.Errorf("volume %s: %w", v.Name, err)
			}
			continue
		}
		if v.HostPath != nil {
			continue
		}
		if v.Memory {
			if err := runtime.MountMemory(dir, r.memory, string(id), v.Name, v.Limit); err != nil {
				return err
			}
		}
		if v.Secret && r.memory != "" {
			// What a crash left of an earlier try is written anew.
			if err := os.RemoveAll(filepath.Join(r.memory, string(id), v.Name)); err != nil {
				return err
			}
			if err := runtime.LinkToMemory(dir, r.memory, string(id), v.Name); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		err := runtime.WriteFiles(dir, v.Files, group)
		if v.Files == nil {
			err = runtime.ShareDir(dir, group)
		}
		if err != nil {
			return fmt.Errorf("volume %s: %w", v.Name, err)
		}
	}
	return nil
}

// refill writes the files of Secrets again that a reboot has taken from memory, and
// those of others that a power cut has taken from the disk.
func (r *Runtime) refill(p *pod, spec runtime.Spec) error {
	for _, v := range spec.Volumes {
		dir := volumeDir(p.dir(r), v.Name)
		if v.HostPath != nil {
			continue
		}
		if _, err := os.Stat(dir); v.Memory || v.Secret && errors.Is(err, fs.ErrNotExist) {
			if err := r.writeVolumes(p.dir(r), p.id, []runtime.Volume{v}, spec.FSGroup); err != nil {
				return err
			}
		} else if err := runtime.WriteFiles(dir, v.Files, spec.FSGroup); err != nil {
			return fmt.Errorf("volume %s: %w", v.Name, err)
		}
	}
	return nil
}

// UpdateFiles implements runtime.Runtime.
func (r *Runtime) UpdateFiles(ctx context.Context, spec runtime.Spec) error {
	op := "write the files of pod " + spec.Namespace + "/" + spec.Name
	if err := checkVolumes(spec.Volumes); err != nil {
		return &runtime.Error{Kind: runtime.BadSpec, Op: op, Err: err}
	}
	unlock, err := r.locks.lock(ctx, spec.ID)
	if err != nil {
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
	}
	defer unlock()
	p := r.lookup(spec.ID)
	if p == nil {
		return &runtime.Error{Kind: runtime.NotFound, Op: op, Err: fmt.Errorf("no pod %q on this node", spec.ID)}
	}
	err = r.refill(p, spec)
	for _, v := range spec.Volumes {
		if err == nil && v.Files != nil {
			err = runtime.UpdateFiles(volumeDir(p.dir(r), v.Name), v.Files, spec.FSGroup)
		}
	}
	return diskError(op, r.cfg.Dir, err)
}
