package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"holon/runtime"
)

// Logs implements runtime.Runtime.
func (r *Runtime) Logs(ctx context.Context, id runtime.RunID, name string, opts runtime.LogOptions, w io.Writer) error {
	op := fmt.Sprintf("read log of %s/%s", id, name)
	_, c, err := r.find(op, id, name)
	if err != nil {
		return err
	}
	r.mu.Lock()
	newest, previous := c.newest, c.previous
	r.mu.Unlock()
	var dir string
	ended := func() bool { return true }
	switch {
	case opts.Previous && previous == nil:
		return &runtime.Error{Kind: runtime.NotFound, Op: op, Err: errors.New("there is no attempt before the newest")}
	case opts.Previous:
		dir = previous.dir
	case newest == nil:
		return &runtime.Error{Kind: runtime.NotFound, Op: op, Err: errors.New("the container has not been started")}
	default:
		dir = newest.dir
		ended = newest.hasEnded
	}
	err = readLog(ctx, dir, opts, w, nil, ended)
	if errors.Is(err, fs.ErrNotExist) {
		return &runtime.Error{Kind: runtime.NotFound, Op: op, Err: errors.New("the pod or the attempt is gone")}
	}
	if err != nil {
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
	}
	return nil
}

func (a *attempt) hasEnded() bool {
	select {
	case <-a.ended:
		return true
	default:
		return false
	}
}
