package badger

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"holon/crdt"
)

// inMountNamespace runs the rest of the test in a process whose mounts are its
// own and end with it, as root or, in a user namespace, as anybody. It returns
// true in that process.
func inMountNamespace(t *testing.T) bool {
	t.Helper()
	const env = "HOLON_STORE_MOUNTS"
	if os.Getenv(env) != "" {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), env+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v; this test mounts a tmpfs: it needs root, or user namespaces\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestDiskTooSmall(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	dir := filepath.Join(tmpfs(t, "4m"), "data")
	_, err := Open(dir, Options{})
	var full *DiskFullError
	if !errors.Is(err, ErrDiskFull) || !errors.As(err, &full) || full.Free > 4<<20 || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
	fill(t, filepath.Dir(dir))
	if _, err := Open(filepath.Join(dir, "deeper"), Options{}); !errors.Is(err, ErrDiskFull) {
		t.Errorf("on a disk without a byte left: %v", err)
	}
}

// The disk fills up, first by the store's own writes and then by somebody
// else's to the last byte: every batch is refused, none is lost, nobody dies,
// and when there is room again the store goes on.
func TestDiskFull(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	mount := tmpfs(t, "112m")
	dir := filepath.Join(mount, "data")
	s := open(t, dir)
	want := map[string]string{}
	var full *DiskFullError
	for n := 0; full == nil; n++ {
		batch := batchOf(n)
		batch[len(batch)-1].Key = fmt.Sprint("own/", n)
		switch err := s.Commit(batch); {
		case err == nil:
			for _, kv := range batch {
				want[kv.Key] = string(kv.Value)
			}
		case !errors.As(err, &full):
			t.Fatalf("batch %d: %v", n, err)
		}
		if n > 100_000 {
			t.Fatal("the disk never fills up")
		}
	}
	t.Logf("%d pairs fitted, then: %v", len(want), full)
	// The reserve is there for the compactions that are still under way; whoever
	// takes it before they end kills the process, as the package says.
	awaitCompactions(t, s)
	ballast := fill(t, mount)
	for range 100 {
		if err := s.Commit([]crdt.KV{{Key: "late", Value: make([]byte, 1000)}}); !errors.Is(err, ErrDiskFull) {
			t.Fatalf("on a disk without a byte left: %v", err)
		}
	}
	wantContents(t, s, want)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", mount, "", syscall.MS_REMOUNT, "size=240m"); err != nil {
		t.Fatal(err)
	}
	commit(t, s, crdt.KV{Key: "late", Value: []byte("v")})
	want["late"] = "v"
	closeStore(t, s)
	wantContents(t, open(t, dir), want)
}

// A store that is closed on a full disk leaves its log to the next Open.
func TestCloseOnFullDisk(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	mount := tmpfs(t, "160m")
	dir := filepath.Join(mount, "data")
	s := open(t, dir)
	want := map[string]string{}
	for n := range 100 {
		batch := batchOf(n)
		commit(t, s, batch...)
		for _, kv := range batch {
			want[kv.Key] = string(kv.Value)
		}
	}
	ballast := fill(t, mount)
	if err := s.Close(); !errors.Is(err, ErrDiskFull) {
		t.Errorf("Close: %v", err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrDiskFull) {
		t.Errorf("Open: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	wantContents(t, open(t, copyDir(t, dir)), want)
}

func TestReadOnlyDisk(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	mount := tmpfs(t, "160m")
	dir := filepath.Join(mount, "data")
	s := open(t, dir)
	commit(t, s, crdt.KV{Key: "a", Value: []byte("v")})
	closeStore(t, s)
	if err := syscall.Mount("", mount, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=160m"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dir, filepath.Join(mount, "other")} {
		if _, err := Open(dir, Options{}); !errors.Is(err, ErrReadOnly) || !strings.Contains(err.Error(), mount) {
			t.Errorf("Open(%s): %v", dir, err)
		}
	}
}

// The disk turns read-only below an open store, as after an error of the
// medium. A bind mount stands in for it: the kernel does not let a disk with
// open files turn read-only by request.
func TestDiskTurnsReadOnly(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	dir := tmpfs(t, "160m")
	s := open(t, dir)
	commit(t, s, crdt.KV{Key: "a", Value: []byte("v")})
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Commit([]crdt.KV{{Key: "b", Value: []byte("v")}}); !errors.Is(err, ErrReadOnly) {
			t.Errorf("Commit: %v", err)
		}
	}
	if err := syscall.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	commit(t, s, crdt.KV{Key: "b", Value: []byte("v")})
	wantContents(t, s, map[string]string{"a": "v", "b": "v"})
}

// awaitCompactions returns when Badger has nothing more to write by itself.
func awaitCompactions(t *testing.T, s *Store) {
	t.Helper()
	if err := settled(s); err != nil {
		t.Fatal(err)
	}
}

// fill takes every byte that is left and returns the file that holds them.
func fill(t *testing.T, dir string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for len(block) > 0 {
		if _, err = f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}
