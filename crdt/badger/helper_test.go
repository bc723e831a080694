package badger

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dgraph "github.com/dgraph-io/badger/v4"

	"holon/crdt"
)

// helperEnv makes the test binary do one job in a process of its own.
const helperEnv = "HOLON_STORE_HELPER"

// long is set by `make test-long`.
var long = os.Getenv("HOLON_TEST_LONG") != ""

func TestMain(m *testing.M) {
	jobs := map[string]func(dir string) error{"commit": commitForever, "hold": hold, "disk": diskJob}
	if name := os.Getenv(helperEnv); name != "" {
		if err := jobs[name](os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// helper starts a job on dir; its standard output is the returned reader.
func helper(t testing.TB, job, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], dir)
	cmd.Env = append(os.Environ(), helperEnv+"="+job)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd, bufio.NewScanner(out)
}

// hold keeps the store open until standard input ends.
func hold(dir string) error {
	s, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, s.Close())
}

// commitForever commits batch after batch and prints the number of each one
// that was acknowledged. Batch n has sizeOf(n) pairs; its values follow from n.
func commitForever(dir string) error {
	s, err := Open(dir, Options{GCInterval: 50 * time.Millisecond})
	if err != nil {
		return err
	}
	next := 0
	err = s.Load("batch/", func(key string, _ []byte) error {
		var n int
		_, err := fmt.Sscanf(key, "batch/%d/", &n)
		next = max(next, n+1)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for n := next; ; n++ {
		if err := s.Commit(batchOf(n)); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

func batchOf(n int) []crdt.KV {
	r := rand.New(rand.NewPCG(uint64(n), 0))
	batch := make([]crdt.KV, 1+r.IntN(16))
	for i := range batch {
		size := r.IntN(4 << 10)
		if r.IntN(50) == 0 {
			size += inlineBytes
		}
		batch[i] = crdt.KV{Key: fmt.Sprintf("batch/%08d/%02d", n, i), Value: randomBytes(r, size)}
	}
	// A pair that every batch overwrites makes garbage for the collector.
	return append(batch, crdt.KV{Key: fmt.Sprintf("last/%d", n%4), Value: randomBytes(r, inlineBytes+n%1000)})
}

// settled waits until no compaction is due. Badger offers no event for that.
func settled(s *Store) error {
	busy := func(l dgraph.LevelInfo) bool { return l.Score >= 1 }
	for range 6000 {
		if !slices.ContainsFunc(s.db.Levels(), busy) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("compactions do not end")
}

// noise is what random values are cut from; making each one afresh would be
// most of the work of these tests.
var noise = func() []byte {
	b := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}()

// randomBytes has at most half a MiB.
func randomBytes(r *rand.Rand, n int) []byte {
	at := r.IntN(len(noise) / 2)
	return noise[at : at+n : at+n]
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func commit(t *testing.T, s *Store, batch ...crdt.KV) {
	t.Helper()
	if err := s.Commit(batch); err != nil {
		t.Fatal(err)
	}
}

func closeStore(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, s *Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := collectInto(all, s); err != nil {
		t.Fatal(err)
	}
	return all
}

func collectInto(all map[string]string, s *Store) error {
	return s.Load("", func(key string, value []byte) error {
		all[key] = string(value)
		return nil
	})
}

func wantContents(t *testing.T, s *Store, want map[string]string) {
	t.Helper()
	if got := contents(t, s); !maps.Equal(got, want) {
		t.Errorf("the store has %d pairs, want %d, or they differ", len(got), len(want))
	}
}

// copyDir copies a store as a power cut would leave it: what is synced, and no
// lock. Holes stay holes.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	out, err := exec.Command("cp", "-r", "--sparse=always", from, to).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return to
}

func filesOf(t *testing.T, dir, ext string) (files []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ext) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files
}
