package podman

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holon/runtime"
)

const sampleLog = `2026-11-23T10:00:00.100000000+00:00 stdout F one
2026-11-23T10:00:00.200000000+00:00 stdout P tw
2026-11-23T10:00:00.250000000+00:00 stderr F between
2026-11-23T10:00:00.300000000+00:00 stdout F o
not a line of conmon
2026-11-23T10:00:01.000000000+00:00 stdout F 
2026-11-23T10:00:02.000000000+00:00 stdout P three`

func readSample(t *testing.T, opts runtime.LogOptions) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ctr.log")
	if err := os.WriteFile(path, []byte(sampleLog+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	l := newLogFile(path, opts, &b)
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if err := l.read(); err != nil {
		t.Fatal(err)
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLogFileJoinsPieces(t *testing.T) {
	for want, opts := range map[string]runtime.LogOptions{
		"one\nbetween\ntwo\n\nthree": {Tail: -1},
		"\nthree":                    {Tail: 2},
		"":                           {Tail: 0},
		"2026-11-23T10:00:02.000000000+00:00 three": {Tail: 1, Timestamps: true},
	} {
		if got := readSample(t, opts); got != want {
			t.Errorf("%+v: got %q, want %q", opts, got, want)
		}
	}
	if got := readSample(t, runtime.LogOptions{Tail: -1, Since: time.Nanosecond}); got != "" {
		t.Errorf("since now: %q", got)
	}
}

// A log that is started anew while it is followed goes on without a hole.
func TestLogFileFollowsANewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	line := func(s string) []byte { return []byte("2026-11-23T10:00:00.1+00:00 stdout F " + s + "\n") }
	write := func(path string, b []byte) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	write(path, line("1"))
	var b strings.Builder
	l := newLogFile(path, runtime.LogOptions{Tail: -1}, &b)
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	defer l.close()
	step := func() {
		t.Helper()
		if err := l.read(); err != nil {
			t.Fatal(err)
		}
		if err := l.reopen(); err != nil {
			t.Fatal(err)
		}
	}
	step()
	write(path, line("2"))
	write(path+".tmp", line("3"))
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
	step()
	half := line("4")
	write(path, half[:10])
	step()
	write(path, half[10:])
	step()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	step()
	if b.String() != "1\n2\n3\n4\n" {
		t.Errorf("read %q", b.String())
	}
}

// FuzzLogFile: whatever is in a log, and wherever its reads end, the same is shown,
// no more than there is, and nothing but pieceMax and a line of each stream is held.
func FuzzLogFile(f *testing.F) {
	f.Add([]byte(sampleLog), uint16(7), true, -1)
	f.Add([]byte(sampleLog+"\n"), uint16(1), false, 2)
	f.Add([]byte("a  P b\n stdout  \n"+strings.Repeat("\x00", pieceMax+1)+"\n2 stdout F x\n"), uint16(500), true, -1)
	f.Add([]byte(strings.Repeat("2 stdout P "+strings.Repeat("x", pieceMax-20)+"\n", 6)), uint16(9999), false, -1)
	f.Fuzz(func(t *testing.T, log []byte, size uint16, stamped bool, tail int) {
		read := func(size int) string {
			var out strings.Builder
			l := newLogFile("", runtime.LogOptions{Tail: tail, Timestamps: stamped}, &out)
			for chunk := range slices.Chunk(log, size) {
				if err := l.take(chunk); err != nil {
					t.Fatal(err)
				}
				if len(l.rest) > pieceMax {
					t.Fatalf("%d bytes of a line are held", len(l.rest))
				}
				for _, s := range l.streams {
					if len(s.text) >= lineMax || len(s.stamp) > pieceMax {
						t.Fatalf("%d bytes of a stream are held", len(s.text))
					}
				}
			}
			if err := l.end(); err != nil {
				t.Fatal(err)
			}
			return out.String()
		}
		whole := read(max(len(log), 1))
		if got := read(1 + int(size)); got != whole {
			t.Fatalf("in reads of %d bytes: %q, at once: %q", 1+int(size), got, whole)
		}
		if len(whole) > len(log)+1 {
			t.Fatalf("%d bytes became %d", len(log), len(whole))
		}
	})
}

// A line of no end, as a power cut leaves it, costs nothing and hides nothing.
func TestLogFilePassesOverGarbage(t *testing.T) {
	var out strings.Builder
	l := newLogFile("", runtime.LogOptions{Tail: -1}, &out)
	for range 100 {
		if err := l.take(make([]byte, logChunk)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.take([]byte("\n2026-11-23T10:00:00.1+00:00 stdout F words\n")); err != nil {
		t.Fatal(err)
	}
	if out.String() != "words\n" || cap(l.rest) > 2*pieceMax {
		t.Errorf("%q, with a buffer of %d", out.String(), cap(l.rest))
	}
}
