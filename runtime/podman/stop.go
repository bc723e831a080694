//go:build remote

package podman

import (
	"context"
	"math"
	"os"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/pods"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	"holon/runtime"
)

// StopPod implements runtime.Runtime. The grace is counted in whole seconds,
// rounded up.
func (r *Runtime) StopPod(ctx context.Context, run runtime.RunID, grace time.Duration) error {
	unlock, err := r.locks.lock(ctx, run)
	if err != nil {
		return err
	}
	defer unlock()
	v, err := r.view(ctx, run)
	if err != nil {
		return err
	}
	if v != nil {
		defer r.hint()
	}
	if v.runs() && (grace > 0 || r.followers.any(run)) {
		if err := r.terminate(ctx, run, grace); err != nil && !isGone(err) {
			return err
		}
		r.followers.wait(ctx, run)
	}
	if _, err := r.removeOwnPod(ctx, run); err != nil {
		return err
	}
	if err := r.removeStrays(ctx, run); err != nil {
		return err
	}
	if err := os.RemoveAll(r.cfg.runDir(run)); err != nil {
		return failed("remove the volumes of pod "+string(run), err)
	}
	return nil
}

// runs reports whether any container but the infra runs.
func (v *podView) runs() bool {
	if v == nil {
		return false
	}
	for _, as := range v.attempts {
		for _, a := range as {
			if a.state == runtime.Running {
				return true
			}
		}
	}
	return false
}

// terminate sends SIGTERM to all containers, and SIGKILL after grace.
func (r *Runtime) terminate(ctx context.Context, run runtime.RunID, grace time.Duration) error {
	seconds := int(math.Ceil(grace.Seconds()))
	limit := time.Duration(seconds)*time.Second + changeLimit
	return r.link.call(ctx, limit, "stop pod "+podName(run), func(ctx context.Context) error {
		_, err := pods.Stop(ctx, podName(run), &pods.StopOptions{Timeout: ptr(seconds)})
		return err
	})
}

// removeOwnPod removes the Podman pod of run with all it holds, killing what
// runs. It reports whether there was one of ours; a foreign one is left alone.
func (r *Runtime) removeOwnPod(ctx context.Context, run runtime.RunID) (bool, error) {
	var report *types.PodInspectReport
	err := r.look(ctx, "inspect pod "+podName(run), func(ctx context.Context) (err error) {
		report, err = pods.Inspect(ctx, podName(run), nil)
		return err
	})
	if isGone(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !r.cfg.owns(report.Labels, run) {
		return false, nil
	}
	err = r.change(ctx, "remove pod "+podName(run), func(ctx context.Context) error {
		_, err := pods.Remove(ctx, report.ID, &pods.RemoveOptions{Force: ptr(true), Timeout: ptr(uint(0))})
		return err
	})
	if isGone(err) {
		err = nil
	}
	return true, err
}

// removeStrays removes containers of run that are in no pod any more.
func (r *Runtime) removeStrays(ctx context.Context, run runtime.RunID) error {
	v, err := r.view(ctx, run)
	if err != nil || v == nil {
		return err
	}
	for _, as := range v.attempts {
		if err := r.removeOlder(ctx, as, math.MaxInt); err != nil {
			return err
		}
	}
	if v.infra != nil {
		return r.removeContainer(ctx, v.infra.ID)
	}
	return nil
}

func (r *Runtime) removeContainer(ctx context.Context, id string) error {
	err := r.change(ctx, "remove container "+id, func(ctx context.Context) error {
		_, err := containers.Remove(ctx, id, &containers.RemoveOptions{Force: ptr(true), Timeout: ptr(uint(0)), Volumes: ptr(true)})
		return err
	})
	if isGone(err) {
		return nil
	}
	return err
}
