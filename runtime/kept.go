package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Kept is the directory below which a runtime has the volumes that outlive their pods, a
// directory each. Only its owner gets there; the volumes are open to any user that a
// container runs as.
type Kept string

// gonePrefix begins the name of a volume that is being removed.
const gonePrefix = ".gone-"

// CheckClaim refuses a name that is not a plain file name.
func CheckClaim(name string) error {
	if name == "" || strings.HasPrefix(name, ".") || !filepath.IsLocal(name) || filepath.Base(name) != name {
		return fmt.Errorf("volume %q is not called as a file can be", name)
	}
	return nil
}

// Link makes sure of a volume and lets link lead to it. What a volume holds, and the mode
// that its program gave it, stay. A new one is on disk when Link returns: it must not get
// lost with what is synced in it.
func (k Kept) Link(name, link string) error {
	if err := CheckClaim(name); err != nil {
		return err
	}
	dir := filepath.Join(string(k), name)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := k.make(dir); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if to, err := os.Readlink(link); err == nil && to == dir {
		return nil
	}
	return os.Symlink(dir, link)
}

func (k Kept) make(dir string) error {
	if err := os.MkdirAll(string(k), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return errors.Join(os.Chmod(dir, 0o777), sync(string(k)), sync(filepath.Dir(string(k)))) // chmod: umask
}

func sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// List names the volumes, those included whose removal a crash broke off.
func (k Kept) List() ([]string, error) {
	entries, err := os.ReadDir(string(k))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimPrefix(e.Name(), gonePrefix))
	}
	return names, err
}

// Remove removes a volume; at first it vanishes in one step. One that is not there is none.
func (k Kept) Remove(name string) error {
	if err := CheckClaim(name); err != nil {
		return err
	}
	gone := filepath.Join(string(k), gonePrefix+name)
	if err := os.Rename(filepath.Join(string(k), name), gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(gone)
}

// Size is how many bytes the files of a volume have on disk. What vanishes meanwhile does
// not count.
func (k Kept) Size(name string) (bytes int64, err error) {
	if err := CheckClaim(name); err != nil {
		return 0, err
	}
	return sizeOf(context.Background(), filepath.Join(string(k), name), fs.FileInfo.Size)
}

// InUse reports whether one of some pods has a volume.
func InUse(name string, pods []Status) bool {
	for i := range pods {
		for _, v := range pods[i].Claims {
			if v == name {
				return true
			}
		}
	}
	return false
}
