package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// MountMemory makes dir a directory in memory with room for limit bytes, half of the
// host's memory if that is 0. It may be repeated, also after a reboot. Where mounting is
// not allowed it is a link to memory that is there, without a limit; on disk if there is
// none.
func MountMemory(dir, memory, run, volume string, limit int64) error {
	if info, err := os.Lstat(dir); err == nil && info.Mode().Type() == fs.ModeSymlink {
		return LinkToMemory(dir, memory, run, volume)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if mounted, err := isMount(dir); err != nil || mounted {
		return err
	}
	options := "mode=0777"
	if limit > 0 {
		options += fmt.Sprintf(",size=%d", limit)
	}
	err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options)
	if errors.Is(err, unix.EPERM) {
		if memory == "" {
			return nil
		}
		if err = os.Remove(dir); err == nil {
			if err = LinkToMemory(dir, memory, run, volume); err == nil {
				err = os.Chmod(dir, 0o777)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("make room in memory for volume %s: %w", volume, err)
	}
	return nil
}

// UnmountIn unmounts what MountMemory has mounted in a directory.
func UnmountIn(parent string) error {
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		if mounted, merr := isMount(path); merr == nil && mounted {
			err = errors.Join(err, unix.Unmount(path, unix.MNT_DETACH))
		}
	}
	return err
}

// isMount reports whether a directory is on another file system than the one above it.
func isMount(path string) (bool, error) {
	own, err := os.Lstat(path)
	if err != nil {
		return false, err
	}
	above, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return false, err
	}
	a, aok := own.Sys().(*syscall.Stat_t)
	b, bok := above.Sys().(*syscall.Stat_t)
	return aok && bok && a.Dev != b.Dev, nil
}
