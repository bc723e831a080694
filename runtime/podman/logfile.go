package podman

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"

	"holon/runtime"
)

const (
	logChunk = 32 << 10
	// lineMax is where a line that does not end is written all the same.
	lineMax = 256 << 10
	// pieceMax bounds a line of the file. conmon's are of 8 KiB at most; longer
	// ones are none of its, such as the zeros that a power cut leaves.
	pieceMax = 64 << 10
)

// A logFile reads one attempt's log in conmon's format, lines of
//
//	2026-11-23T10:00:00.000000000+00:00 stdout F words
//
// where P instead of F marks a piece of a line that goes on in the next piece
// of the same stream. When conmon starts the file anew, under the same name,
// reopen goes on with the new one.
type logFile struct {
	path    string
	w       io.Writer
	stamped bool
	since   time.Time
	tail    int      // lines to keep back until stopTailing; negative: none
	kept    []string // at most tail

	file    *os.File
	rest    []byte // of a line that is not written whole yet; at most pieceMax
	overrun bool   // that line is longer
	streams [2]logLine
}

// logLine is a line of one stream whose end has not come yet.
type logLine struct {
	stamp string
	text  []byte
}

func newLogFile(path string, opts runtime.LogOptions, w io.Writer) *logFile {
	l := &logFile{path: path, w: w, stamped: opts.Timestamps, tail: opts.Tail}
	if opts.Since > 0 {
		l.since = time.Now().Add(-opts.Since)
	}
	return l
}

func (l *logFile) open() (err error) {
	l.file, err = os.Open(l.path)
	return err
}

func (l *logFile) close() {
	if l.file != nil {
		_ = l.file.Close()
	}
}

// read takes in what the file holds more than at the last read.
func (l *logFile) read() error {
	chunk := make([]byte, logChunk)
	for {
		n, err := l.file.Read(chunk)
		if err := l.take(chunk[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take takes in the next bytes of the file, wherever they end.
func (l *logFile) take(chunk []byte) error {
	for {
		line, next, whole := bytes.Cut(chunk, []byte("\n"))
		room := pieceMax - len(l.rest)
		l.overrun = l.overrun || len(line) > room
		l.rest = append(l.rest, line[:min(len(line), room)]...)
		if !whole {
			return nil
		}
		if !l.overrun {
			if err := l.piece(l.rest); err != nil {
				return err
			}
		}
		chunk, l.rest, l.overrun = next, l.rest[:0], false
	}
}

// reopen goes on with the file that now has the path, if it is another one. It
// is called at the end of the old one, which nobody writes any more.
func (l *logFile) reopen() error {
	now, err := os.Stat(l.path)
	if err != nil {
		return nil // removed: what is open is all
	}
	old, err := l.file.Stat()
	if err != nil || os.SameFile(now, old) {
		return err
	}
	if err := l.read(); err != nil { // what came before the change
		return err
	}
	l.close()
	l.rest, l.overrun = nil, false
	if err := l.open(); err != nil {
		return err
	}
	return l.read()
}

// piece takes one line of the file.
func (l *logFile) piece(raw []byte) error {
	f := bytes.SplitN(raw, []byte(" "), 4)
	if len(f) < 4 {
		return nil // not conmon's
	}
	var line *logLine
	switch string(f[1]) {
	case "stdout":
		line = &l.streams[0]
	case "stderr":
		line = &l.streams[1]
	default:
		return nil
	}
	if line.stamp == "" {
		line.stamp = string(f[0])
	}
	line.text = append(line.text, f[3]...)
	if string(f[2]) == "F" {
		line.text = append(line.text, '\n')
	} else if len(line.text) < lineMax {
		return nil
	}
	return l.emit(line)
}

// emit writes a line, or keeps it back as one of the last.
func (l *logFile) emit(line *logLine) error {
	stamp, text := line.stamp, string(line.text)
	line.stamp, line.text = "", line.text[:0]
	if !l.since.IsZero() {
		if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil && at.Before(l.since) {
			return nil
		}
	}
	if l.stamped {
		text = stamp + " " + text
	}
	if l.tail < 0 {
		_, err := io.WriteString(l.w, text)
		return err
	}
	if l.tail > 0 {
		if len(l.kept) == l.tail {
			l.kept = l.kept[1:]
		}
		l.kept = append(l.kept, text)
	}
	return nil
}

// stopTailing writes the lines that were kept back; from now on every line is
// written at once.
func (l *logFile) stopTailing() error {
	l.tail = -1
	kept := l.kept
	l.kept = nil
	for _, text := range kept {
		if _, err := io.WriteString(l.w, text); err != nil {
			return err
		}
	}
	return nil
}

// end writes what is left, also lines whose end never came.
func (l *logFile) end() error {
	for i := range l.streams {
		if len(l.streams[i].text) > 0 {
			if err := l.emit(&l.streams[i]); err != nil {
				return err
			}
		}
	}
	return l.stopTailing()
}
