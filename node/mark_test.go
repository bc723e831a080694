package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
	"holon/node/core"
)

func TestMarkReadsBackAsWritten(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		m := mark{
			DB: rapid.StringMatching(`[0-9a-f]{32}`).Draw(t, "db"), Epoch: rapid.Uint64().Draw(t, "epoch"),
			Committed: rapid.Uint64().Draw(t, "committed"), Reserved: rapid.Uint64().Draw(t, "reserved"),
			Machine: rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "machine"), seq: rapid.Uint64().Draw(t, "seq"),
		}
		if err := m.write(dir); err != nil {
			t.Fatal(err)
		}
		m.seq = rapid.Uint64().Draw(t, "later seq")
		if err := m.note(dir); err != nil {
			t.Fatal(err)
		}
		got, inode, err := readMark(dir)
		want, _ := json.Marshal(&m)
		have, _ := json.Marshal(&got)
		if err != nil || !bytes.Equal(want, have) || got.seq != m.seq || inode != m.Inode {
			t.Fatalf("read %s, seq %d, inode %d, %v\nwrote %s, seq %d", have, got.seq, inode, err, want, m.seq)
		}
	})
}

// No single changed, missing or added byte makes another mark.
func TestDamagedMarkIsNoMark(t *testing.T) {
	m := mark{DB: "0123456789abcdef0123456789abcdef", Epoch: 7, Committed: 4096, Reserved: 8192, Machine: Machine{"a": "b"}, seq: 42}
	text := m.encode()
	for at := range text {
		changed := bytes.Clone(text)
		for bit := range 8 {
			changed[at] = text[at] ^ 1<<bit
			if _, err := decodeMark(changed); err == nil {
				t.Fatalf("bit %d of byte %d is changed and nobody minds: %q", bit, at, changed)
			}
		}
		for _, maimed := range [][]byte{text[:at], slices.Delete(bytes.Clone(text), at, at+1)} {
			if _, err := decodeMark(maimed); err == nil {
				t.Fatalf("maimed at byte %d and nobody minds: %q", at, maimed)
			}
		}
	}
	if len(text) > markMax || bytes.IndexByte(text, '\n') >= 512 {
		t.Errorf("the mark has %d bytes, its head must lie in a sector", len(text))
	}
	if newer := bytes.Replace(text, []byte("mark 1"), []byte("mark 2"), 1); !errors.Is(second(decodeMark(newer)), errNewerMark) {
		t.Error("a mark of a newer holon is not told from a damaged one")
	}
}

func second[T any](_ T, err error) error { return err }

