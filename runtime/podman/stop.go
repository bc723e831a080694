//go:build remote

package podman

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/pods"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	"holon/runtime"
)

// removeTries bounds how often a removal is repeated.
const removeTries = 4

// StopPod implements runtime.Runtime. The grace is counted in whole seconds,
// rounded up.
func (r *Runtime) StopPod(ctx context.Context, run runtime.RunID, grace time.Duration) error {
	v, unlock, err := r.hold(ctx, run)
	if err != nil {
		return err
	}
	defer unlock()
	if v != nil {
		defer r.hint()
	}
	if grace > 0 && v != nil {
		if err := r.terminate(ctx, v, grace); err != nil {
			return err
		}
	}
	if _, _, err := r.removeOwnPod(ctx, run); err != nil {
		return err
	}
	if err := r.removeStrays(ctx, run); err != nil {
		return err
	}
	if err := r.cfg.removeVolumes(run); err != nil {
		return failed("remove the volumes of pod "+string(run), err)
	}
	return nil
}

// StopContainer implements runtime.Runtime. It takes no lock: it ends one attempt and
// changes nothing else, and a stop of the pod shall not wait for its grace.
func (r *Runtime) StopContainer(ctx context.Context, run runtime.RunID, container string, number int, grace time.Duration) error {
	v, err := r.view(ctx, run)
	if err != nil || v == nil {
		return err
	}
	a := v.newest(container)
	if a == nil || a.number != number || a.state != runtime.Running {
		return nil
	}
	defer r.hint()
	err = r.stopAttempt(ctx, a, grace)
	if isGone(err) {
		return nil
	}
	return err
}

// stopAttempt sends SIGTERM, and SIGKILL after grace.
func (r *Runtime) stopAttempt(ctx context.Context, a *attempt, grace time.Duration) error {
	seconds := uint(math.Ceil(grace.Seconds()))
	limit := time.Duration(seconds)*time.Second + changeLimit
	return r.link.call(ctx, limit, "stop container "+first(a.Names), func(ctx context.Context) error {
		return containers.Stop(ctx, a.ID, &containers.StopOptions{Timeout: &seconds})
	})
}

// terminate sends SIGTERM to all containers at once, and SIGKILL after grace.
// The infra container is not among them: the network stays until all is over.
func (r *Runtime) terminate(ctx context.Context, v *podView, grace time.Duration) error {
	var stopping sync.WaitGroup
	errs := make(chan error, len(v.attempts))
	for name := range v.attempts {
		a := v.newest(name)
		if a.state != runtime.Running {
			continue
		}
		stopping.Go(func() { errs <- r.stopAttempt(ctx, a, grace) })
	}
	stopping.Wait()
	close(errs)
	for err := range errs {
		if err != nil && (runtime.KindOf(err) == runtime.Unavailable || ctx.Err() != nil) {
			return err
		}
		// Anything else is for the removal, which kills, to complain about.
	}
	return nil
}

// removeOwnPod removes the Podman pod of run with all it holds, killing what
// runs. It reports whether a pod of that name was there and was ours; a foreign
// one is left alone.
func (r *Runtime) removeOwnPod(ctx context.Context, run runtime.RunID) (there, own bool, err error) {
	var report *types.PodInspectReport
	err = r.look(ctx, "inspect pod "+podName(run), func(ctx context.Context) (err error) {
		report, err = pods.Inspect(ctx, podName(run), nil)
		return err
	})
	if isGone(err) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	if !r.cfg.owns(report.Labels, run) {
		return true, false, nil
	}
	err = r.remove(ctx, "remove pod "+podName(run), func(ctx context.Context) error {
		_, err := pods.Remove(ctx, report.ID, &pods.RemoveOptions{Force: ptr(true), Timeout: ptr(uint(0))})
		return err
	})
	if err == nil {
		r.litter.add(report.CgroupPath)
		r.litter.sweep()
	}
	return true, true, err
}

// remove runs f until nothing is left to remove, at most removeTries times.
// Podman learns that a container's process and its conmon were killed by
// failing to kill it.
func (r *Runtime) remove(ctx context.Context, op string, f func(context.Context) error) error {
	var err error
	for range removeTries {
		err = r.change(ctx, op, f)
		if err == nil || isGone(err) {
			return nil
		}
		if runtime.KindOf(err) == runtime.Unavailable || ctx.Err() != nil {
			break
		}
	}
	return err
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
	return r.remove(ctx, "remove container "+id, func(ctx context.Context) error {
		_, err := containers.Remove(ctx, id, &containers.RemoveOptions{Force: ptr(true), Timeout: ptr(uint(0)), Volumes: ptr(true)})
		return err
	})
}
