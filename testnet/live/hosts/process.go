package hosts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	lookEvery = 10 * time.Millisecond
	// pipeWait is how long a command's children may keep its output open.
	pipeWait = time.Second
	// lastWords is how much of a log an error quotes.
	lastWords = 2000
)

// process is a program in a host, or a host's first one.
type process struct {
	what  string
	log   string
	pid   int
	self  *os.Process   // by pidfd, so that it is this process that is signalled
	ended chan struct{} // closed when it has ended and was waited for
}

func (p *process) id() string { return strconv.Itoa(p.pid) }

func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// bear starts the first process of new namespaces. It only buries the dead. The
// kernel ends it when this program ends (or the thread that started it, which Go
// lets live unless a goroutine ends that has locked it).
func bear(ctx context.Context, what, dir string) (*process, error) {
	// A tmpfs over /run, empty as after a boot: what Podman, netavark and iptables
	// keep there is shared by all of a machine.
	const script = `mount --make-rprivate / && mount -t proc proc /proc && mount -t tmpfs tmpfs /run &&
PATH=$PATH:/usr/libexec/podman:/usr/lib/podman exec catatonit -P`
	log := filepath.Join(dir, "boot.log")
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL, Setsid: true,
	}
	p, err := begin(cmd, what, log)
	if err != nil {
		return nil, err
	}
	p.pid, p.self = cmd.Process.Pid, cmd.Process
	ready := func() error {
		name, err := os.ReadFile(filepath.Join("/proc", p.id(), "comm"))
		if err == nil && strings.TrimSpace(string(name)) != "catatonit" {
			return errors.New("its mounts are not made yet")
		}
		return err
	}
	if err := p.await(ctx, ready); err != nil {
		return nil, errors.Join(err, p.kill(context.WithoutCancel(ctx)))
	}
	return p, nil
}

// begin starts a command that writes to a log.
func begin(cmd *exec.Cmd, what, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w; 'make deps' installs what is missing", what, err)
	}
	p := &process{what: what, log: log, ended: make(chan struct{})}
	go func() { // ends with the process, which kill waits for
		_ = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// await looks again and again until the process is ready, or says why it is not.
func (p *process) await(ctx context.Context, ready func() error) error {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended: %s; all of it is in %s", p.what, lastOf(p.log), p.log)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %w; see %s", p.what, ctx.Err(), err, p.log)
		case <-time.After(lookEvery):
		}
	}
}

// lastOf is the end of a log.
func lastOf(log string) string {
	text, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-lastWords):]))
}

func (p *process) kill(ctx context.Context) error { return p.end(ctx, syscall.SIGKILL) }

// end signals the process and waits until it is gone; one that has ended is fine.
func (p *process) end(ctx context.Context, signal os.Signal) error {
	if !p.running() {
		return nil
	}
	if err := p.self.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%v to %s: %w", signal, p.what, err)
	}
	return p.gone(ctx)
}

// gone waits until the process has ended, if there was one.
func (p *process) gone(ctx context.Context) error {
	if p == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s, process %d, does not end: %w", p.what, p.pid, ctx.Err())
	}
}

// output runs a command to its end and returns what it printed.
func output(ctx context.Context, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var out, problem bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = strings.NewReader(stdin), &out, &problem, pipeWait
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("%w; 'make deps' installs what is missing", err)
	}
	if err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(problem.String()))
	}
	return out.String(), nil
}

// entry is a process in the machine's table of processes.
type entry struct {
	pid, parent int
	start       string // in clock ticks: with the pid it names one process
	zombie      bool
}

// table reads the machine's processes (proc(5)).
func table() (map[int]entry, error) {
	files, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	all := map[int]entry{}
	for _, f := range files {
		pid, err := strconv.Atoi(f.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join("/proc", f.Name(), "stat"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		text := string(data)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // from field 3 on
		if len(fields) < 20 {
			return nil, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, err
		}
		all[pid] = entry{pid: pid, parent: parent, start: fields[19], zombie: fields[0] == "Z" || fields[0] == "X"}
	}
	return all, nil
}
