//go:build remote

package podman

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"holon/runtime"
)

const (
	// socketPathMax is what the kernel takes for a unix socket, less the zero.
	socketPathMax = 107
	// startLimit bounds the start of a service until it answers.
	startLimit = 20 * time.Second
	startPoll  = 10 * time.Millisecond
	// stopGrace is how long a service may finish its requests.
	stopGrace = 5 * time.Second
	stateName = "service.json"
)

// A Service is a private Podman service: a process in a session of its own,
// with storage, configuration and network of its own, all under one directory.
// It outlives the process that started it.
type Service struct {
	URL        string   // for Config.URL
	OCIRuntime string   // the OCI runtime that was found to work
	Notes      []string // what was chosen and why, for the operator
	PID        int
	Dir        string

	settings settings
	exited   chan struct{} // closed when a child of this process has ended; else nil
}

// settings is what a service was started with. It is kept in the directory, so
// that a later process finds, restarts or removes the service.
type settings struct {
	Podman     string   `json:"podman"`
	OCIRuntime string   `json:"ociRuntime"`
	Ulimits    []string `json:"ulimits,omitempty"`
	Network    string   `json:"network"`
	Bridge     string   `json:"bridge"`
	Subnet     string   `json:"subnet"`
	Notes      []string `json:"notes"`
	PID        int      `json:"pid"`
	// Started is the process's start time in clock ticks since boot: with it
	// a process ID names one process.
	Started uint64 `json:"started"`
}

// StartService starts a private Podman service in cfg.Dir, or finds the one
// that runs there already. The first time it tries out which OCI runtime and
// which limits work on this machine, by running a container; a service whose
// process was killed is started again with the same, and adopts its
// containers. Errors are Unavailable, with the outcome of each trial.
func StartService(ctx context.Context, cfg ServiceConfig) (*Service, error) {
	op := "start a Podman service in " + cfg.Dir
	fail := func(err error, next string) error {
		return &runtime.Error{Kind: runtime.Unavailable, Op: op, Err: err, Next: next}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fail(err, "")
	}
	if path := filepath.Join(dir, socketName); len(path) > socketPathMax {
		return nil, fail(fmt.Errorf("socket path %s is longer than %d bytes", path, socketPathMax), "choose a shorter directory")
	}
	program := cfg.Podman
	if program == "" {
		program = "podman"
	}
	if program, err = exec.LookPath(program); err != nil {
		return nil, fail(err, missingPackages)
	}
	s := &Service{URL: "unix://" + filepath.Join(dir, socketName), Dir: dir}
	if err := s.load(); err == nil && s.settings.accepted() {
		if err := s.resume(ctx); err != nil {
			return nil, fail(err, "see "+s.path("service.log"))
		}
		return s, nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fail(err, "clean the directory")
	} else if err := s.Stop(ctx); err != nil { // of a trial that was cut short
		return nil, fail(err, "")
	}
	for _, sub := range []string{"root", "run", "tmp", "net"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fail(err, "")
		}
	}
	s.settings = settings{Podman: program}
	if err := s.settings.chooseNetwork(dir); err != nil {
		return nil, fail(err, "")
	}
	if err := s.tryAll(ctx, cfg.Logger); err != nil {
		return nil, fail(err, missingPackages)
	}
	return s, nil
}

// accepted reports whether the settings passed their trial.
func (s settings) accepted() bool { return len(s.Notes) > 0 }

// resume makes s usable again from its saved settings.
func (s *Service) resume(ctx context.Context) error {
	s.OCIRuntime, s.Notes, s.PID = s.settings.OCIRuntime, s.settings.Notes, s.settings.PID
	if isProcess(s.PID, s.settings.Started) {
		return s.awaitSocket(ctx)
	}
	return s.start(ctx)
}

func (s *Service) path(name string) string { return filepath.Join(s.Dir, name) }

func (s *Service) load() error {
	b, err := os.ReadFile(s.path(stateName))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &s.settings); err != nil {
		return fmt.Errorf("%s: %w", s.path(stateName), err)
	}
	return nil
}

// save writes the settings so that a crash leaves the old or the new ones.
func (s *Service) save() error {
	b, err := json.MarshalIndent(s.settings, "", "  ")
	if err != nil {
		return err
	}
	tmp := s.path(stateName + ".tmp")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, s.path(stateName))
}

// start starts the process with the settings and waits until it answers.
func (s *Service) start(ctx context.Context) error {
	if err := s.settings.write(s.Dir); err != nil {
		return err
	}
	if err := os.Remove(s.path(socketName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	log, err := os.OpenFile(s.path("service.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := s.settings.command(context.WithoutCancel(ctx), s.Dir, "system", "service", "--time=0", s.URL)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() { // ends with the service; until then this process is its parent
		_ = cmd.Wait()
		close(exited)
	}()
	s.PID, s.exited = cmd.Process.Pid, exited
	s.settings.PID = s.PID
	if s.settings.Started, err = startTime(s.PID); err != nil {
		return fmt.Errorf("the service ended at once: %s", lastLine(s.path("service.log")))
	}
	if err := s.save(); err != nil {
		return errors.Join(err, s.Stop(ctx))
	}
	if err := s.awaitSocket(ctx); err != nil {
		return errors.Join(err, s.Stop(ctx))
	}
	return nil
}

// awaitSocket waits until the service answers.
func (s *Service) awaitSocket(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		conn, err := connect(s.URL)
		if err == nil {
			closeIdle(conn)
			return nil
		}
		select {
		case <-s.exited: // nil, and so silent, for a service of another process
			return fmt.Errorf("the service ended: %s", lastLine(s.path("service.log")))
		case <-ctx.Done():
			return fmt.Errorf("the service does not answer: %w", err)
		case <-time.After(startPoll):
		}
	}
}

// Stop ends the service's process. Its containers run on; StartService finds
// them again, CleanService removes them.
func (s *Service) Stop(context.Context) error {
	return endProcess(s.settings.PID, s.settings.Started, stopGrace)
}
