package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// procID names one process for good: a pid is given away again, a pid with its
// start time is not. StartTime is field 22 of /proc/PID/stat (proc(5)): clock
// ticks since boot.
type procID struct {
	PID       int    `json:"pid"`
	StartTime string `json:"startTime"`
}

// errProcGone says that the process has ended, whatever its pid names now.
var errProcGone = errors.New("the process has ended")

// identify names the process that has pid now.
func identify(pid int) (procID, error) {
	start, _, err := readStat(pid)
	return procID{pid, start}, err
}

// readStat returns the start time and the state letter of a process.
func readStat(pid int) (start string, state byte, err error) {
	if pid <= 0 {
		return "", 0, errProcGone
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return "", 0, errProcGone
	}
	if err != nil {
		return "", 0, err
	}
	// The name, in parentheses, may hold spaces and parentheses itself.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	const stateField, startField = 3, 22 // counted from 1; fields begins with 3
	if len(fields) <= startField-stateField {
		return "", 0, fmt.Errorf("/proc/%d/stat is not understood", pid)
	}
	return fields[startField-stateField], fields[0][0], nil
}

// state is the process's state letter: T is stopped. A zombie counts as gone.
func (p procID) state() (byte, error) {
	start, state, err := readStat(p.PID)
	if err != nil {
		return 0, err
	}
	if start != p.StartTime || state == 'Z' || state == 'X' {
		return 0, errProcGone
	}
	return state, nil
}

func (p procID) alive() bool {
	_, err := p.state()
	return err == nil
}

// open returns a pidfd of exactly this process; whoever has its pid later is
// out of reach through it.
func (p procID) open() (int, error) {
	if p.PID <= 0 {
		return -1, errProcGone
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return -1, errProcGone
	}
	if err != nil {
		return -1, fmt.Errorf("pidfd_open of %d: %w", p.PID, err)
	}
	if _, err := p.state(); err != nil {
		unix.Close(fd) //nolint:errcheck // nothing is lost by it
		return -1, err
	}
	return fd, nil
}

// signal sends sig to this process and to no other.
func (p procID) signal(sig syscall.Signal) error {
	fd, err := p.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is lost by it
	err = unix.PidfdSendSignal(fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return errProcGone
	}
	return err
}

// pollSlice bounds how long waitGone does not look at its context.
const pollSlice = 50 * time.Millisecond

// waitGone returns nil once the process has ended.
func (p procID) waitGone(ctx context.Context) error {
	fd, err := p.open()
	if errors.Is(err, errProcGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is lost by it
	return waitExit(ctx, fd)
}

// waitExit returns nil once every thread of a pidfd's process has ended: only
// then is what it held free. Its first thread may be a zombie long before.
func waitExit(ctx context.Context, fd int) error {
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(pollSlice.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if n > 0 {
			return nil
		}
	}
	return ctx.Err()
}

// kill ends the process at once and waits until it is gone. A process that has
// ended already is no error.
func (p procID) kill(ctx context.Context) error {
	fd, err := p.open() // before the signal: afterwards it may look gone too soon
	if errors.Is(err, errProcGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is lost by it
	if err := unix.PidfdSendSignal(fd, syscall.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return waitExit(ctx, fd)
}
