//go:build remote

package podman

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/api/handlers"
	"github.com/containers/podman/v5/pkg/bindings/containers"
	"holon/runtime"
)

// exitPoll and exitPolls bound the wait for the exit code after the streams
// have ended.
const (
	exitPoll  = 10 * time.Millisecond
	exitPolls = 300
)

// Exec implements runtime.Runtime. A Stdin that blocks for ever keeps one
// goroutine until it returns.
func (r *Runtime) Exec(ctx context.Context, run runtime.RunID, container string, opts runtime.ExecOptions) (int, error) {
	op := fmt.Sprintf("exec in container %s of pod %s", container, podName(run))
	if len(opts.Command) == 0 {
		return 0, badSpec(op, errors.New("no command"))
	}
	v, err := r.view(ctx, run)
	if err != nil {
		return 0, err
	}
	if v == nil || v.newest(container) == nil {
		return 0, notFound(op, "it is not there")
	}
	a := v.newest(container)
	if a.state != runtime.Running {
		return 0, failed(op, fmt.Errorf("the container is %s, not running", a.state))
	}
	var id string
	err = r.change(ctx, op, func(ctx context.Context) (err error) {
		id, err = containers.ExecCreate(ctx, a.ID, execConfig(opts))
		return err
	})
	if err != nil {
		return 0, err
	}
	s, err := r.link.open(ctx)
	if err != nil {
		return 0, err
	}
	err = runExec(s, id, opts)
	if ctx.Err() != nil {
		r.killExec(id)
		return 0, failed(op, ctx.Err())
	}
	if code, ok := exitCodeOf(err); ok {
		return code, nil
	}
	if err != nil {
		if isTransport(err) {
			return 0, r.link.drop(s, err)
		}
		return 0, classify(op, err)
	}
	return r.exitCode(ctx, op, id)
}

func execConfig(opts runtime.ExecOptions) *handlers.ExecCreateConfig {
	c := new(handlers.ExecCreateConfig)
	c.Cmd = opts.Command
	c.Tty = opts.TTY
	c.AttachStdin = opts.Stdin != nil
	// Always attached: the end of the streams says that the command ended.
	c.AttachStdout, c.AttachStderr = true, true
	return c
}

// runExec starts the exec session and carries its streams until it ends or ctx does.
func runExec(ctx context.Context, id string, opts runtime.ExecOptions) error {
	// Podman hands the size to conmon before it lets the command begin. Conmon sets
	// it once it has the terminal, which the OCI runtime sends just before it runs
	// the command: on a busy machine one command in a hundred looks too early. The
	// API has no earlier way; SIGWINCH follows.
	start := handlers.ExecStartConfig{Tty: opts.TTY, Height: opts.Size.Height, Width: opts.Size.Width}
	body, err := json.Marshal(start)
	if err != nil {
		return err
	}
	stream, err := upgrade(ctx, "/exec/%s/start", id, nil, bytes.NewReader(body))
	if err != nil {
		return err
	}
	return carry(ctx, stream, opts, func(ctx context.Context, size runtime.Size) error {
		return containers.ResizeExecTTY(ctx, id, &containers.ResizeExecTTYOptions{Height: ptr(int(size.Height)), Width: ptr(int(size.Width))})
	})
}

var notExecutable = regexp.MustCompile(`permission denied|exec format error|is a directory`)

// exitCodeOf gives the code that a shell would for a command that is not there
// (127) or cannot be executed (126).
func exitCodeOf(err error) (int, bool) {
	if err == nil || classify("", err).Kind != runtime.BadCommand {
		return 0, false
	}
	if notExecutable.MatchString(err.Error()) {
		return 126, true
	}
	return 127, true
}

// exitCode asks for the code of a session whose streams have ended; Podman
// writes it a moment later.
func (r *Runtime) exitCode(ctx context.Context, op, id string) (int, error) {
	for range exitPolls {
		var s *define.InspectExecSession
		err := r.look(ctx, op, func(ctx context.Context) (err error) {
			s, err = containers.ExecInspect(ctx, id, nil)
			return err
		})
		if err != nil {
			return 0, err
		}
		if !s.Running {
			return s.ExitCode, nil
		}
		select {
		case <-time.After(exitPoll):
		case <-ctx.Done():
			r.killExec(id)
			return 0, failed(op, ctx.Err())
		}
	}
	return 0, failed(op, errors.New("the command closed its streams and runs on"))
}
