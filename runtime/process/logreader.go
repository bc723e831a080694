package process

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"holon/runtime"
)

// logReader reads the log of one attempt, oldest record first.
type logReader struct {
	dir     string
	opts    runtime.LogOptions
	since   time.Time
	out     io.Writer
	errOut  io.Writer // what came on stderr; nil: to out
	skip    int       // lines not to show, for Tail
	file    *os.File  // the newest one, open for following
	pending []byte    // a record whose end is not written yet
	midline map[string]bool
}

// readLog shows a log and, if asked, follows it until ended says that nothing
// more will be written, or ctx ends.
func readLog(ctx context.Context, dir string, opts runtime.LogOptions, out, errOut io.Writer, ended func() bool) error {
	r := &logReader{dir: dir, opts: opts, out: out, errOut: errOut, midline: map[string]bool{}}
	if opts.Since > 0 {
		r.since = time.Now().Add(-opts.Since)
	}
	over := ended() // before the first read: what follows an end is complete
	old, current, err := openLogFiles(dir)
	if err != nil {
		return err
	}
	r.file = current
	defer func() { r.file.Close() }()
	if old != nil {
		defer old.Close()
	}
	if err := r.show(old, current); err != nil {
		return err
	}
	if !opts.Follow {
		return nil
	}
	// Inotify would do, but a user has 128 instances by default and this is
	// one per follower: a look at an open file is cheap enough.
	tick := time.NewTicker(followPoll)
	defer tick.Stop()
	for !over {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		over = ended()
		if err := r.catchUp(); err != nil {
			return err
		}
	}
	return nil
}

// openLogFiles opens the older file, nil if there is none, and the newest.
func openLogFiles(dir string) (old, current *os.File, err error) {
	for {
		if current, err = os.Open(filepath.Join(dir, logFile)); err != nil {
			return nil, nil, err
		}
		if old, err = os.Open(filepath.Join(dir, oldLogFile)); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, current, nil
			}
			current.Close()
			return nil, nil, err
		}
		a, err1 := old.Stat()
		b, err2 := current.Stat()
		if err1 == nil && err2 == nil && !os.SameFile(a, b) {
			return old, current, nil
		}
		old.Close() // the log was rotated between the two opens
		current.Close()
	}
}

// show writes what is in the files now.
func (r *logReader) show(old, current *os.File) error {
	files := []*os.File{current}
	if old != nil {
		files = []*os.File{old, current}
	}
	// Limit to what is there now, so that both passes see the same.
	limits := make([]int64, len(files))
	for i, f := range files {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		limits[i] = info.Size()
	}
	if r.opts.Tail >= 0 {
		lines := 0
		count := &logReader{since: r.since, out: io.Discard, midline: map[string]bool{}}
		for i, f := range files {
			n, err := count.records(io.NewSectionReader(f, 0, limits[i]))
			if err != nil {
				return err
			}
			lines += n
		}
		if count.unfinished() {
			lines++
		}
		r.skip = max(0, lines-r.opts.Tail)
	}
	for i, f := range files {
		if _, err := r.records(io.NewSectionReader(f, 0, limits[i])); err != nil {
			return err
		}
	}
	_, err := current.Seek(limits[len(limits)-1], io.SeekStart)
	return err
}

func (r *logReader) unfinished() bool { return r.midline["stdout"] || r.midline["stderr"] }

// catchUp writes what was written since, over rotations.
func (r *logReader) catchUp() error {
	for {
		if _, err := r.records(r.file); err != nil {
			return err
		}
		now, err := os.Open(filepath.Join(r.dir, logFile))
		if err != nil {
			return nil // between the steps of a rotation, or removed with its pod
		}
		a, err1 := r.file.Stat()
		b, err2 := now.Stat()
		if err1 != nil || err2 != nil || os.SameFile(a, b) {
			now.Close()
			return errors.Join(err1, err2)
		}
		// Rotated: the file we have is complete now.
		if _, err := r.records(r.file); err != nil {
			now.Close()
			return err
		}
		r.file.Close()
		r.file = now
	}
}

// records shows all complete records of src and returns how many lines ended.
func (r *logReader) records(src io.Reader) (lines int, err error) {
	in := bufio.NewReaderSize(src, 64<<10)
	out := bufio.NewWriterSize(r.out, 32<<10)
	outs := map[string]*bufio.Writer{"stdout": out, "stderr": out}
	if r.errOut != nil {
		outs["stderr"] = bufio.NewWriterSize(r.errOut, 32<<10)
	}
	flush := func() error { return errors.Join(out.Flush(), outs["stderr"].Flush()) }
	for {
		part, err := in.ReadSlice('\n')
		r.pending = append(r.pending, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return lines, flush()
		case err != nil:
			return lines, errors.Join(err, flush())
		}
		if r.record(r.pending, outs) {
			lines++
		}
		r.pending = r.pending[:0]
	}
}

// record shows one record and reports whether a line has ended with it.
func (r *logReader) record(record []byte, outs map[string]*bufio.Writer) bool {
	stamp, rest, ok1 := bytes.Cut(record, []byte{' '})
	stream, rest, ok2 := bytes.Cut(rest, []byte{' '})
	tag, text, ok3 := bytes.Cut(rest, []byte{' '})
	out := outs[string(stream)]
	if !ok1 || !ok2 || !ok3 || out == nil {
		return false // cut by a full disk or a power cut
	}
	if !r.since.IsZero() {
		at, err := time.Parse(time.RFC3339Nano, string(stamp))
		if err != nil || at.Before(r.since) {
			return false
		}
	}
	ends := string(tag) == "F"
	begins := !r.midline[string(stream)]
	r.midline[string(stream)] = !ends
	if r.skip > 0 {
		if ends {
			r.skip--
		}
		return ends
	}
	if r.opts.Timestamps && begins {
		out.Write(stamp)
		out.WriteByte(' ')
	}
	if !ends {
		text = bytes.TrimSuffix(text, []byte{'\n'})
	}
	out.Write(text)
	return ends
}
