//go:build remote

package podman

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"holon/runtime"
)

// Attach implements runtime.Runtime. A Stdin that blocks for ever keeps one goroutine
// until it returns. Who ends Stdin ends the container's input, but for a terminal.
func (r *Runtime) Attach(ctx context.Context, run runtime.RunID, container string, opts runtime.AttachOptions) error {
	op := fmt.Sprintf("attach to container %s of pod %s", container, podName(run))
	v, err := r.view(ctx, run)
	if err != nil {
		return err
	}
	if v == nil || v.newest(container) == nil {
		return notFound(op, "it is not there")
	}
	a := v.newest(container)
	if a.state != runtime.Running {
		return failed(op, fmt.Errorf("the container is %s, not running", a.state))
	}
	data, err := r.inspect(ctx, op, a.ID)
	if err != nil {
		return err
	}
	if opts.Stdin != nil && !data.Config.OpenStdin {
		return failed(op, errors.New("the container was started without standard input"))
	}
	s, err := r.link.open(ctx)
	if err != nil {
		return err
	}
	err = attachTo(s, a.ID, data.Config.Tty, opts)
	switch {
	case err == nil, ctx.Err() != nil:
		return nil
	case isTransport(err):
		return r.link.drop(s, err)
	}
	return classify(op, err)
}

func attachTo(ctx context.Context, id string, tty bool, opts runtime.AttachOptions) error {
	resize := func(ctx context.Context, size runtime.Size) error {
		return containers.ResizeContainerTTY(ctx, id, &containers.ResizeTTYOptions{Height: ptr(int(size.Height)), Width: ptr(int(size.Width))})
	}
	if tty && opts.Size != (runtime.Size{}) {
		if err := resize(ctx, opts.Size); err != nil {
			return err
		}
	}
	stream, err := upgrade(ctx, "/containers/%s/attach", id, url.Values{
		"stream": {"true"}, "stdout": {"true"}, "stderr": {strconv.FormatBool(!tty)}, "stdin": {strconv.FormatBool(opts.Stdin != nil)},
		"detachKeys": {""}, // none: input may hold any bytes
	}, nil)
	if err != nil {
		return err
	}
	return carry(ctx, stream, runtime.ExecOptions{TTY: tty, Stdin: opts.Stdin, Stdout: opts.Stdout, Stderr: opts.Stderr, Resize: opts.Resize}, resize)
}
