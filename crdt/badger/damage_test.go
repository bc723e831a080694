package badger

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	dgraph "github.com/dgraph-io/badger/v4"

	"holon/crdt"
)

// crashedStore makes a store as a power cut leaves it, with every kind of file
// that Badger writes: tables, sealed and open value logs, a write-ahead log.
func crashedStore(t *testing.T) (dir string, want map[string]string, lastBatch map[string]bool) {
	t.Helper()
	live := t.TempDir()
	want = map[string]string{}
	n := 0
	write := func(s *Store, batches int) {
		for range batches {
			batch := batchOf(n)
			batch[len(batch)-1].Key = fmt.Sprintf("big/%04d", n) // nothing is overwritten
			commit(t, s, batch...)
			lastBatch = map[string]bool{}
			for _, kv := range batch {
				want[kv.Key] = string(kv.Value)
				lastBatch[kv.Key] = true
			}
			n++
		}
	}
	// A copy that is made while a compaction removes its inputs is no crash.
	still := Options{Log: testLog(t), tune: func(o dgraph.Options) dgraph.Options {
		return o.WithNumLevelZeroTables(20).WithNumLevelZeroTablesStall(40)
	}}
	for range 3 {
		s, err := Open(live, still)
		if err != nil {
			t.Fatal(err)
		}
		defer closeStore(t, s)
		write(s, 12)
		if n < 36 {
			closeStore(t, s)
		}
	}
	return copyDir(t, live), want, lastBatch
}

// verdict opens a damaged store and says how it spoke up; an empty string means
// that something is missing or wrong and nobody was told.
func verdict(t *testing.T, dir, file string, want map[string]string, lastBatch map[string]bool) string {
	t.Helper()
	var log strings.Builder
	s, err := Open(dir, Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		var c *CorruptFileError
		if !errors.As(err, &c) || c.File != file {
			t.Errorf("%s: Open says %v", filepath.Base(file), err)
		}
		return "refused"
	}
	defer closeStore(t, s)
	got := map[string]string{}
	told := map[string]bool{}
	result := "harmless"
	if err := collectInto(got, s); err != nil {
		var c *CorruptError
		if !errors.As(err, &c) {
			t.Errorf("%s: Load says %v", filepath.Base(file), err)
			return ""
		}
		for _, key := range c.CorruptKeys() {
			told[key] = true
		}
		result = "quarantined"
		checkQuarantine(t, s, c)
	}
	lostLast := 0
	for key, value := range want {
		switch v, ok := got[key]; {
		case ok && v == value || told[key]:
		case !ok && lastBatch[key]:
			lostLast++
		default:
			t.Errorf("%s: %s is %s, and nobody was told", filepath.Base(file), key, map[bool]string{true: "wrong", false: "gone"}[ok])
			return ""
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok && key != DamageKey {
			t.Errorf("%s: %q was never written", filepath.Base(file), key)
		}
	}
	if lostLast == 0 {
		return result
	}
	if lostLast != len(lastBatch) || !strings.Contains(log.String(), "is dropped") {
		t.Errorf("%s: %d of %d pairs of the last batch are gone; log: %s", filepath.Base(file), lostLast, len(lastBatch), log.String())
	}
	return "last write dropped"
}

// checkQuarantine asks that what Load set aside is gone from its place, is kept
// under x/, and that a second Load is clean.
func checkQuarantine(t *testing.T, s *Store, c *CorruptError) {
	t.Helper()
	again := contents(t, s)
	if _, ok := again[DamageKey]; !ok {
		t.Errorf("nothing at %s tells the next boot", DamageKey)
	}
	for _, r := range c.Records {
		if _, ok := again[r.Key]; ok {
			t.Errorf("%s is still in its place", r.Key)
		}
		if v, ok := again[r.Quarantine]; !ok || !strings.HasPrefix(v, r.Cause.Error()) {
			t.Errorf("%s is not kept at %q", r.Key, r.Quarantine)
		}
	}
}

// One byte is changed in each kind of file, at the places that matter most and
// at random ones. Every change is harmless, or it is reported.
func TestFlippedByteIsNeverSilent(t *testing.T) {
	t.Parallel()
	dir, want, lastBatch := crashedStore(t)
	samples := 4
	if long {
		samples = 400
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]map[string]int{} // kind of file -> outcome -> how often
	for _, e := range entries {
		if e.Name() == lockName || e.Name() == "LOCK" {
			continue
		}
		size := usedBytes(t, filepath.Join(dir, e.Name()))
		kind := e.Name()
		if ext := filepath.Ext(kind); ext != "" {
			kind = "*" + ext
		}
		if seen[kind] == nil {
			seen[kind] = map[string]int{}
		}
		r := rand.New(rand.NewPCG(uint64(size), 7))
		places := []int{0, 7, 20, 21, 22, 23, size - 1, size - 4, size - 9}
		for range samples {
			places = append(places, r.IntN(max(1, size)))
		}
		damagedDir := copyDir(t, dir)
		for _, at := range places {
			if at < 0 || at >= size {
				continue
			}
			file, mask := filepath.Join(damagedDir, e.Name()), byte(1+r.IntN(255))
			flip(t, file, int64(at), mask)
			outcome := verdict(t, damagedDir, file, want, lastBatch)
			seen[kind][outcome]++
			if outcome == "refused" { // then nothing was written: mend it and go on
				flip(t, file, int64(at), mask)
				continue
			}
			if err := os.RemoveAll(damagedDir); err != nil {
				t.Fatal(err)
			}
			damagedDir = copyDir(t, dir)
		}
	}
	for kind, outcomes := range seen {
		t.Logf("%-12s %v", kind, outcomes)
	}
	for kind, outcome := range map[string]string{"MANIFEST": "refused", "*.sst": "refused", "*.mem": "refused", "*.vlog": "quarantined"} {
		if seen[kind][outcome] == 0 {
			t.Errorf("no flip in %s was %s: the test reaches nothing there", kind, outcome)
		}
	}
}

// usedBytes is the length of the file without the zeros at its end.
func usedBytes(t *testing.T, file string) int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := len(data)
	for n > 0 && data[n-1] == 0 {
		n--
	}
	return n
}

