package badger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holon/crdt"
)

func TestReopenKeepsEverything(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "by", "open")
	want := map[string]string{}
	for round := range 4 {
		s := open(t, dir)
		wantContents(t, s, want)
		for n := range 30 {
			batch := batchOf(round*30 + n)
			if n%5 == 4 { // delete what an earlier batch wrote
				for _, kv := range batchOf(round*30 + n - 2) {
					batch = append(batch, crdt.KV{Key: kv.Key})
				}
			}
			commit(t, s, batch...)
			for _, kv := range batch {
				if kv.Value == nil {
					delete(want, kv.Key)
				} else {
					want[kv.Key] = string(kv.Value)
				}
			}
		}
		wantContents(t, s, want)
		closeStore(t, s)
	}
	wantContents(t, open(t, dir), want)
}

func TestLoadWalksThePrefixInKeyOrder(t *testing.T) {
	s := open(t, t.TempDir())
	commit(t, s, crdt.KV{Key: "r/b", Value: []byte("2")}, crdt.KV{Key: "q", Value: []byte("0")},
		crdt.KV{Key: "r/a", Value: []byte{}}, crdt.KV{Key: "r0", Value: []byte("3")})
	var got []string
	err := s.Load("r/", func(key string, value []byte) error {
		got = append(got, key+"="+string(value))
		return nil
	})
	if want := []string{"r/a=", "r/b=2"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	stop := errors.New("enough")
	if err := s.Load("", func(string, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the callback's error is lost: %v", err)
	}
}

func TestBatchBounds(t *testing.T) {
	s := open(t, t.TempDir())
	full := make([]crdt.KV, MaxBatchPairs)
	for i := range full {
		key := fmt.Sprintf("r/%04d", i)
		full[i] = crdt.KV{Key: key, Value: make([]byte, MaxBatchBytes/MaxBatchPairs-len(key))}
	}
	commit(t, s, full...)
	commit(t, s, crdt.KV{Key: strings.Repeat("k", MaxKeyBytes), Value: make([]byte, MaxValueBytes)})
	commit(t, s)
	before := len(contents(t, s))
	for name, batch := range map[string][]crdt.KV{
		"one pair too many":   append(slices.Clone(full), crdt.KV{Key: "r/more"}),
		"too many bytes":      {{Key: "a", Value: make([]byte, inlineBytes/2)}, {Key: "b", Value: make([]byte, inlineBytes/2)}},
		"value too big":       {{Key: "a", Value: make([]byte, MaxValueBytes+1)}},
		"too many big ones":   {{Key: "a", Value: make([]byte, MaxValueBytes)}, {Key: "b", Value: make([]byte, MaxValueBytes)}},
		"no key":              {{Value: []byte("v")}},
		"key too long":        {{Key: strings.Repeat("k", MaxKeyBytes+1)}},
		"a key of Badger's":   {{Key: "fine", Value: []byte("v")}, {Key: "!badger!txn", Value: []byte("v")}},
		"the last is refused": {{Key: "new", Value: []byte("v")}, {Key: ""}},
	} {
		if name == "too many bytes" {
			for i := range 20 {
				batch = append(batch, crdt.KV{Key: fmt.Sprint(i), Value: make([]byte, inlineBytes/2)})
			}
		}
		err := s.Commit(batch)
		if err == nil || strings.Contains(name, "too ") && !strings.Contains(name, "long") && !errors.Is(err, ErrBatchTooBig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := len(contents(t, s)); got != before {
		t.Errorf("refused batches left %d pairs behind", got-before)
	}
	commit(t, s, crdt.KV{Key: "after", Value: []byte("v")})
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	cmd, out := helper(t, "hold", dir)
	if !out.Scan() || out.Text() != "ready" {
		t.Fatal("the holder did not come up")
	}
	_, err := Open(dir, Options{})
	var inUse *InUseError
	if !errors.Is(err, ErrInUse) || !errors.As(err, &inUse) || inUse.PID != cmd.Process.Pid {
		t.Errorf("got %v, want ErrInUse naming process %d", err, cmd.Process.Pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	s := open(t, dir)
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice in one process: %v", err)
	}
	closeStore(t, s)
	open(t, dir)
}

func TestClosed(t *testing.T) {
	s := open(t, t.TempDir())
	closeStore(t, s)
	closeStore(t, s)
	if err := s.Commit([]crdt.KV{{Key: "a", Value: []byte("v")}}); !errors.Is(err, ErrClosed) {
		t.Errorf("Commit: %v", err)
	}
	if err := s.Load("", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Load: %v", err)
	}
}

// Badger logs some failures that it does not return; the logger makes them stop
// the store.
func TestLoggedFailureStopsTheStore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	commit(t, s, crdt.KV{Key: "before", Value: []byte("v")})
	logger{s}.Errorf("Unable to read: %v", "something else")
	commit(t, s, crdt.KV{Key: "still", Value: []byte("v")})
	logger{s}.Errorf("Error while curlf sync: %v\n", errors.New("input/output error"))
	for range 2 {
		err := s.Commit([]crdt.KV{{Key: "after", Value: []byte("v")}})
		if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "input/output error") {
			t.Errorf("Commit after a failed fsync: %v", err)
		}
	}
	if err := s.Close(); !errors.Is(err, ErrFailed) {
		t.Errorf("Close hides the failure: %v", err)
	}
}

func TestBadgerStillLogsTheseFailures(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/dgraph-io/badger/v4").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range loggedFailures {
		if err := exec.Command("grep", "-rqF", `Errorf("`+f, strings.TrimSpace(string(dir))).Run(); err != nil {
			t.Errorf("this version of Badger does not log %q any more: see what it does instead", f)
		}
	}
}

func TestSetAsideSparesANewerValue(t *testing.T) {
	s := open(t, t.TempDir())
	commit(t, s, crdt.KV{Key: "r/a", Value: []byte("damaged")})
	q := quarantine("r/a", 1, errChecksum, nil)
	commit(t, s, crdt.KV{Key: "r/a", Value: []byte("new")})
	if err := s.setAside(q); err != nil {
		t.Fatal(err)
	}
	wantContents(t, s, map[string]string{"r/a": "new"})
}

// What a small database holds decides what its tables take, however often it was
// overwritten; and the collector's turn after that writes nothing.
func TestTablesFollowWhatIsLive(t *testing.T) {
	s := open(t, t.TempDir())
	const keys, size = 500, 1024
	value := randomBytes(rand.New(rand.NewPCG(1, 2)), size)
	for n := range 200 {
		batch := make([]crdt.KV, 100)
		for i := range batch {
			batch[i] = crdt.KV{Key: fmt.Sprintf("r/%03d", (n*100+i)%keys), Value: value}
		}
		commit(t, s, batch...)
	}
	if err := s.reclaim(); err != nil {
		t.Fatal(err)
	}
	var tables int64
	for _, l := range s.db.Levels() {
		tables += l.Size
	}
	// Memtables that were full are written out meanwhile and come on top.
	if tables > 2*keys*size+numMemtables*memTableBytes {
		t.Errorf("%d bytes of tables for %d bytes that are live", tables, keys*size)
	}
	before := s.unclean
	for range 2 {
		if before || s.begins() {
			t.Error("a turn is due though nothing was committed")
		}
	}
	commit(t, s, crdt.KV{Key: "a", Value: value})
	if !s.begins() {
		t.Error("no turn is due after a commit")
	}
	s.ends(true)
}

// A child that was forked while the store was open holds its lock file, too.
func TestCloseEndsTheLockOfForkedChildren(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	child, err := unix.Dup(int(s.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// A transaction of the size that a node makes fits: Badger takes 15 % of a memtable.
func TestANodesTransactionsFit(t *testing.T) {
	const bytes, pairs = 256 << 10, 1025
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var batch []crdt.KV
	for i := range pairs {
		batch = append(batch, crdt.KV{Key: fmt.Sprintf("r/%04d", i), Value: make([]byte, bytes/pairs-8)})
	}
	if err := s.Commit(batch); err != nil {
		t.Fatal(err)
	}
}
