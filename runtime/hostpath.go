package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// HostPath is a path of the host that a pod sees. Type is what Kubernetes calls it:
// empty, DirectoryOrCreate, Directory, FileOrCreate, File, Socket, CharDevice, BlockDevice.
type HostPath struct {
	Path, Type string
}

// Check looks whether the path is what it is to be, and makes what may be made. It fails
// with BadMount.
func (h *HostPath) Check() error {
	if err := h.check(); err != nil {
		return &Error{
			Kind: BadMount, Op: "show hostPath " + h.Path, Err: err,
			Next: "make it on this node, keep the pod to nodes that have it, or set the type DirectoryOrCreate or FileOrCreate",
		}
	}
	return nil
}

func (h *HostPath) check() error {
	info, err := os.Stat(h.Path)
	if errors.Is(err, fs.ErrNotExist) {
		switch h.Type {
		case "", "DirectoryOrCreate":
			return os.MkdirAll(h.Path, 0o755)
		case "FileOrCreate": // in a directory that is there, as in Kubernetes
			f, err := os.OpenFile(h.Path, os.O_CREATE|os.O_WRONLY, 0o644)
			if err == nil {
				err = f.Close()
			}
			return err
		}
		return errors.New("it is not there")
	}
	if err != nil {
		return err
	}
	is := info.Mode().Type()
	ok := true
	switch h.Type {
	case "Directory", "DirectoryOrCreate":
		ok = is == fs.ModeDir
	case "File", "FileOrCreate":
		ok = is == 0
	case "Socket":
		ok = is == fs.ModeSocket
	case "CharDevice":
		ok = is == fs.ModeDevice|fs.ModeCharDevice
	case "BlockDevice":
		ok = is == fs.ModeDevice
	}
	if !ok {
		return fmt.Errorf("it is no %s (%s)", h.Type, info.Mode())
	}
	return nil
}

// CheckHostPaths checks those of a pod.
func (s *Spec) CheckHostPaths() error {
	for i := range s.Volumes {
		if h := s.Volumes[i].HostPath; h != nil {
			if err := h.Check(); err != nil {
				return err
			}
		}
	}
	return nil
}
