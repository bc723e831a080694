package process

import (
	"errors"
	"fmt"
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

// writeVolumes fills the volume directories of a pod that is being made.
func writeVolumes(pod string, volumes []runtime.Volume) error {
	for _, v := range volumes {
		dir := volumeDir(pod, v.Name)
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
