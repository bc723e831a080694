package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"holon/runtime"
)

// Attach implements runtime.Runtime for output only, as the shim writes it to the log:
// a line is shown once it is whole. A program's standard input is /dev/null.
func (r *Runtime) Attach(ctx context.Context, id runtime.RunID, name string, opts runtime.AttachOptions) error {
	op := fmt.Sprintf("attach to %s/%s", id, name)
	_, c, err := r.find(op, id, name)
	if err != nil {
		return err
	}
	r.mu.Lock()
	a := c.newest
	runs := a != nil && a.state.Phase == running
	r.mu.Unlock()
	if !runs {
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: errors.New("the container does not run"), Next: "see its status and logs"}
	}
	if opts.Stdin != nil {
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: errors.New("the process runtime starts programs without standard input"), Next: "attach without -i, or use exec"}
	}
	err = readLog(ctx, a.dir, runtime.LogOptions{Follow: true}, orDiscard(opts.Stdout), orDiscard(opts.Stderr), a.hasEnded)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // gone with its pod
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
	}
	return nil
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
