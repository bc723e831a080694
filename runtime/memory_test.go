package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLinkToMemory(t *testing.T) {
	base, pod := t.TempDir(), t.TempDir()
	memory, link := filepath.Join(base, "m"), filepath.Join(pod, "v")
	for range 2 { // a reboot between them empties memory
		if err := LinkToMemory(link, memory, "r1", "v"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(link, "key"), []byte("x"), 0o400); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{memory, filepath.Join(memory, "r1")} {
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, %v; want 0700", dir, info, err)
			}
		}
		if err := ForgetMemory(memory, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := LinkToMemory(filepath.Join(pod, "w"), memory, "r2", "w"); err != nil {
		t.Fatal(err)
	}
	if err := ForgetMemory(memory, "r2"); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(base); len(left) != 0 {
		t.Errorf("after the last run %v is left", left)
	}
	if err := ForgetMemory("", "r1"); err != nil {
		t.Error(err)
	}
}

// TestForeignMemoryIsNotUsed: the place is open to all users of the host, so one
// of them may have been there first.
func TestForeignMemoryIsNotUsed(t *testing.T) {
	base := t.TempDir()
	for name, plant := range map[string]func(path string) error{
		"open":   func(path string) error { return os.MkdirAll(path, 0o755) },
		"a link": func(path string) error { return os.Symlink(base, path) },
		"a file": func(path string) error { return os.WriteFile(path, nil, 0o700) },
	} {
		memory := filepath.Join(base, strings.ReplaceAll(name, " ", "-"))
		if err := plant(memory); err != nil {
			t.Fatal(err)
		}
		if err := LinkToMemory(filepath.Join(base, "link"), memory, "r", "v"); err == nil || !strings.Contains(err.Error(), memory) {
			t.Errorf("%s is used: %v", name, err)
		}
	}
}

func TestMemoryDirIsOneOfEachNode(t *testing.T) {
	a, b := MemoryDir("/a"), MemoryDir("/b")
	if a == "" {
		t.Fatal("this host has no tmpfs that this test can use: mount one at /dev/shm")
	}
	if a == b || a != MemoryDir("/a/") {
		t.Errorf("%s and %s", a, b)
	}
}
