package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"holon/runtime"
)

// Exec implements runtime.Runtime. The command is the leader of a session of
// its own, all of which is killed when ctx ends. A Stdin whose Read blocks
// after the command has ended keeps one goroutine until that Read returns.
func (r *Runtime) Exec(ctx context.Context, id runtime.RunID, name string, opts runtime.ExecOptions) (int, error) {
	op := fmt.Sprintf("exec in %s/%s", id, name)
	if len(opts.Command) == 0 || opts.Command[0] == "" {
		return 0, &runtime.Error{Kind: runtime.BadSpec, Op: op, Err: errors.New("there is no command")}
	}
	_, c, err := r.find(op, id, name)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	a := c.newest
	runs := a != nil && a.state.Phase == running
	r.mu.Unlock()
	if !runs {
		return 0, &runtime.Error{Kind: runtime.Failed, Op: op, Err: errors.New("the container does not run"), Next: "see its status and logs"}
	}
	code, err := r.exec(ctx, a, opts)
	if err != nil {
		var e *runtime.Error
		if !errors.As(err, &e) {
			err = &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
		}
	}
	return code, err
}

func (r *Runtime) exec(ctx context.Context, a *attempt, opts runtime.ExecOptions) (int, error) {
	trouble, says, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer trouble.Close()
	args := append([]string{}, r.cfg.Shim[1:]...)
	args = append(args, "exec", a.dir, "--")
	cmd := exec.CommandContext(ctx, r.cfg.Shim[0], append(args, opts.Command...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + pathOrDefault()}
	cmd.ExtraFiles = []*os.File{says}
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { killSession(cmd.Process.Pid); return nil }
	cmd.WaitDelay = drainTimeout // a descendant may hold the streams open
	if opts.TTY {
		err = execTTY(cmd, a, opts, says)
	} else {
		err = execPipes(cmd, a, opts, says)
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	// The write end is closed: by us, and by exec or exit in the child.
	if words, _ := io.ReadAll(io.LimitReader(trouble, shimNotesBytesMax)); len(words) > 0 {
		return 0, errors.New(string(words))
	}
	var exit *exec.ExitError
	if err == nil || errors.As(err, &exit) || errors.Is(err, exec.ErrWaitDelay) {
		return exitCode(unix.WaitStatus(cmd.ProcessState.Sys().(syscall.WaitStatus))), nil
	}
	return 0, err
}

// execPipes runs cmd with its three streams apart. Stdin has a pipe of our
// own, so that one which never ends does not hold up the command's end.
func execPipes(cmd *exec.Cmd, a *attempt, opts runtime.ExecOptions, says *os.File) error {
	cmd.Stdout, cmd.Stderr = opts.Stdout, opts.Stderr
	var in io.WriteCloser
	if opts.Stdin != nil {
		var err error
		if in, err = cmd.StdinPipe(); err != nil {
			says.Close()
			return err
		}
	}
	err := cmd.Start()
	says.Close()
	if err != nil {
		return err
	}
	if in != nil {
		go func() {
			io.Copy(in, opts.Stdin) // ends when the pipe breaks or Stdin ends
			in.Close()
		}()
	}
	return waitWith(cmd, a)
}

// waitWith waits for a started command, which ends with its container.
func waitWith(cmd *exec.Cmd, a *attempt) error {
	over := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-a.ended:
			killSession(cmd.Process.Pid) // its number is not given again while it has members
		case <-over:
		}
	})
	err := cmd.Wait()
	close(over)
	watch.Wait()
	return err
}

// execTTY runs cmd on a terminal of its own.
func execTTY(cmd *exec.Cmd, a *attempt, opts runtime.ExecOptions, says *os.File) error {
	master, slave, err := pty.Open()
	if err != nil {
		says.Close()
		return fmt.Errorf("open a terminal: %w", err)
	}
	defer master.Close()
	if opts.Size != (runtime.Size{}) {
		setSize(master, opts.Size)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr.Setctty = true
	cmd.Env = append(cmd.Env, "TERM=xterm")
	err = cmd.Start()
	says.Close()
	slave.Close()
	if err != nil {
		return err
	}
	over := make(chan struct{})
	var output, input sync.WaitGroup
	output.Go(func() {
		io.Copy(orDiscard(opts.Stdout), master) // ends with EIO when the last user of the terminal is gone
	})
	input.Go(func() { followSize(master, opts.Resize, over) })
	if opts.Stdin != nil {
		go func() {
			if _, err := io.Copy(master, opts.Stdin); err == nil {
				master.Write([]byte{4}) // end of file, as typed
			}
		}()
	}
	err = waitWith(cmd, a)
	close(over)
	input.Wait()
	drained := make(chan struct{})
	go func() { output.Wait(); close(drained) }()
	waitOr(drained, drainTimeout)
	master.Close() // ends a copy that a lost descendant would hold up
	<-drained
	return err
}

func followSize(terminal *os.File, sizes <-chan runtime.Size, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case s, ok := <-sizes:
			if !ok {
				return
			}
			setSize(terminal, s)
		}
	}
}

func setSize(terminal *os.File, s runtime.Size) {
	pty.Setsize(terminal, &pty.Winsize{Rows: s.Height, Cols: s.Width}) // fails only on what is no terminal
}
