package runtime

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// MemoryDir is where a runtime with this state directory keeps the files of
// Secrets: a directory of its own on a tmpfs that is there anyway (/run for root,
// /dev/shm for others), so that no mount has to be made or left behind. It is not
// made yet. Empty: the host has none, and the files lie on disk.
func MemoryDir(state string) string {
	roots := []string{"/dev/shm"}
	if os.Geteuid() == 0 {
		roots = []string{"/run", "/dev/shm"}
	}
	sum := sha256.Sum256([]byte(filepath.Clean(state)))
	for _, root := range roots {
		var fs unix.Statfs_t
		if unix.Statfs(root, &fs) == nil && fs.Type == unix.TMPFS_MAGIC && unix.Access(root, unix.W_OK) == nil {
			return filepath.Join(root, fmt.Sprintf("holon-%x", sum[:8]))
		}
	}
	return ""
}

const linkTries = 10

// LinkToMemory makes link a symbolic link to a directory for it below memory,
// which anybody may read who gets there; the way there is the caller's alone. It
// may be repeated: after a reboot the directory is new and empty.
func LinkToMemory(link, memory, run, volume string) error {
	target := filepath.Join(memory, run, volume)
	for try := 0; ; try++ {
		err := errors.Join(ownDir(memory), ownDir(filepath.Dir(target)))
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || try == linkTries { // the last pod of the node may just have gone
			return err
		}
	}
	if err := os.Mkdir(target, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Chmod(target, 0o755); err != nil { // umask
		return err
	}
	if to, err := os.Readlink(link); err == nil && to == target {
		return nil
	}
	if err := os.Symlink(target, link); err != nil {
		return fmt.Errorf("keep a Secret's files in memory: %w", err)
	}
	return nil
}

// ownDir makes a directory that only its owner may enter. One that somebody else
// has put there is not used: /dev/shm is open to all.
func ownDir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !ok || int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not a directory of this user alone (mode 0700): see who made it, and remove it", path)
	}
	return nil
}

// ForgetMemory removes what a run kept in memory; all runs if run is empty.
func ForgetMemory(memory, run string) error {
	if memory == "" {
		return nil
	}
	err := os.RemoveAll(filepath.Join(memory, run))
	_ = os.Remove(memory) // succeeds with the last run
	return err
}

// WithoutSecrets is a container without the values of Secrets, for what outlives
// its start: files of a runtime, and its memory.
func (c Container) WithoutSecrets() Container {
	env := make([]Env, len(c.Env))
	for i, e := range c.Env {
		if e.Secret {
			e.Value = ""
		}
		env[i] = e
	}
	c.Env = env
	return c
}
