package process

import (
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
func (r *Runtime) writeVolumes(pod string, id runtime.RunID, volumes []runtime.Volume) error {
	for _, v := range volumes {
		dir := volumeDir(pod, v.Name)
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return err
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
		for _, f := range v.Files {
			if err := writeVolumeFile(filepath.Join(dir, f.Path), f); err != nil {
				return err
			}
		}
	}
	return nil
}

// refill writes the files of Secrets again that a reboot has taken from memory.
func (r *Runtime) refill(p *pod, volumes []runtime.Volume) error {
	var lost []runtime.Volume
	for _, v := range volumes {
		if _, err := os.Stat(volumeDir(p.dir(r), v.Name)); v.Secret && errors.Is(err, fs.ErrNotExist) {
			lost = append(lost, v)
		}
	}
	return r.writeVolumes(p.dir(r), p.id, lost)
}

func writeVolumeFile(path string, f runtime.File) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	mode := os.FileMode(f.Mode).Perm()
	if f.Mode == 0 {
		mode = 0o644
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(f.Data)
	// Chmod, because the mode given to open is cut by the umask.
	return errors.Join(err, out.Chmod(mode), out.Sync(), out.Close())
}