func FuzzDecodeMark(f *testing.F) {
	m := mark{DB: "0123456789abcdef0123456789abcdef", Reserved: 8192, Machine: Machine{"a": "b"}, seq: 42}
	f.Add(m.encode())
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decodeMark(text)
		if err != nil {
			return
		}
		if again, err := decodeMark(m.encode()); err != nil || again.seq != m.seq || again.Reserved != m.Reserved {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// traced is a disk that notes what lay in the mark's file at each commit, and
// can stop a process before or after one, as SIGKILL does.
type traced struct {
	memory
	dir    string
	killAt int // batches from now; 0: never
	after  bool
	marks  []mark
}

var errKilled = errors.New("killed")

func (d *traced) Commit(batch []crdt.KV) error {
	m, _, err := readMark(d.dir)
	if err != nil {
		return err
	}
	d.marks = append(d.marks, m)
	d.killAt--
	if d.killAt == 0 && !d.after {
		return errKilled
	}
	err = d.memory.Commit(batch)
	if d.killAt == 0 {
		return errKilled
	}
	return err
}

func reserve(counter uint64) crdt.KV {
	h := crdt.Resume(crdt.Marks{Counter: counter - crdt.ReserveBlock})
	_, marks := h.Reserve()
	return core.EncodeReserved(marks)
}

func bootFor(t *testing.T, d *traced) (*guard, boot) {
	t.Helper()
	g, b, err := bootStore(d, d.dir, Machine{"machine-id": "here"})
	if err != nil {
		t.Fatal(err)
	}
	return g, b
}

// The mark promises a counter before the batch that reserves it is committed,
// and confirms it before the commit returns.
func TestMarkIsWrittenBeforeWhatItCovers(t *testing.T) {
	d := &traced{memory: memory{pairs: map[string][]byte{}}, dir: t.TempDir()}
	g, _ := bootFor(t, d)
	for _, counter := range []uint64{4096, 8192, 12288} {
		if err := g.Commit([]crdt.KV{{Key: "r/x", Value: []byte("v")}, reserve(counter)}); err != nil {
			t.Fatal(err)
		}
		if m := d.marks[len(d.marks)-1]; m.Reserved != counter || m.Committed != counter-4096 {
			t.Errorf("while %d is being reserved the mark says %+v", counter, m)
		}
		if m, _, err := readMark(d.dir); err != nil || m.Committed != counter || m.seq != g.seq {
			t.Errorf("after %d is reserved the mark says %+v, %v", counter, m, err)
		}
	}
}

// A process that is killed at any commit is not taken for a rollback.
func TestACrashIsNoDoubt(t *testing.T) {
	for killAt := 1; killAt < 8; killAt++ {
		for _, after := range []bool{false, true} {
			d := &traced{memory: memory{pairs: map[string][]byte{}}, dir: t.TempDir(), killAt: killAt, after: after}
			for range 3 { // lives
				g, b, err := bootStore(d, d.dir, Machine{})
				if errors.Is(err, errKilled) {
					continue
				}
				if err != nil || b.doubt != "" {
					t.Fatalf("killed at %d (after: %v): %q, %v", killAt, after, b.doubt, err)
				}
				on, err := readDisk(&d.memory)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if err := g.Commit([]crdt.KV{reserve(on.counter + 4096)}); err != nil {
						break
					}
					on.counter += 4096
				}
			}
		}
	}
}

// Whatever is copied back, deleted, damaged or moved: the next boot takes a
// fresh replica ID, says why, jumps ahead with its epoch, forgets its claims,
// and the boot after it is an ordinary one.
func TestEveryDoubtEndsInAFreshReplica(t *testing.T) {
	file := func(d *traced) string { return filepath.Join(d.dir, MarkFile) }
	do := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		spoil   func(t *testing.T, d *traced, oldPairs map[string][]byte, oldMark []byte)
		machine Machine
		says    string
	}{
		"old state": {says: "older than its mark", spoil: func(_ *testing.T, d *traced, old map[string][]byte, _ []byte) { d.pairs = old }},
		"old state, by its counter alone": {says: "older than its mark", spoil: func(t *testing.T, d *traced, old map[string][]byte, _ []byte) {
			d.pairs = old
			m, _, err := readMark(d.dir)
			do(t, err)
			m.seq = 0 // as a power cut may leave it
			do(t, m.note(d.dir))
		}},
		"mark deleted": {says: "gone", spoil: func(t *testing.T, d *traced, _ map[string][]byte, _ []byte) { do(t, os.Remove(file(d))) }},
		"mark damaged": {says: "checksum", spoil: func(t *testing.T, d *traced, _ map[string][]byte, _ []byte) {
			text, err := os.ReadFile(file(d))
			do(t, err)
			text[60] ^= 1
			do(t, os.WriteFile(file(d), text, 0o600))
		}},
		"mark of a newer holon": {says: "newer holon", spoil: func(t *testing.T, d *traced, _ map[string][]byte, _ []byte) {
			text, err := os.ReadFile(file(d))
			do(t, err)
			do(t, os.WriteFile(file(d), bytes.Replace(text, []byte("mark 1"), []byte("mark 2"), 1), 0o600))
		}},
		"old mark": {says: "mark is older", spoil: func(t *testing.T, d *traced, _ map[string][]byte, old []byte) {
			do(t, os.WriteFile(file(d), old, 0o600))
		}},
		"mark of another": {says: "another database", spoil: func(t *testing.T, d *traced, _ map[string][]byte, _ []byte) {
			other := &traced{memory: memory{pairs: map[string][]byte{}}, dir: t.TempDir()}
			bootFor(t, other)
			do(t, os.Rename(file(other), file(d)))
		}},
		"another machine": {says: "another machine (machine-id", machine: Machine{"machine-id": "there"}},
		"copied": {says: "copy", spoil: func(t *testing.T, d *traced, _ map[string][]byte, _ []byte) {
			text, err := os.ReadFile(file(d))
			do(t, err)
			do(t, os.WriteFile(file(d)+".copy", text, 0o600))
			do(t, os.Rename(file(d)+".copy", file(d)))
		}},
		"damaged pairs": {says: "damaged pairs", spoil: func(_ *testing.T, d *traced, _ map[string][]byte, _ []byte) {
			delete(d.pairs, "r/x")
			d.pairs[diskDamage] = []byte("r/x")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &traced{memory: memory{pairs: map[string][]byte{}}, dir: t.TempDir()}
			g, first := bootFor(t, d)
			do(t, g.Commit([]crdt.KV{reserve(4096), {Key: "r/x", Value: []byte("1")}, {Key: "m/context", Value: []byte("claims")}}))
			oldPairs := maps.Clone(d.pairs)
			oldMark, err := os.ReadFile(file(d))
			do(t, err)
			do(t, g.Commit([]crdt.KV{{Key: "r/x", Value: []byte("2")}}))
			if name == "old mark" || strings.Contains(name, "counter") {
				do(t, g.Commit([]crdt.KV{reserve(8192)}))
			}
			if c.spoil != nil {
				c.spoil(t, d, oldPairs, oldMark)
			}
			machine := c.machine
			if machine == nil {
				machine = Machine{"machine-id": "here", "board": "only root can read it"}
			}
			_, second, err := bootStore(d, d.dir, machine)
			if err != nil || !strings.Contains(second.doubt, c.says) {
				t.Fatalf("doubt %q, %v; want %q", second.doubt, err, c.says)
			}
			if second.replica == first.replica || second.former != first.replica || second.epoch < first.epoch+doubtEpochs {
				t.Errorf("first %+v, then %+v", first, second)
			}
			if _, claims := d.pairs["m/context"]; claims {
				t.Error("it still claims what it may not have")
			}
			_, third, err := bootStore(d, d.dir, machine)
			if err != nil || third.doubt != "" || third.replica != second.replica || third.epoch != second.epoch+1 {
				t.Errorf("the boot after: %+v, %v", third, err)
			}
		})
	}
}

