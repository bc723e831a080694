package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// logWriter writes the two streams of a program into one log in the format of
// the Kubernetes CRI, "TIME STREAM TAG TEXT\n", where tag P marks a part of a
// line that goes on in the stream's next record, and F its end. A file that
// would exceed max is renamed to log.1, replacing the one before.
type logWriter struct {
	dir string
	max int64

	mu   sync.Mutex // guards what follows
	file *os.File
	size int64
	lost int64  // bytes that could not be written
	why  error  // the first reason
	tail []byte // the last words, to explain an exit
}

func openLog(dir string, max int64) (*logWriter, error) {
	f, err := os.OpenFile(filepath.Join(dir, logFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &logWriter{dir: dir, max: max, file: f}, nil
}

// copy writes a stream to the log until its end. The program is never held up
// by a log that cannot be written: such output is counted as lost.
func (w *logWriter) copy(stream string, r *os.File) {
	defer r.Close()
	buf := make([]byte, logLineBytesMax)
	held := 0 // bytes of an unfinished line at the start of buf
	var out bytes.Buffer
	for {
		n, err := r.Read(buf[held:])
		text := buf[:held+n]
		out.Reset()
		prefix := time.Now().UTC().Format(time.RFC3339Nano) + " " + stream
		for {
			line, rest, found := bytes.Cut(text, []byte{'\n'})
			if !found {
				break
			}
			fmt.Fprintf(&out, "%s F %s\n", prefix, line)
			text = rest
			if out.Len() >= logWriteBytes {
				w.write(out.Bytes())
				out.Reset()
			}
		}
		if len(text) == len(buf) || (err != nil && len(text) > 0) {
			fmt.Fprintf(&out, "%s P %s\n", prefix, text)
			text = nil
		}
		held = copy(buf, text)
		if out.Len() > 0 {
			w.write(out.Bytes())
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				w.write(fmt.Appendf(nil, "%s F holon: %s cannot be read: %v\n", prefix, stream, err))
			}
			return
		}
	}
}

func (w *logWriter) write(records []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(records) >= outputTailBytes {
		w.tail = append(w.tail[:0], records[len(records)-outputTailBytes:]...)
	} else {
		w.tail = append(w.tail, records...)
		w.tail = append(w.tail[:0], w.tail[max(0, len(w.tail)-outputTailBytes):]...)
	}
	if w.size > 0 && w.size+int64(len(records)) > w.max {
		if err := w.rotate(); err != nil {
			w.lose(len(records), err)
			return
		}
	}
	n, err := w.file.Write(records)
	w.size += int64(n)
	if err != nil {
		w.lose(len(records)-n, err)
	}
}

func (w *logWriter) lose(n int, err error) {
	w.lost += int64(n)
	if w.why == nil {
		w.why = err
	}
}

func (w *logWriter) rotate() error {
	path := filepath.Join(w.dir, logFile)
	if err := os.Rename(path, filepath.Join(w.dir, oldLogFile)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	w.file.Close()
	w.file, w.size = f, 0
	return nil
}

// tailText returns the last output, with the records' prefixes.
func (w *logWriter) tailText() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.tail)
}

// close returns a sentence if output was lost.
func (w *logWriter) close() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.file.Close()
	if w.lost == 0 {
		return ""
	}
	return fmt.Sprintf("%d bytes of its log are lost: %v", w.lost, w.why)
}
