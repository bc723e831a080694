package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a process of the bench, in a process group of its own so that an
// interrupt at the terminal reaches it only through the bench, and dead when the
// bench is.
type child struct {
	cmd  *exec.Cmd
	log  tail
	done chan struct{}
}

func startChild(dir, name string, args []string) (*child, error) {
	return startTalking(dir, name, args, nil)
}

// startTalking is startChild for a process whose output is not a log.
func startTalking(dir, name string, args []string, out io.Writer) (*child, error) {
	c := &child{cmd: exec.Command(name, args...), done: make(chan struct{})}
	c.cmd.Dir = dir
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	if out != nil {
		c.cmd.Stdout = out
	}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process
		_ = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// kill ends the process at once and waits for it.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

// stop ends the process politely, then at once.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(5 * time.Second):
		c.kill()
	}
}

// ended says why a process is not there any more; nil if it is.
func (c *child) ended() error {
	select {
	case <-c.done:
		return fmt.Errorf("%s ended: %s", c.cmd.Path, c.log.String())
	default:
		return nil
	}
}

// tail keeps the end of what a process says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - tailBytes; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}

// await looks again and again until look returns nil.
func await(ctx context.Context, look func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := look()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; at last: %w", ctx.Err(), err)
		case <-time.After(lookEvery):
		}
	}
}

const (
	patience  = 2 * time.Minute // until a measurement counts as failed
	lookEvery = 10 * time.Millisecond
)

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// withDir runs body in a directory that is removed afterwards.
func withDir(body func(dir string) error) error { return withDirIn("", body) }

// memoryDir is a file system in memory.
const memoryDir = "/dev/shm"

// withDirIn is withDir under a parent; empty: where temporary files go.
func withDirIn(parent string, body func(dir string) error) error {
	dir, err := os.MkdirTemp(parent, "holon-bench-")
	if err != nil {
		return err
	}
	return errors.Join(body(dir), os.RemoveAll(dir))
}

// diskBytes is what the files under dir occupy on the disk: Badger's are sparse.
func diskBytes(dir string) (float64, error) {
	total := 0.0
	err := walkFiles(dir, func(info os.FileInfo) {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			total += float64(st.Blocks) * 512
		}
	})
	return total, err
}

// output runs a command and returns what it prints; its errors say what it says.
func output(cmd *exec.Cmd) (string, error) {
	var problem bytes.Buffer
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, &problem)
	}
	return string(out), nil
}
