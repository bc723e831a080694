//go:build remote

package podman

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startTime returns when a process started, in clock ticks since boot
// (proc_pid_stat(5), field 22).
func startTime(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in field 2 may hold spaces and parentheses.
	_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	f := strings.Fields(rest)
	const state, started = 0, 22 - 3
	if len(f) <= started || f[state] == "Z" || f[state] == "X" {
		return 0, os.ErrProcessDone
	}
	return strconv.ParseUint(f[started], 10, 64)
}

// isProcess reports whether pid is still the process that started then.
func isProcess(pid int, started uint64) bool {
	now, err := startTime(pid)
	return err == nil && pid > 0 && now == started
}

// endProcess ends the process that started then: SIGTERM, and SIGKILL after
// grace. One that is gone is no error. It never signals another process that
// got the number since.
func endProcess(pid int, started uint64, grace time.Duration) error {
	if pid <= 0 {
		return nil
	}
	p, err := os.FindProcess(pid) // held by pidfd
	if err != nil {
		return err
	}
	defer p.Release()
	if !isProcess(pid, started) {
		return nil
	}
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, grace}, {syscall.SIGKILL, stopGrace}} {
		if err := p.Signal(step.signal); err != nil {
			if errors.Is(err, os.ErrProcessDone) {
				return nil
			}
			return fmt.Errorf("end process %d: %w", pid, err)
		}
		if awaitEnd(pid, started, step.wait) {
			return nil
		}
	}
	return fmt.Errorf("process %d does not end", pid)
}

func awaitEnd(pid int, started uint64, limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	for isProcess(pid, started) {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(startPoll) // no event tells of the end of another's child
	}
	return true
}

// lastLine returns the last words of a log, to put into an error.
func lastLine(path string) string {
	b, err := os.ReadFile(path)
	text := strings.TrimSpace(string(b))
	if err != nil || text == "" {
		return "it said nothing"
	}
	return text[strings.LastIndexByte(text, '\n')+1:]
}
