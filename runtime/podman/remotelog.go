//go:build remote

package podman

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"holon/runtime"
)

// copyRemoteLog asks Podman for the log of one of its containers.
func (r *Runtime) copyRemoteLog(ctx context.Context, op, id string, opts runtime.LogOptions, w io.Writer) error {
	s, err := r.link.open(ctx)
	if err != nil {
		return err
	}
	err = streamLog(s, id, opts, w)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return failed(op, ctx.Err())
	case isTransport(err):
		return r.link.drop(s, err)
	}
	return classify(op, err)
}

func streamLog(ctx context.Context, id string, opts runtime.LogOptions, w io.Writer) error {
	o := &containers.LogOptions{
		Follow: ptr(opts.Follow), Timestamps: ptr(opts.Timestamps), Stdout: ptr(true), Stderr: ptr(true),
	}
	if opts.Tail >= 0 {
		o.Tail = ptr(strconv.Itoa(opts.Tail))
	}
	if opts.Since > 0 {
		o.Since = ptr(time.Now().Add(-opts.Since).Format(time.RFC3339Nano))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Unbuffered: with one sender the order of the two streams is kept.
	stdout, stderr := make(chan string), make(chan string)
	ended := make(chan error, 1)
	go func() { ended <- containers.Logs(ctx, id, o, stdout, stderr) }()
	out := lineWriter{w: w, stamped: opts.Timestamps}
	errs := lineWriter{w: w, stamped: opts.Timestamps}
	for {
		var broken error
		select {
		case piece := <-stdout:
			broken = out.add(piece)
		case piece := <-stderr:
			broken = errs.add(piece)
		case err := <-ended:
			return errors.Join(err, out.flush(), errs.flush())
		}
		if broken != nil {
			cancel()
			drain(stdout, stderr, ended)
			return broken
		}
	}
}

// drain lets a cancelled reader end.
func drain(stdout, stderr <-chan string, ended <-chan error) {
	for {
		select {
		case <-stdout:
		case <-stderr:
		case <-ended:
			return
		}
	}
}

// A lineWriter puts the lines of one stream together before they are written:
// conmon cuts long ones, and pieces of the other stream come in between.
type lineWriter struct {
	w       io.Writer
	stamped bool // each piece begins with a time stamp and a space
	line    []byte
}

func (l *lineWriter) add(piece string) error {
	if l.stamped && len(l.line) > 0 {
		_, piece, _ = strings.Cut(piece, " ")
	}
	l.line = append(l.line, piece...)
	if strings.HasSuffix(piece, "\n") || len(l.line) > lineMax {
		return l.flush()
	}
	return nil
}

func (l *lineWriter) flush() error {
	if len(l.line) == 0 {
		return nil
	}
	_, err := l.w.Write(l.line)
	l.line = l.line[:0]
	return err
}