// What is no copy raises no alarm: a database that was moved away and begins
// anew, a machine of which more can be read now, a new name and address.
func TestNoFalseAlarm(t *testing.T) {
	d := &traced{memory: memory{pairs: map[string][]byte{}}, dir: t.TempDir()}
	_, first := bootFor(t, d)
	for _, machine := range []Machine{{}, {"machine-id": "here", "product_uuid": "x"}, {"product_uuid": "x"}, nil} {
		if _, b, err := bootStore(d, d.dir, machine); err != nil || b.doubt != "" || b.replica != first.replica {
			t.Errorf("%v: %+v, %v", machine, b, err)
		}
	}
	d.pairs = map[string][]byte{}
	if _, b, err := bootStore(d, d.dir, Machine{}); err != nil || b.doubt != "" || b.replica == first.replica || b.epoch != 6 {
		t.Errorf("with an empty database: %+v, %v", b, err)
	}
	if m := ThisMachine(); !maps.Equal(m, ThisMachine()) {
		t.Errorf("the machine is another one each time: %v", m)
	}
	if _, err := os.Stat("/etc/machine-id"); !errors.Is(err, fs.ErrNotExist) && len(ThisMachine()) == 0 {
		t.Error("nothing identifies this machine")
	}
}

// Somebody removes the mark under a running node: it is written again.
func TestMarkRemovedUnderARunningNode(t *testing.T) {
	d := &traced{memory: memory{pairs: map[string][]byte{}}, dir: t.TempDir()}
	left := filepath.Join(d.dir, "."+MarkFile+"-123")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	g, _ := bootFor(t, d)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a crash left is still there: %v", err)
	}
	if err := os.Remove(filepath.Join(d.dir, MarkFile)); err != nil {
		t.Fatal(err)
	}
	if err := g.mark.note(d.dir); err != nil {
		t.Fatal(err)
	}
	if _, b := bootFor(t, d); b.doubt != "" {
		t.Error(b.doubt)
	}
}
