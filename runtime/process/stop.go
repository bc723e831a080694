package process

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"holon/runtime"
)

// StopPod implements runtime.Runtime. While another order holds the pod for
// longer than this one's grace, the pod is killed under it: a forced stop
// does not wait for a patient one.
func (r *Runtime) StopPod(ctx context.Context, id runtime.RunID, grace time.Duration) error {
	op := "stop pod " + string(id)
	patience, cancel := context.WithTimeout(ctx, grace)
	unlock, err := r.locks.lock(patience, id)
	cancel()
	if err != nil && ctx.Err() == nil {
		if p := r.lookup(id); p != nil {
			r.signalAll(p, killSignal)
		}
		unlock, err = r.locks.lock(ctx, id)
	}
	if err != nil {
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
	}
	defer unlock()
	p := r.lookup(id)
	if p == nil {
		return nil
	}
	return r.end(ctx, p, grace)
}

// StopContainer implements runtime.Runtime. It takes no lock: it ends one attempt and
// changes nothing else, and a stop of the pod shall not wait for its grace.
func (r *Runtime) StopContainer(ctx context.Context, id runtime.RunID, container string, number int, grace time.Duration) error {
	op := fmt.Sprintf("stop attempt %d of %s in run %s", number, container, id)
	a := r.running(id, container, number)
	if a == nil {
		return nil
	}
	for _, step := range []struct {
		signal unix.Signal
		wait   time.Duration
	}{{unix.SIGTERM, grace}, {killSignal, killTimeout}} {
		if step.wait <= 0 {
			continue
		}
		if err := a.main.signal(step.signal); err != nil {
			return &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
		}
		timer := time.NewTimer(step.wait)
		defer timer.Stop()
		select {
		case <-a.ended:
			return nil
		case <-timer.C:
		case <-ctx.Done():
			return &runtime.Error{Kind: runtime.Failed, Op: op, Err: ctx.Err()}
		}
	}
	return &runtime.Error{Kind: runtime.Failed, Op: op, Err: errors.New("it does not end")}
}

// running is the newest attempt of a container if it is of that number and has not ended.
func (r *Runtime) running(id runtime.RunID, container string, number int) *attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pods[id]
	if p == nil {
		return nil
	}
	c := p.find(container)
	if c == nil || c.newest == nil || c.newest.number != number || c.newest.state.Phase == exited {
		return nil
	}
	return c.newest
}

// end stops and removes a pod. The pod's lock must be held.
func (r *Runtime) end(ctx context.Context, p *pod, grace time.Duration) error {
	op := fmt.Sprintf("stop pod %s/%s", p.record.Spec.Namespace, p.record.Spec.Name)
	if grace > 0 {
		r.signalAll(p, unix.SIGTERM)
		if err := r.awaitEnd(ctx, p, grace); err != nil {
			return &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
		}
	}
	r.signalAll(p, killSignal)
	if err := r.awaitEnd(ctx, p, killTimeout); err != nil {
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
	}
	// Whatever is left: a shim that hangs, a command that was executed.
	if err := r.killPod(p); err != nil {
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: err, Next: "see what those processes wait for; the stop is tried again"}
	}
	if err := r.awaitEnd(ctx, p, killTimeout); err != nil {
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
	}
	var err error
	for _, group := range r.cgroups.podPaths(p.id) {
		err = errors.Join(err, removeCgroup(group))
	}
	if err = errors.Join(err, runtime.UnmountIn(filepath.Dir(volumeDir(p.dir(r), "x"))), runtime.ForgetMemory(r.memory, string(p.id)), removeDir(p.dir(r))); err != nil {
		return diskError(op, r.cfg.Dir, err)
	}
	r.mu.Lock()
	delete(r.pods, p.id)
	r.mu.Unlock()
	r.changed()
	return nil
}

// live returns the attempts that have not ended.
func (r *Runtime) live(p *pod) []*attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*attempt
	for _, c := range p.containers {
		if c.newest != nil && c.newest.state.Phase != exited {
			out = append(out, c.newest)
		}
	}
	return out
}

// signalAll signals the first process of each container, as in any container
// runtime; what they started ends with them.
func (r *Runtime) signalAll(p *pod, sig unix.Signal) {
	for _, a := range r.live(p) {
		if err := a.main.signal(sig); err != nil {
			r.cfg.Logger.Warn("a container cannot be signalled", "run", p.id, "container", a.container.spec.Name, "error", err)
		}
	}
}

// awaitEnd waits until all containers have ended, for at most limit. Only the
// end of ctx is an error.
func (r *Runtime) awaitEnd(ctx context.Context, p *pod, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for _, a := range r.live(p) {
		select {
		case <-a.ended:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// killPod kills every process of a pod, shims too.
func (r *Runtime) killPod(p *pod) error {
	for _, a := range r.live(p) {
		a.shim.signal(killSignal)
	}
	if r.cgroups.track != "" {
		return killCgroup(filepath.Join(r.cgroups.track, string(p.id)))
	}
	return killMarked(p.dir(r))
}
