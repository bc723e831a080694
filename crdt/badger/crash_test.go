package badger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holon/crdt"
)

// A process that commits is killed again and again; every batch that it
// acknowledged is there in whole, and no other batch is there in part.
func TestKilledProcessKeepsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	span := 4 * time.Second
	if long {
		span = 5 * time.Minute
	}
	rounds, acked := 0, -1
	for end := time.Now().Add(span); time.Now().Before(end) || rounds < 3; rounds++ {
		cmd, out := helper(t, "commit", dir)
		quota := 1 + rounds*7%40 // acknowledgements until the kill
		for out.Scan() {
			if out.Text() == "ready" {
				continue
			}
			n, err := strconv.Atoi(out.Text())
			if err != nil {
				t.Fatal(err)
			}
			acked = max(acked, n)
			if quota--; quota == 0 {
				if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("round %d: the process ended by itself: %v", rounds, err)
		}
	}
	s := open(t, dir)
	got := contents(t, s)
	last := acked
	for n := 0; n <= last; n++ {
		missing := 0
		batch := batchOf(n)
		for _, kv := range batch[:len(batch)-1] {
			switch v, ok := got[kv.Key]; {
			case !ok:
				missing++
			case v != string(kv.Value):
				t.Errorf("batch %d: %s has another value", n, kv.Key)
			}
			delete(got, kv.Key)
		}
		if missing > 0 {
			t.Errorf("batch %d was acknowledged and lacks %d pairs", n, missing)
		}
	}
	partial := 0
	for key := range got {
		if !strings.HasPrefix(key, "last/") {
			partial++
		}
	}
	// The last process may have committed one batch that nobody heard of.
	if rest := batchOf(last + 1); partial != 0 && partial != len(rest)-1 {
		t.Errorf("batch %d was not acknowledged and is there in part: %d of %d pairs", last+1, partial, len(rest)-1)
	}
	t.Logf("%d kills, %d batches acknowledged", rounds, acked+1)
}

// After Commit no page of a log is dirty: msync happened, not only a copy into
// the page cache. With SyncWrites off this fails.
func TestCommitLeavesNoDirtyPage(t *testing.T) {
	dir := diskDir(t)
	s := open(t, dir)
	for i, size := range []int{10, 4 << 10, inlineBytes + 1, 300 << 10} {
		commit(t, s, crdt.KV{Key: fmt.Sprint(i), Value: bytes.Repeat([]byte{1}, size)})
		mapped, dirty, err := logPages(dir)
		if err != nil {
			t.Fatal(err)
		}
		if mapped == 0 || dirty != 0 {
			t.Errorf("value of %d bytes: %d log mappings, %d KiB dirty after Commit", size, mapped, dirty)
		}
	}
}

// What the collector moves is synced too, also when commits of small values come
// in between.
func TestCollectorLeavesNoDirtyPage(t *testing.T) {
	dir := diskDir(t)
	for round := range 6 { // two of three values become garbage; each Close makes a table
		s := open(t, dir)
		for n := range 30 {
			if round == 0 || n%3 != 0 {
				commit(t, s, crdt.KV{Key: fmt.Sprint("k", n), Value: bytes.Repeat([]byte{1}, 500<<10)})
			}
		}
		closeStore(t, s)
	}
	s := open(t, dir)
	before := len(filesOf(t, dir, ".vlog"))
	_, sealed, err := logPages(dir) // where Badger cut a synced log off, at the last Close
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := s.Commit([]crdt.KV{{Key: "small", Value: fmt.Append(nil, n)}}); err != nil {
				done <- err
				return
			}
		}
	}()
	if err := s.reclaim(); err != nil {
		t.Error(err)
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if after := len(filesOf(t, dir, ".vlog")); after >= before {
		t.Errorf("%d value logs before the collector, %d after", before, after)
	}
	if _, dirty, err := logPages(dir); err != nil || dirty > sealed {
		t.Errorf("%d KiB dirty after the collector, %d before, %v", dirty, sealed, err)
	}
}

// If this fails, Badger has changed: commits are right, and slow.
func TestValueLogSyncIsFound(t *testing.T) {
	s := open(t, t.TempDir())
	if s.valueLog.field == nil || !*s.valueLog.field {
		t.Fatal("no option of the value log to switch")
	}
	for _, large := range []bool{false, true, false} {
		size := 10
		if large {
			size = inlineBytes
		}
		if commit(t, s, crdt.KV{Key: "a", Value: make([]byte, size)}); *s.valueLog.field != large {
			t.Errorf("after a value of %d bytes the value log's sync is %v", size, *s.valueLog.field)
		}
	}
}

// diskDir is a temporary directory that is not on a tmpfs, where every page is
// dirty for ever.
func diskDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	const tmpfs = 0x01021994
	if fs.Type == tmpfs {
		var err error
		if dir, err = os.MkdirTemp(".", "dirty"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	return dir
}

// logPages counts the mappings of logs below dir and their dirty KiB.
func logPages(dir string) (mapped, dirty int, err error) {
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return 0, 0, err
	}
	ours := false
	for _, line := range strings.Split(string(smaps), "\n") {
		field := strings.Fields(line)
		switch {
		case len(field) >= 5 && !strings.HasSuffix(field[0], ":"):
			name := field[len(field)-1]
			ours = strings.Contains(name, strings.TrimPrefix(dir, ".")) && (strings.HasSuffix(name, ".mem") || strings.HasSuffix(name, ".vlog"))
			if ours {
				mapped++
			}
		case ours && (field[0] == "Shared_Dirty:" || field[0] == "Private_Dirty:"):
			n, convErr := strconv.Atoi(field[1])
			err = errors.Join(err, convErr)
			dirty += n
		}
	}
	return mapped, dirty, err
}

// What a power cut leaves of an unacknowledged batch is dropped; what came
// before stays, and the store goes on.
func TestTornTail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	want := map[string]string{}
	for n := range 20 {
		commit(t, s, batchOf(n)...)
		for _, kv := range batchOf(n) {
			want[kv.Key] = string(kv.Value)
		}
	}
	before := lastEnd(t, dir)
	torn := []crdt.KV{{Key: "torn/a", Value: make([]byte, 5000)}, {Key: "torn/b", Value: []byte("b")}, {Key: "torn/c", Value: []byte("c")}}
	commit(t, s, torn...)
	end := lastEnd(t, dir)
	for at := before; at < end; at += max(1, (end-before)/12) {
		crashed := copyDir(t, dir)
		wal := filesOf(t, crashed, ".mem")
		f, err := os.OpenFile(wal[len(wal)-1], os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, end-at), int64(at)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		again := open(t, crashed)
		wantContents(t, again, want)
		commit(t, again, torn...)
		closeStore(t, again)
	}
}

// lastEnd is where the newest write-ahead log ends.
func lastEnd(t *testing.T, dir string) int {
	t.Helper()
	wal := filesOf(t, dir, ".mem")
	s, err := scanLog(wal[len(wal)-1])
	if err != nil {
		t.Fatal(err)
	}
	return s.end
}
