package podman

import (
	"os"
	"path/filepath"
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
