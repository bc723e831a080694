package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// WriteFiles makes a volume's directory hold files, each of which appears as a whole or
// stays as it is: who reads one while it changes sees the old or the new content. What
// else is there stays, so it may be repeated.
//
// They belong to a group, nil for none. Who may not give files away opens them to all
// instead: the way there is for the caller alone to give.
func WriteFiles(dir string, files []File, group *int64) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range files {
		if err := writeFile(root, f, group); err != nil {
			return fmt.Errorf("file %s: %w", f.Path, err)
		}
	}
	return nil
}

// ShareDir gives a directory that a pod writes to a group, and what is made in it.
func ShareDir(dir string, group *int64) error {
	if group == nil {
		return nil
	}
	if err := os.Chown(dir, -1, int(*group)); errors.Is(err, fs.ErrPermission) {
		return nil // it is open to all
	} else if err != nil {
		return err
	}
	return os.Chmod(dir, os.ModeSetgid|0o777)
}

// Perm are the permission bits of a file.
func (f *File) Perm() fs.FileMode {
	if f.Mode == 0 {
		return 0o644
	}
	return fs.FileMode(f.Mode).Perm()
}

// newFile is what a file is called until it is whole.
const newFile = "..new-"

func writeFile(root *os.Root, f File, group *int64) error {
	mode := f.Perm()
	if group != nil && os.Geteuid() != 0 {
		mode |= mode & 0o070 >> 3
	}
	if info, err := root.Lstat(f.Path); err == nil && info.Mode() == mode && info.Size() == int64(len(f.Data)) {
		if now, err := root.ReadFile(f.Path); err == nil && bytes.Equal(now, f.Data) {
			return nil
		}
	}
	dir, name := filepath.Split(f.Path)
	if err := root.MkdirAll(filepath.Clean(dir), 0o755); err != nil {
		return err
	}
	temp := filepath.Join(dir, newFile+name)
	if err := root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a crash
		return err
	}
	if err := root.WriteFile(temp, f.Data, 0o600); err != nil {
		return err
	}
	// Chmod, because the mode given to open is cut by the umask.
	if err := root.Chmod(temp, mode); err != nil {
		return err
	}
	if group != nil && os.Geteuid() == 0 {
		if err := root.Chown(temp, -1, int(*group)); err != nil {
			return err
		}
	}
	return root.Rename(temp, f.Path)
}

// UpdateFiles is WriteFiles for a volume that is in use: files that are not listed any
// more go. A directory is left, for somebody may be in it.
func UpdateFiles(dir string, files []File, group *int64) error {
	dir, err := filepath.EvalSymlinks(dir) // of a Secret it is a link into memory
	if err != nil {
		return err
	}
	if err := WriteFiles(dir, files, group); err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil && !slices.ContainsFunc(files, func(f File) bool { return filepath.Clean(f.Path) == name }) {
			err = os.Remove(path)
		}
		return err
	})
}
