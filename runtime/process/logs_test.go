package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holon/runtime"
)

// writeLog runs a stream of chunks through the shim's writer into dir.
func writeLog(t testing.TB, dir string, max int64, chunks []string) *logWriter {
	t.Helper()
	w, err := openLog(dir, max)
	if err != nil {
		t.Fatal(err)
	}
	r, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { w.copy("stdout", r); close(done) }()
	for _, c := range chunks {
		if _, err := in.WriteString(c); err != nil {
			t.Fatal(err)
		}
	}
	in.Close()
	<-done
	return w
}

func readAll(t testing.TB, dir string, opts runtime.LogOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := readLog(ctx, dir, opts, &b, nil, func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What is written comes back byte for byte, whatever the chunks and the length
// of lines; a tail is that of the whole.
func TestLogRoundTrip(t *testing.T) {
	root := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		dir := filepath.Join(root, fmt.Sprint(n))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		line := rapid.Custom(func(rt *rapid.T) string {
			if rapid.IntRange(0, 9).Draw(rt, "long") == 0 {
				return strings.Repeat("long", rapid.IntRange(0, 3*logLineBytesMax/4).Draw(rt, "length")) + "\n"
			}
			return rapid.StringMatching(`[a-z P\r\x00]{0,20}\n?`).Draw(rt, "line")
		})
		chunks := rapid.SliceOfN(line, 0, 20).Draw(rt, "chunks")
		writeLog(t, dir, 1<<30, chunks).close()
		want := strings.Join(chunks, "")
		if got := readAll(t, dir, runtime.LogOptions{Tail: -1}); got != want {
			rt.Fatalf("wrote %q, read %q", want, got)
		}
		lines := strings.SplitAfter(want, "\n")
		if lines[len(lines)-1] == "" {
			lines = lines[:len(lines)-1]
		}
		tail := rapid.IntRange(0, 25).Draw(rt, "tail")
		wantTail := strings.Join(lines[max(0, len(lines)-tail):], "")
		if got := readAll(t, dir, runtime.LogOptions{Tail: tail}); got != wantTail {
			rt.Fatalf("tail %d of %q is %q", tail, want, got)
		}
	})
}

// Rotation loses only the oldest, and never holds more than two files.
func TestLogRotationIsBounded(t *testing.T) {
	dir := t.TempDir()
	var chunks []string
	for i := range 5000 {
		chunks = append(chunks, fmt.Sprintf("line %d\n", i))
	}
	const max = 20 << 10
	writeLog(t, dir, max, chunks).close()
	files, _ := filepath.Glob(filepath.Join(dir, logFile+"*"))
	var size int64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if len(files) != 2 || size > 2*(max+logWriteBytes) {
		t.Errorf("%d files with %d bytes", len(files), size)
	}
	got := readAll(t, dir, runtime.LogOptions{Tail: -1})
	if !strings.HasSuffix(strings.Join(chunks, ""), got) || len(got) < max/8 {
		t.Errorf("what is left is not the end of the log: %.60q...", got)
	}
}

// A follower misses nothing over a rotation, even while none of its files is
// there for a moment.
func TestFollowOverRotation(t *testing.T) {
	dir := t.TempDir()
	w, err := openLog(dir, 500)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	over := make(chan struct{})
	begun := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		first := true
		done <- readLog(ctx, dir, runtime.LogOptions{Follow: true, Tail: -1}, &got, nil, func() bool {
			if first {
				close(begun)
				first = false
			}
			select {
			case <-over:
				return true
			default:
				return false
			}
		})
	}()
	<-begun
	var want strings.Builder
	for i := range 40 { // about 3 s, with a rotation every 12 lines or so
		text := fmt.Sprintf("line %d\n", i)
		want.WriteString(text)
		w.write([]byte(time.Now().UTC().Format(time.RFC3339Nano) + " stdout F " + text))
		time.Sleep(followPoll / 3) // a writer slower than the poll: what is promised
	}
	close(over)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got.String() != want.String() {
		t.Errorf("followed %q", got.String())
	}
}

// Records torn by a full disk or a power cut do not stop a reader.
func TestTornRecords(t *testing.T) {
	dir := t.TempDir()
	text := "2026-01-01T00:00:00Z stdout F one\ngarbage\n\n2026-01-01T00:00:01Z stdout F two\n2026-01-01T00:00:02Z std"
	if err := os.WriteFile(filepath.Join(dir, logFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, dir, runtime.LogOptions{Tail: -1}); got != "one\ntwo\n" {
		t.Errorf("read %q", got)
	}
	if got := readAll(t, dir, runtime.LogOptions{Tail: 1, Timestamps: true}); got != "2026-01-01T00:00:01Z two\n" {
		t.Errorf("read %q", got)
	}
	if got := readAll(t, dir, runtime.LogOptions{Tail: -1, Since: time.Minute}); got != "" {
		t.Errorf("read %q", got)
	}
}
