package badger

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	dgraph "github.com/dgraph-io/badger/v4"

	"holon/crdt"
)

// smallBatch is a batch of a few hundred bytes, which follow from n.
func smallBatch(n int) []crdt.KV {
	r := rand.New(rand.NewPCG(uint64(n), 9))
	return []crdt.KV{
		{Key: fmt.Sprintf("b/%03d/a", n), Value: randomBytes(r, 10+r.IntN(200))},
		{Key: fmt.Sprintf("b/%03d/b", n), Value: randomBytes(r, 10+r.IntN(200))},
	}
}

// A log that ends anywhere, whatever follows there, reads as the transactions
// that are whole before that, and never as another one.
func TestLogCutAtEveryByte(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	ends := []int{logHeader}
	for n := range 20 {
		commit(t, s, smallBatch(n)...)
		ends = append(ends, lastEnd(t, dir))
	}
	wal := filesOf(t, dir, ".mem")
	data, err := os.ReadFile(wal[len(wal)-1])
	if err != nil {
		t.Fatal(err)
	}
	data = data[:ends[len(ends)-1]+100]
	rest := map[string]func(n int) []byte{
		"nothing": func(int) []byte { return nil },
		"zeros":   func(n int) []byte { return make([]byte, n) },
		"garbage": func(n int) []byte { return randomBytes(rand.New(rand.NewPCG(uint64(n), 1)), n) },
	}
	for name, tail := range rest {
		whole := 0
		for cut := logHeader; cut <= ends[len(ends)-1]; cut++ {
			if whole+1 < len(ends) && ends[whole+1] <= cut {
				whole++
			}
			got, err := scan("log", append(bytes.Clone(data[:cut]), tail(len(data)-cut)...))
			if err != nil || got.end != ends[whole] {
				t.Fatalf("cut at %d, then %s: it ends at %d, %v; want %d", cut, name, got.end, err, ends[whole])
			}
			if !got.tornOnly() {
				t.Fatalf("cut at %d, then %s: taken for damage, fins %v", cut, name, got.fins)
			}
		}
	}
}

// The same through the front door: what a store opens to is every batch up to
// one, each in whole.
func TestStoreCutAnywhereOpensToAPrefix(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	const batches = 12
	for n := range batches {
		commit(t, s, smallBatch(n)...)
	}
	end, step := lastEnd(t, dir), 173
	if long {
		step = 1
	}
	for cut := logHeader; cut <= end; cut += step {
		crashed := copyDir(t, dir)
		wal := filesOf(t, crashed, ".mem")
		zero(t, wal[len(wal)-1], cut)
		again := open(t, crashed)
		if got := wholeBatches(t, contents(t, again), batches); got < 0 {
			t.Errorf("cut at byte %d: not a prefix of the batches", cut)
		}
		closeStore(t, again)
		if err := os.RemoveAll(crashed); err != nil {
			t.Fatal(err)
		}
	}
}

// zero fills a file with zeros from a byte on, as a power cut leaves a log whose
// pages were not written.
func zero(t *testing.T, file string, from int) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, int64(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, info.Size()); err != nil {
		t.Fatal(err)
	}
}

// wholeBatches counts the batches that are there; -1 if one is there in part or
// after one that is not.
func wholeBatches(t *testing.T, got map[string]string, batches int) int {
	t.Helper()
	count := 0
	for n := range batches {
		there := 0
		for _, kv := range smallBatch(n) {
			if got[kv.Key] == string(kv.Value) {
				there++
			}
		}
		switch {
		case there == len(smallBatch(n)) && count == n:
			count++
		case there > 0:
			return -1
		}
	}
	return count
}

// Between two syncs the disk may have written any pages of a log and not others.
// After the power cut the batches before are there, and the one that was being
// written in whole or not at all: never in part, and never as a damaged value in
// place of the one before. The value log is synced before the write-ahead log is
// written; the second half of this test stands on that.
func TestPagesWrittenInAnyOrder(t *testing.T) {
	t.Parallel()
	rounds := 12
	if long {
		rounds = 400
	}
	const page = 4 << 10
	dir := t.TempDir()
	small := Options{Log: testLog(t), tune: func(o dgraph.Options) dgraph.Options { return o.WithValueLogFileSize(1 << 20) }}
	s, err := Open(dir, small)
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	r := rand.New(rand.NewPCG(11, 12))
	want := map[string]string{}
	outcomes := map[bool]int{}
	for n := range rounds {
		before := copyDir(t, dir)
		batch := []crdt.KV{{Key: "last", Value: randomBytes(r, 100+r.IntN(3*page))}}
		for i := range 1 + r.IntN(4) {
			batch = append(batch, crdt.KV{Key: fmt.Sprint("k", i), Value: randomBytes(r, r.IntN(2*page))})
		}
		if n%4 == 0 {
			batch = append(batch, crdt.KV{Key: "large", Value: randomBytes(r, inlineBytes+r.IntN(4*page))})
		}
		commit(t, s, batch...)
		after := copyDir(t, dir)
		values := r.IntN(3) == 0 // the power goes while the value log is being synced
		odds := []int{50, 90, 100}[r.IntN(3)]
		for _, ext := range []string{".vlog", ".mem"} {
			keep := func() bool { return r.IntN(100) < odds }
			switch {
			case ext == ".vlog" && !values:
				keep = func() bool { return true }
			case ext == ".mem" && values:
				keep = func() bool { return false }
			}
			mixPages(t, before, after, ext, page, keep)
		}
		crashed, err := Open(before, small)
		if err != nil {
			t.Fatalf("round %d: %v", n, err)
		}
		got := contents(t, crashed)
		arrived := got["last"] == string(batch[0].Value)
		outcomes[arrived]++
		if arrived {
			apply(want, batch)
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("round %d: %s is not what it was; the batch arrived: %v", n, key, arrived)
			}
		}
		closeStore(t, crashed)
		apply(want, batch)
		for _, d := range []string{before, after} {
			if err := os.RemoveAll(d); err != nil {
				t.Fatal(err)
			}
		}
	}
	if outcomes[true] == 0 || outcomes[false] == 0 {
		t.Errorf("the batch arrived %d times and did not %d times: one case is not tested", outcomes[true], outcomes[false])
	}
}

func apply(to map[string]string, batch []crdt.KV) {
	for _, kv := range batch {
		to[kv.Key] = string(kv.Value)
	}
}

// mixPages takes pages that differ over from one directory's newest log into the
// other's, where keep says so.
func mixPages(t *testing.T, to, from, ext string, page int, keep func() bool) {
	t.Helper()
	files := filesOf(t, from, ext)
	newest := files[len(files)-1]
	fresh, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(to, filepath.Base(newest))
	old, err := os.ReadFile(file)
	if err != nil || len(old) != len(fresh) {
		t.Fatalf("%s: %d bytes and %d, %v: this test keeps clear of rotations", file, len(old), len(fresh), err)
	}
	for at := 0; at < len(old); at += page {
		end := min(at+page, len(old))
		if !bytes.Equal(old[at:end], fresh[at:end]) && keep() {
			copy(old[at:end], fresh[at:end])
		}
	}
	if err := os.WriteFile(file, old, 0o600); err != nil {
		t.Fatal(err)
	}
}
