package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"holon/runtime"
)

// mountOrder shows one volume, or a part of it, to a program.
type mountOrder struct {
	Source   string // in the pod's volumes
	Target   string // under $HOLON_POD_DIR
	Host     string // where it is shown on the host's own path too; or empty
	ReadOnly bool
}

// canPrivateMounts tries whether this process may make mount namespaces.
func canPrivateMounts() error {
	done := make(chan error, 1)
	go func() {
		goruntime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "")
		}
		done <- err
	}()
	return <-done
}

// planMounts resolves the mounts of a container. The notes say which volumes
// are not where they were asked to be.
func planMounts(pod string, spec runtime.Spec, c runtime.Container, private bool) ([]mountOrder, []string, error) {
	volumes := map[string]string{} // where they are
	for _, v := range spec.Volumes {
		volumes[v.Name] = volumeDir(pod, v.Name)
		if v.HostPath != nil {
			volumes[v.Name] = v.HostPath.Path
		}
	}
	var out []mountOrder
	var notes []string
	for _, m := range c.Mounts {
		path := filepath.Clean("/" + m.Path)
		switch {
		case volumes[m.Volume] == "":
			return nil, nil, fmt.Errorf("container %s mounts volume %q, which the pod does not have", c.Name, m.Volume)
		case path == "/":
			return nil, nil, fmt.Errorf("container %s mounts volume %q on %q: not a place for a volume", c.Name, m.Volume, m.Path)
		case m.SubPath != "" && !filepath.IsLocal(m.SubPath):
			return nil, nil, fmt.Errorf("container %s: subPath %q leaves volume %q", c.Name, m.SubPath, m.Volume)
		}
		order := mountOrder{
			Source:   filepath.Join(volumes[m.Volume], m.SubPath),
			Target:   filepath.Join(workDir(pod, c.Name), path),
			ReadOnly: m.ReadOnly,
		}
		_, err := os.Stat(path)
		onHost := filepath.IsAbs(m.Path) && err == nil
		switch {
		case onHost && private:
			order.Host = path
		case onHost:
			notes = append(notes, fmt.Sprintf("volume %s is at $%s%s, not at %s: that needs CAP_SYS_ADMIN", m.Volume, podDirEnv, path, path))
		case filepath.IsAbs(m.Path):
			notes = append(notes, fmt.Sprintf("volume %s is at $%s%s: %s does not exist on this host", m.Volume, podDirEnv, path, path))
		}
		if m.ReadOnly && !private {
			notes = append(notes, fmt.Sprintf("volume %s is not read-only: that needs CAP_SYS_ADMIN", m.Volume))
		}
		out = append(out, order)
	}
	slices.SortStableFunc(out, func(a, b mountOrder) int { // outer mounts first
		return strings.Count(a.Target, "/") - strings.Count(b.Target, "/")
	})
	return out, notes, nil
}

// enterNamespace gives the calling thread its mounts. It must be locked.
func (o *startOrder) enterNamespace() error {
	if !o.Private || len(o.Mounts) == 0 {
		for _, m := range o.Mounts {
			if err := m.link(); err != nil {
				return m.failed(err)
			}
		}
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	// Slave: what the host mounts later appears here, never the other way.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	// Sources are opened before any mount can cover them.
	sources := make([]*os.File, len(o.Mounts))
	for i, m := range o.Mounts {
		f, err := m.open()
		if err != nil {
			return m.failed(err)
		}
		defer f.Close()
		sources[i] = f
	}
	for i, m := range o.Mounts {
		if err := m.bind(sources[i]); err != nil {
			return m.failed(err)
		}
	}
	return nil
}

func (m mountOrder) failed(err error) error {
	return &runtime.Error{Kind: runtime.BadSpec, Op: "mount", Err: fmt.Errorf("show %s at %s: %w", m.Source, m.Target, err)}
}

// open opens the source; a missing sub-path becomes a directory, as in
// Kubernetes.
func (m mountOrder) open() (*os.File, error) {
	if _, err := os.Stat(m.Source); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(m.Source, 0o755); err != nil {
			return nil, err
		}
	}
	fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), m.Source), nil
}

func (m mountOrder) bind(source *os.File) error {
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if err := makeMountPoint(m.Target, info.IsDir()); err != nil {
		return err
	}
	for _, target := range []string{m.Target, m.Host} {
		if target == "" {
			continue
		}
		from := fmt.Sprintf("/proc/self/fd/%d", source.Fd())
		if err := unix.Mount(from, target, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		if !m.ReadOnly {
			continue
		}
		if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return err
		}
	}
	return nil
}

func makeMountPoint(path string, isDir bool) error {
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink != 0 {
		os.Remove(path) // left by an attempt that could not mount
	}
	if isDir {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// link is what is possible without a mount namespace: a symbolic link.
func (m mountOrder) link() error {
	f, err := m.open()
	if err != nil {
		return err
	}
	f.Close()
	if err := os.MkdirAll(filepath.Dir(m.Target), 0o755); err != nil {
		return err
	}
	if to, err := os.Readlink(m.Target); err == nil && to == m.Source {
		return nil
	}
	if err := os.RemoveAll(m.Target); err != nil { // empty, or of an attempt before
		return err
	}
	return os.Symlink(m.Source, m.Target)
}
