//go:build remote

package podman

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings"
	"github.com/containers/podman/v5/pkg/bindings/containers"
)

// killLimit bounds the end of a command whose caller has gone.
const killLimit = 10 * time.Second

// killExec kills the command of an exec session and its children. The caller's
// context has ended, so this has one of its own.
func (r *Runtime) killExec(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), killLimit)
	defer cancel()
	err := r.look(ctx, "kill exec session "+id, func(ctx context.Context) error {
		if isLocal(ctx) {
			if err := killLocal(ctx, id); err == nil {
				return nil
			}
		}
		err := containers.ExecRemove(ctx, id, &containers.ExecRemoveOptions{Force: ptr(true)})
		var old *bindings.APIVersionError
		if errors.As(err, &old) {
			return fmt.Errorf("this Podman cannot end an exec session from afar: %w", err)
		}
		return err
	})
	if err != nil && !isGone(err) {
		r.cfg.Logger.Warn("a cancelled command may still run", "err", err)
	}
}

// killLocal kills the session's process tree. The process is held (by pidfd)
// before the session is asked again, so its number cannot have passed to
// another process.
func killLocal(ctx context.Context, id string) error {
	before, err := runningExec(ctx, id)
	if err != nil || before == 0 {
		return err
	}
	p, err := os.FindProcess(before)
	if err != nil {
		return err
	}
	defer p.Release()
	if now, err := runningExec(ctx, id); err != nil || now != before {
		return err
	}
	for _, child := range descendants(before) {
		if c, err := os.FindProcess(child); err == nil {
			_ = c.Kill()
			_ = c.Release()
		}
	}
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// runningExec returns the process of a session, 0 if it has ended.
func runningExec(ctx context.Context, id string) (int, error) {
	var s *define.InspectExecSession
	s, err := containers.ExecInspect(ctx, id, nil)
	if err != nil || !s.Running {
		return 0, err
	}
	return s.Pid, nil
}

// descendants lists the processes below pid, as far as they can be read.
func descendants(pid int) []int {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	var out []int
	for _, task := range tasks {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(field); err == nil {
				out = append(out, child)
				out = append(out, descendants(child)...)
			}
		}
	}
	return out
}
