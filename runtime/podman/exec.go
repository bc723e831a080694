//go:build remote

package podman

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/api/handlers"
	"github.com/containers/podman/v5/pkg/bindings"
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
	err = attach(s, id, opts)
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

// attach starts the exec session and carries its streams until it ends or ctx
// does. It does by hand what containers.ExecStartAndAttach does, because that
// puts the terminal of this process into raw mode, swaps the connection's
// transport under other callers, and knows no resize but SIGWINCH.
func attach(ctx context.Context, id string, opts runtime.ExecOptions) error {
	conn, err := bindings.GetClient(ctx)
	if err != nil {
		return err
	}
	// Podman hands the size to conmon before it lets the command begin. Conmon sets
	// it once it has the terminal, which the OCI runtime sends just before it runs
	// the command: on a busy machine one command in a hundred looks too early. The
	// API has no earlier way; SIGWINCH follows.
	start := handlers.ExecStartConfig{Tty: opts.TTY, Height: opts.Size.Height, Width: opts.Size.Width}
	body, err := json.Marshal(start)
	if err != nil {
		return err
	}
	headers := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"tcp"}, "Content-Type": {"application/json"}}
	resp, err := conn.DoRequest(ctx, bytes.NewReader(body), http.MethodPost, "/exec/%s/start", nil, headers, id)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		if err := resp.Process(nil); err != nil {
			return err
		}
		return fmt.Errorf("Podman answered %s instead of switching protocols", resp.Status)
	}
	stream, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		return errors.New("the connection to Podman carries no input")
	}
	defer context.AfterFunc(ctx, func() { _ = stream.Close() })()

	over, done := context.WithCancel(ctx)
	var resizing sync.WaitGroup
	defer resizing.Wait()
	defer done()
	if opts.Stdin != nil {
		go sendInput(stream, opts.Stdin)
	}
	if opts.TTY && opts.Resize != nil {
		resizing.Go(func() { resize(over, id, opts.Resize) })
	}
	if opts.TTY {
		_, err = io.Copy(orDiscard(opts.Stdout), stream)
		return err
	}
	return demultiplex(stream, orDiscard(opts.Stdout), orDiscard(opts.Stderr))
}

// sendInput copies in to the command and then ends its input.
func sendInput(stream io.Writer, in io.Reader) {
	if _, err := io.Copy(stream, in); err != nil {
		return // the command has ended, or in broke: nothing more to say
	}
	if half, ok := stream.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// resize passes on terminal sizes until ctx ends. A size that is refused (the
// command has just ended, or has not begun) is tried once more.
func resize(ctx context.Context, id string, sizes <-chan runtime.Size) {
	for {
		select {
		case <-ctx.Done():
			return
		case size, open := <-sizes:
			if !open {
				return
			}
			o := &containers.ResizeExecTTYOptions{Height: ptr(int(size.Height)), Width: ptr(int(size.Width))}
			if err := containers.ResizeExecTTY(ctx, id, o); err != nil && ctx.Err() == nil {
				_ = containers.ResizeExecTTY(ctx, id, o)
			}
		}
	}
}

// demultiplex splits Podman's frames into the two outputs.
func demultiplex(stream io.Reader, stdout, stderr io.Writer) error {
	buffer := make([]byte, 32<<10)
	for {
		channel, size, err := containers.DemuxHeader(stream, buffer)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		frame, err := containers.DemuxFrame(stream, buffer, size)
		if err != nil {
			return err
		}
		switch channel {
		case 1:
			_, err = stdout.Write(frame)
		case 2:
			_, err = stderr.Write(frame)
		case 3:
			err = errors.New(string(frame))
		}
		if err != nil {
			return err
		}
	}
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

var notExecutable = regexp.MustCompile(`permission denied|exec format error|is a directory`)

// exitCodeOf gives the code that a shell would for a command that is not there
// (127) or cannot be executed (126).
func exitCodeOf(err error) (int, bool) {
	if err == nil || classify("", err).Kind != runtime.BadSpec {
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
