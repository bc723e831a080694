package podman

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"holon/runtime"
)

func (c Config) runDir(run runtime.RunID) string { return filepath.Join(c.Dir, string(run)) }

// kept is where the volumes lie that outlive their pods, beside the runs: no RunID has
// such a name.
func (c Config) kept() runtime.Kept { return runtime.Kept(filepath.Join(c.Dir, "kept-volumes")) }

// memory is where files of Secrets lie; empty: on disk with the others.
func (c Config) memory() string { return runtime.MemoryDir(c.Dir) }

// removeVolumes removes all that a run has here.
func (c Config) removeVolumes(run runtime.RunID) error {
	return errors.Join(runtime.UnmountIn(c.runDir(run)), runtime.ForgetMemory(c.memory(), string(run)), os.RemoveAll(c.runDir(run)))
}

func (c Config) volumeDir(run runtime.RunID, volume string) string {
	return filepath.Join(c.runDir(run), volume)
}

// messageFile is where the program of an attempt may say why it ends; no volume has such
// a name.
func (c Config) messageFile(run runtime.RunID, container string, attempt int) string {
	return filepath.Join(c.runDir(run), ".messages", fmt.Sprintf("%s.%d", container, attempt))
}

func (c Config) newMessage(run runtime.RunID, container string, attempt int) error {
	path := c.messageFile(run, container, attempt)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return runtime.NewMessage(path)
}

// readMessage returns what the program of an attempt has said; empty if nothing, or if it
// was nowhere to be said.
func (c Config) readMessage(run runtime.RunID, container string, attempt int) (string, error) {
	f, err := os.Open(c.messageFile(run, container, attempt))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	return runtime.ReadMessage(f)
}

// checkVolumes finds what can never be mounted, before anything is made.
func checkVolumes(spec runtime.Spec) error {
	names := make(map[string]bool, len(spec.Volumes))
	for _, v := range spec.Volumes {
		if !filepath.IsLocal(v.Name) || filepath.Base(v.Name) != v.Name {
			return fmt.Errorf("volume name %q is not a file name", v.Name)
		}
		names[v.Name] = true
		if v.Claim != "" {
			if err := runtime.CheckClaim(v.Claim); err != nil {
				return err
			}
		}
		for _, f := range v.Files {
			if !filepath.IsLocal(f.Path) || filepath.Clean(f.Path) == "." {
				return fmt.Errorf("file %q of volume %q leaves its volume", f.Path, v.Name)
			}
		}
	}
	for _, c := range spec.Containers {
		for _, m := range c.Mounts {
			switch {
			case !names[m.Volume]:
				return fmt.Errorf("container %q mounts volume %q, which the pod does not have", c.Name, m.Volume)
			case !filepath.IsAbs(m.Path):
				return fmt.Errorf("mount path %q of container %q is not absolute", m.Path, c.Name)
			case m.SubPath != "" && !filepath.IsLocal(m.SubPath):
				return fmt.Errorf("subPath %q of container %q leaves its volume", m.SubPath, c.Name)
			}
		}
	}
	return nil
}

// writeVolumes makes the directories of a pod's volumes and their files. What
// a directory holds already stays, so it may be repeated.
func (c Config) writeVolumes(spec runtime.Spec) error {
	if len(spec.Volumes) == 0 {
		return nil
	}
	if err := spec.CheckHostPaths(); err != nil {
		return err
	}
	// Only root may enter: the volumes themselves are open to any user that a
	// container runs as.
	if err := os.MkdirAll(c.runDir(spec.ID), 0o700); err != nil {
		return err
	}
	for _, v := range spec.Volumes {
		if v.Claim != "" {
			if err := c.kept().Link(v.Claim, c.volumeDir(spec.ID, v.Name)); err != nil {
				return fmt.Errorf("volume %q: %w", v.Name, err)
			}
			continue
		}
		if v.HostPath != nil {
			continue
		}
		if v.Memory {
			if err := runtime.MountMemory(c.volumeDir(spec.ID, v.Name), c.memory(), string(spec.ID), v.Name, v.Limit); err != nil {
				return err
			}
		}
		if v.Secret && c.memory() != "" {
			if err := runtime.LinkToMemory(c.volumeDir(spec.ID, v.Name), c.memory(), string(spec.ID), v.Name); err != nil {
				return fmt.Errorf("volume %q: %w", v.Name, err)
			}
		}
		if err := writeVolume(c.volumeDir(spec.ID, v.Name), v.Files, spec.FSGroup); err != nil {
			return fmt.Errorf("volume %q: %w", v.Name, err)
		}
	}
	return nil
}

func writeVolume(dir string, files []runtime.File, group *int64) error {
	mode := fs.FileMode(0o777)
	if files != nil {
		mode = 0o755
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	if err := os.Chmod(dir, mode); err != nil { // umask
		return err
	}
	if files == nil {
		return runtime.ShareDir(dir, group)
	}
	return runtime.WriteFiles(dir, files, group)
}

// sourceOf is where a volume is on the host.
func (c Config) sourceOf(spec *runtime.Spec, volume string) string {
	for _, v := range spec.Volumes {
		if v.Name == volume && v.HostPath != nil {
			return v.HostPath.Path
		}
	}
	return c.volumeDir(spec.ID, volume)
}

// mountSource returns the path on the host of what m shows. A subPath that is
// not there becomes a directory. A container can write links into a volume, so
// a subPath that goes through one is refused: it could lead out of the pod.
func (c Config) mountSource(spec *runtime.Spec, m runtime.Mount) (string, error) {
	dir, err := filepath.EvalSymlinks(c.sourceOf(spec, m.Volume)) // of a Secret it is a link into memory
	if err != nil || m.SubPath == "" {
		return dir, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	if _, err := root.Lstat(m.SubPath); errors.Is(err, fs.ErrNotExist) {
		err = root.MkdirAll(m.SubPath, 0o777)
		if err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, m.SubPath)
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	base, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	if real != filepath.Join(base, m.SubPath) {
		return "", fmt.Errorf("subPath %q of volume %q goes through a symbolic link", m.SubPath, m.Volume)
	}
	return path, nil
}