func flip(t *testing.T, file string, at int64, mask byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= mask
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A whole file is cut, emptied or gone.
func TestMaimedFile(t *testing.T) {
	t.Parallel()
	dir, want, lastBatch := crashedStore(t)
	maim := map[string]func(file string) error{
		"removed": os.Remove,
		"halved": func(file string) error {
			info, err := os.Stat(file)
			if err != nil {
				return err
			}
			return os.Truncate(file, info.Size()/2)
		},
		"cut to 10 bytes": func(file string) error { return os.Truncate(file, 10) },
	}
	for name, f := range maim {
		for _, kind := range []string{"MANIFEST", ".sst", ".vlog"} {
			damagedDir := copyDir(t, dir)
			file := filesOf(t, damagedDir, kind)[0]
			if err := f(file); err != nil {
				t.Fatal(err)
			}
			got := verdict(t, damagedDir, file, want, lastBatch)
			if got == "" || got == "harmless" {
				t.Errorf("%s %s: %q", kind, name, got)
			}
		}
	}
}

// What a crash between making and sizing a file leaves is not damage.
func TestUnbornLogIsNoDamage(t *testing.T) {
	dir, want, lastBatch := crashedStore(t)
	for _, name := range []string{fmt.Sprintf(memName, 99), fmt.Sprintf(vlogName, 99)} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := verdict(t, dir, dir, want, lastBatch); got != "harmless" {
		t.Errorf("got %q", got)
	}
}

// The checksum of a pair catches what got past all of Badger's own.
func TestDamagedPairIsSetAside(t *testing.T) {
	s := open(t, t.TempDir())
	commit(t, s, crdt.KV{Key: "r/good", Value: []byte("v")})
	for key, stored := range map[string][]byte{
		"r/flipped": append(seal("r/flipped", []byte("v")), 'x'),
		"r/moved":   seal("r/elsewhere", []byte("v")),
		"r/short":   {format1},
	} {
		txn := s.db.NewTransaction(true)
		if err := errors.Join(txn.Set([]byte(key), stored), txn.Commit()); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]string{}
	err := collectInto(got, s)
	var c *CorruptError
	if !errors.As(err, &c) || c.Count != 3 || len(got) != 1 || got["r/good"] != "v" {
		t.Fatalf("Load gives %v and %v", got, err)
	}
	checkQuarantine(t, s, c)
}

// After a downgrade nothing is set aside: the pairs are sound.
func TestNewerFormatIsNoDamage(t *testing.T) {
	s := open(t, t.TempDir())
	txn := s.db.NewTransaction(true)
	if err := errors.Join(txn.Set([]byte("r/newer"), newerFormat("r/newer")), txn.Commit()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := collectInto(map[string]string{}, s); !errors.Is(err, ErrNewerFormat) {
			t.Errorf("Load: %v", err)
		}
	}
}

func newerFormat(key string) []byte {
	sealed := seal(key, []byte("v"))
	sealed[0] = 2
	sum := checksum(2, key, []byte("v"))
	sealed[1], sealed[2], sealed[3], sealed[4] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
	return sealed
}

// A rewrite of a damaged value log would delete what follows the damage.
func TestCollectorLeavesDamagedLogsAlone(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for n := range 40 {
		commit(t, s, crdt.KV{Key: "again", Value: make([]byte, 1<<20)}, crdt.KV{Key: fmt.Sprint("big/", n), Value: []byte(strings.Repeat("v", inlineBytes))})
	}
	logs := filesOf(t, s.dir, ".vlog")
	if len(logs) < 2 {
		t.Fatal("no sealed value log")
	}
	if err := s.reclaim(); err != nil {
		t.Errorf("sound logs: %v", err)
	}
	flip(t, logs[0], 5000, 1)
	commit(t, s, crdt.KV{Key: "a turn", Value: []byte("is due again")})
	var c *CorruptFileError
	if err := s.reclaim(); !errors.As(err, &c) || c.File != logs[0] {
		t.Errorf("damaged log: %v", err)
	}
}
