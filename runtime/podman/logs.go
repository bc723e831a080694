//go:build remote

package podman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/containers"
	"holon/runtime"
)

const (
	// logPoll is how often a follower looks for new words.
	logPoll = 100 * time.Millisecond
	// exitAsk is how often it asks whether the container has exited, should
	// no event say so.
	exitAsk = 2 * time.Second
)

// Logs implements runtime.Runtime. Where the log's file can be read it is read
// directly: Podman 4.3 may lose the last words of a followed log, and not end.
// Else (a service on another host) Podman is asked for it.
func (r *Runtime) Logs(ctx context.Context, run runtime.RunID, container string, opts runtime.LogOptions, w io.Writer) error {
	op := fmt.Sprintf("read the log of container %s in pod %s", container, podName(run))
	v, err := r.view(ctx, run)
	if err != nil {
		return err
	}
	if v == nil || v.newest(container) == nil {
		return notFound(op, "it is not there")
	}
	a := v.newest(container)
	if opts.Previous {
		if a = v.before(container); a == nil {
			return notFound(op, "there is no attempt before the newest")
		}
	}
	err = r.copyLog(ctx, op, *a, opts, w)
	if ctx.Err() != nil && opts.Follow {
		return nil
	}
	return err
}

func (r *Runtime) copyLog(ctx context.Context, op string, a attempt, opts runtime.LogOptions, w io.Writer) error {
	data, err := r.inspect(ctx, op, a.ID)
	if err != nil {
		return err
	}
	return r.copyLogOf(ctx, op, a, data, opts, w)
}

// copyLogOf is copyLog for who has inspected the attempt.
func (r *Runtime) copyLogOf(ctx context.Context, op string, a attempt, data *define.InspectContainerData, opts runtime.LogOptions, w io.Writer) error {
	path := ""
	if data.HostConfig != nil && data.HostConfig.LogConfig != nil {
		path = data.HostConfig.LogConfig.Path
	}
	log := newLogFile(path, opts, w)
	defer log.close()
	if err := log.open(); err != nil {
		if a.state == runtime.Created && !opts.Follow && errors.Is(err, fs.ErrNotExist) {
			return nil // it has never run
		}
		return r.copyRemoteLog(ctx, op, a.ID, opts, w)
	}
	read := log.read
	if opts.Follow {
		read = func() error { return r.follow(ctx, a.ID, log) }
	}
	if err := errors.Join(read(), log.end()); err != nil {
		return failed(op, err)
	}
	return nil
}

// follow reads log until the container has exited and all its words are read,
// or ctx ends. The open file outlives the removal of the container.
func (r *Runtime) follow(ctx context.Context, id string, log *logFile) error {
	poll := time.NewTicker(logPoll)
	defer poll.Stop()
	asked := time.Time{}
	for {
		// In this order: asked first, a log read after the exit is whole.
		changed := r.pulse.next()
		over := false
		if time.Since(asked) > exitAsk {
			asked = time.Now()
			over = r.hasEnded(ctx, id)
		}
		if err := log.read(); err != nil || over {
			return err
		}
		if err := log.reopen(); err != nil {
			return err
		}
		if err := log.stopTailing(); err != nil {
			return err
		}
		select {
		case <-changed:
			asked = time.Time{}
		case <-poll.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// hasEnded reports whether a container has exited or is gone. While Podman does
// not answer it has not: the log may go on.
func (r *Runtime) hasEnded(ctx context.Context, id string) bool {
	data, err := r.inspect(ctx, "inspect container "+id, id)
	if err != nil {
		return isGone(err)
	}
	if data.State == nil || stateOf(data.State.Status) == runtime.Exited {
		return true
	}
	return data.State.Status == "running" && r.lost(ctx, data.State)
}

// lost reports whether a container that is said to run has neither its process
// nor its conmon.
func (r *Runtime) lost(ctx context.Context, s *define.InspectContainerState) bool {
	conn, err := r.link.open(ctx)
	return err == nil && isLocal(conn) && !isRunning(s.Pid) && !isRunning(s.ConmonPid)
}

func (r *Runtime) inspect(ctx context.Context, op, id string) (*define.InspectContainerData, error) {
	var data *define.InspectContainerData
	err := r.look(ctx, op, func(ctx context.Context) (err error) {
		data, err = containers.Inspect(ctx, id, nil)
		return err
	})
	return data, err
}
