package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/apimachinery/pkg/util/httpstream/spdy"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
)

type execOptions struct {
	stdin, tty bool
	container  string
}

func newExecCommand(a *app) *cobra.Command {
	var o execOptions
	c := &cobra.Command{
		Use:   "exec [-it] POD [-c CONTAINER] -- COMMAND [ARG...]",
		Short: "Run a command in a container, whichever node runs it",
		Example: `  holon exec web-0 -- cat /etc/hostname
  holon exec -it deploy/web -- sh
  echo hello | holon exec -i web-0 -- cat`,
		ValidArgsFunction: a.completePods,
		RunE: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			if dash != 1 || len(args) < 2 {
				return usagef("expected POD -- COMMAND, such as 'holon exec web-0 -- ls'")
			}
			return a.exec(cmd.Context(), o, args[0], args[1:])
		},
	}
	f := c.Flags()
	f.BoolVarP(&o.stdin, "stdin", "i", false, "pass stdin on")
	f.BoolVarP(&o.tty, "tty", "t", false, "give the command a terminal")
	f.StringVarP(&o.container, "container", "c", "", "which container (default: the first)")
	return c
}

func (a *app) exec(ctx context.Context, o execOptions, podName string, command []string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	pod, err := a.onePod(ctx, c, podName)
	if err != nil {
		return err
	}
	container, err := a.pickContainer(pod, o.container)
	if err != nil {
		return err
	}
	if o.tty && !isTerminal(a.in) {
		say(a.err, "Unable to use a TTY - input is not a terminal\n")
		o.tty = false
	}
	q := url.Values{"container": {container}, "command": command, "stdout": {"true"}}
	if o.stdin {
		q.Set("stdin", "true")
	}
	streams := remotecommand.StreamOptions{Stdout: a.out}
	if o.tty {
		q.Set("tty", "true")
		streams.Tty = true
	} else {
		q.Set("stderr", "true")
		streams.Stderr = a.err
	}
	if o.stdin {
		streams.Stdin = a.in
	}
	u := c.base.JoinPath(mustBuiltin("pods").path(pod.Namespace, pod.Name), "exec")
	u.RawQuery = q.Encode()
	executor, err := c.executor(u)
	if err != nil {
		return err
	}
	if !o.tty {
		return c.execResult(executor.StreamWithContext(ctx, streams))
	}
	return withTerminal(ctx, func(ctx context.Context, sizes remotecommand.TerminalSizeQueue) error {
		streams.TerminalSizeQueue = sizes
		return c.execResult(executor.StreamWithContext(ctx, streams))
	})
}

func (c *client) execResult(err error) error {
	var exit utilexec.CodeExitError
	var upgrade *httpstream.UpgradeFailureError
	switch {
	case errors.As(err, &exit):
		return remoteExit{exit.Code}
	case errors.As(err, &upgrade):
		return upgrade.Cause
	case errors.As(err, new(*net.OpError)):
		return c.explain(err)
	}
	return err
}

// executor opens exec sessions: WebSocket first, then SPDY, as kubectl does. A
// unix socket is dialled by SPDY alone, which lets a transport of one's own do
// the dialling.
func (c *client) executor(u *url.URL) (remotecommand.Executor, error) {
	if c.socket != "" {
		upgrader, err := spdy.NewRoundTripperWithConfig(spdy.RoundTripperConfig{UpgradeTransport: c.http.Transport})
		if err != nil {
			return nil, err
		}
		return remotecommand.NewSPDYExecutorForTransports(upgrader, upgrader, http.MethodPost, u)
	}
	websocket, err := remotecommand.NewWebSocketExecutor(c.config, http.MethodGet, u.String())
	if err != nil {
		return nil, err
	}
	fallback, err := remotecommand.NewSPDYExecutor(c.config, http.MethodPost, u)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(websocket, fallback, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
}

// withTerminal runs fn with the terminal raw, and puts it back whatever happens.
func withTerminal(ctx context.Context, fn func(context.Context, remotecommand.TerminalSizeQueue) error) error {
	fd := int(os.Stdin.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return fmt.Errorf("cannot use the terminal: %w", err)
	}
	defer term.Restore(fd, before) //nolint:errcheck // nothing can be done about it
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	defer signal.Stop(changed)
	changed <- syscall.SIGWINCH // the size at the beginning
	return fn(ctx, &terminalSizes{ctx, fd, changed})
}

// terminalSizes is the terminal's size now and after each change.
type terminalSizes struct {
	ctx     context.Context
	fd      int
	changed <-chan os.Signal
}

func (s *terminalSizes) Next() *remotecommand.TerminalSize {
	for {
		select {
		case <-s.ctx.Done():
			return nil
		case <-s.changed:
			if w, h, err := term.GetSize(s.fd); err == nil {
				return &remotecommand.TerminalSize{Width: uint16(w), Height: uint16(h)}
			}
		}
	}
}
