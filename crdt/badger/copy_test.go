package badger

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"holon/crdt"
)

// files reads a whole directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

// TestCopyReadsAKilledStore: the copy has every acknowledged batch, and the
// directory of the store has not changed, though its logs were never closed.
func TestCopyReadsAKilledStore(t *testing.T) {
	dir := t.TempDir()
	cmd, out := helper(t, "commit", dir)
	for n := 0; n < 30 && out.Scan(); {
		if out.Text() != "ready" {
			n++
		}
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	before := files(t, dir)
	to := filepath.Join(t.TempDir(), "copy")
	if err := Copy(dir, to); err != nil {
		t.Fatal(err)
	}
	got := contents(t, open(t, to))
	for n := range 29 {
		batch := batchOf(n)
		for _, kv := range batch[:len(batch)-1] {
			if got[kv.Key] != string(kv.Value) {
				t.Fatalf("batch %d: %s is not in the copy", n, kv.Key)
			}
		}
	}
	if !maps.Equal(files(t, dir), before) {
		t.Error("the store was changed by copying it")
	}
}

func TestCopyRefuses(t *testing.T) {
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	if err := Copy(dir, to); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty directory: %v", err)
	}
	s := open(t, dir)
	if err := s.Commit([]crdt.KV{{Key: "a", Value: []byte("b")}}); err != nil {
		t.Fatal(err)
	}
	if err := Copy(dir, to); !errors.Is(err, ErrInUse) {
		t.Errorf("a store that is open: %v", err)
	}
	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was copied: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, lockName)); err != nil {
		t.Fatal(err)
	}
	if err := Copy(dir, to); err != nil {
		t.Fatalf("a closed store without its lock file: %v", err)
	}
	if got := contents(t, open(t, to)); got["a"] != "b" {
		t.Errorf("the copy holds %v", got)
	}
}
