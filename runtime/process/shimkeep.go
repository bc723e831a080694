package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// keep waits for the program, ends what it leaves behind and writes how it
// ended. A container is its first process: when that ends, all of it ends.
func (s *shim) keep() error {
	oomBefore := oomKills(s.order.Cgroups.Events)
	status, err := s.reapMain()
	if err != nil {
		return err
	}
	s.state.Phase, s.state.FinishedAt = exited, time.Now()
	s.state.ExitCode = exitCode(status)
	s.state.OOMKilled = oomKills(s.order.Cgroups.Events) > oomBefore
	var notes []string
	if s.state.Message != "" {
		notes = append(notes, s.state.Message)
	}
	if err := s.endDescendants(); err != nil {
		notes = append(notes, err.Error())
	}
	s.drain()
	if s.state.OOMKilled {
		notes = append(notes, "killed by the kernel: the memory limit was reached")
	}
	if note := s.explainExit(); note != "" {
		notes = append(notes, note)
	}
	if note := s.log.close(); note != "" {
		notes = append(notes, note)
	}
	if err := s.keepMessage(); err != nil {
		notes = append(notes, fmt.Sprintf("what it said of its end is lost: %v", err))
	}
	s.state.Message = joinNotes(notes)
	return s.writeFinal()
}

func joinNotes(notes []string) string {
	out := ""
	for i, n := range notes {
		if i > 0 {
			out += "; "
		}
		out += n
	}
	if len(out) > stateFileBytesMax/2 {
		out = out[:stateFileBytesMax/2]
	}
	return out
}

func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// reapMain reaps, as subreaper, whatever ends until the first process does.
func (s *shim) reapMain() (unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for the program: %w", err)
		case pid == s.state.Main.PID:
			return status, nil
		}
	}
}

// endDescendants kills what is left of the container. Every orphan becomes a
// child of this subreaper, so killing children until there are none catches
// all, also without control groups.
func (s *shim) endDescendants() error {
	var err error
	if s.order.Cgroups.Track != "" {
		err = killCgroup(s.order.Cgroups.Track)
	}
	none := make(chan struct{})
	go func() {
		defer close(none)
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); errors.Is(err, unix.ECHILD) {
				return
			} else if pid > 0 || errors.Is(err, unix.EINTR) {
				continue
			}
			killChildren(os.Getpid())
			if _, err := unix.Wait4(-1, nil, 0, nil); errors.Is(err, unix.ECHILD) {
				return
			}
		}
	}()
	select {
	case <-none:
		return err
	case <-time.After(killTimeout):
		return errors.Join(err, fmt.Errorf("some of its processes could not be killed within %v", killTimeout))
	}
}

// drain waits for the rest of the output.
func (s *shim) drain() {
	done := make(chan struct{})
	go func() { s.pipes.Wait(); close(done) }()
	waitOr(done, drainTimeout)
}

// explainExit says why a program that failed at once may have failed.
func (s *shim) explainExit() string {
	if s.state.ExitCode == 0 || s.state.FinishedAt.Sub(s.state.StartedAt) > quickExit {
		return ""
	}
	return explainPorts(s.order.Listens, s.order.PodIP, s.log.tailText())
}

// writeFinal writes state.json. On a full disk the file that is there is
// overwritten in place, which needs no new block: an exit is never forgotten.
func (s *shim) writeFinal() error {
	path := filepath.Join(s.dir, stateFile)
	err := writeJSON(path, &s.state, durable)
	if err == nil {
		return nil
	}
	data, _ := json.Marshal(s.state)
	f, openErr := os.OpenFile(path, os.O_WRONLY, 0)
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	_, writeErr := f.WriteAt(data, 0)
	return errors.Join(writeErr, f.Truncate(int64(len(data))), f.Sync(), f.Close())
}
