package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"holon/runtime"
)

// Simulated puts a Host behind the Runtime contract in real time, so that the
// conformance suite runs on the fake as well, and goroutine shells can be
// tested in bubbles.
type Simulated struct {
	start time.Time

	mu      sync.Mutex // guards what follows; never held while waiting
	host    *Host
	waiters map[chan struct{}]bool // told of every order; each holds one value
}

// NewSimulated makes a simulated host whose virtual time is that since now.
func NewSimulated(cfg HostConfig) *Simulated {
	return &Simulated{start: time.Now(), host: NewHost(cfg), waiters: map[chan struct{}]bool{}}
}

// Do lets f give orders to, or plant faults in, the host.
func (s *Simulated) Do(f func(h *Host, now time.Duration)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.host, time.Since(s.start))
	for w := range s.waiters {
		poke(w)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// look is Do for what changes nothing.
func (s *Simulated) look(f func(h *Host, now time.Duration)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.host, time.Since(s.start))
}

// await waits until done is true of the host, trying after every change.
func (s *Simulated) await(ctx context.Context, done func(h *Host, now time.Duration) bool) error {
	wake := make(chan struct{}, 1)
	s.look(func(*Host, time.Duration) { s.waiters[wake] = true })
	defer s.look(func(*Host, time.Duration) { delete(s.waiters, wake) })
	for {
		var ok bool
		var wait time.Duration
		s.look(func(h *Host, now time.Duration) {
			ok = done(h, now)
			wait = h.Next(now) - now
		})
		if ok {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// Runtime is one daemon's view of the host; Close it.
func (s *Simulated) Runtime() runtime.Runtime {
	ctx, cancel := context.WithCancel(context.Background())
	r := &simRuntime{s: s, changes: make(chan struct{}, 1), cancel: cancel}
	r.wg.Go(func() {
		first := true
		s.await(ctx, func(*Host, time.Duration) bool {
			if !first {
				poke(r.changes)
			}
			first = false
			return false
		})
	})
	return r
}

type simRuntime struct {
	s       *Simulated
	changes chan struct{}
	cancel  context.CancelFunc
	wg      sync.WaitGroup // the goroutine that feeds changes
}

func (r *simRuntime) Close() error {
	r.cancel()
	r.wg.Wait()
	return nil
}

func (r *simRuntime) Changes() <-chan struct{} { return r.changes }

func (r *simRuntime) Info(context.Context) (info runtime.Info, err error) {
	r.s.look(func(h *Host, now time.Duration) { _, err = h.Pods(now) })
	return runtime.Info{Name: "simulated", Version: "1"}, err
}

func (r *simRuntime) Pods(context.Context) (pods []runtime.Status, err error) {
	r.s.look(func(h *Host, now time.Duration) { pods, err = h.Pods(now) })
	return pods, err
}

func (r *simRuntime) Usage(context.Context) (usage []runtime.PodUsage, err error) {
	r.s.look(func(h *Host, now time.Duration) { usage, err = h.Usage(now) })
	return usage, err
}

func (r *simRuntime) Volumes(context.Context) (names []string, err error) {
	r.s.look(func(h *Host, _ time.Duration) { names, err = h.Volumes() })
	return names, err
}

func (r *simRuntime) VolumeSize(context.Context, string) (int64, error) { return 0, nil }

func (r *simRuntime) DirSize(_ context.Context, id runtime.RunID, volume string) (bytes int64, err error) {
	r.s.look(func(h *Host, now time.Duration) { bytes, err = h.DirSize(now, id, volume) })
	return bytes, err
}

func (r *simRuntime) RemoveVolume(_ context.Context, name string) (err error) {
	r.s.Do(func(h *Host, now time.Duration) { err = h.RemoveVolume(now, name) })
	return err
}

// EnsurePod waits for a stop of the same pod, as real runtimes do.
func (r *simRuntime) EnsurePod(ctx context.Context, spec runtime.Spec) (err error) {
	ended := r.s.await(ctx, func(h *Host, now time.Duration) bool {
		if pod := h.pods[spec.ID]; pod != nil && pod.stopping {
			return false
		}
		err = h.Apply(now, spec)
		return true
	})
	r.s.Do(func(*Host, time.Duration) {})
	return errors.Join(err, ended)
}

func (r *simRuntime) StartContainer(_ context.Context, spec runtime.Spec, container string, attempt int) (err error) {
	r.s.Do(func(h *Host, now time.Duration) { err = h.Start(now, spec, container, attempt) })
	return err
}

func (r *simRuntime) UpdateFiles(_ context.Context, spec runtime.Spec) (err error) {
	r.s.Do(func(h *Host, now time.Duration) { err = h.UpdateFiles(now, spec) })
	return err
}

func (r *simRuntime) StopPod(ctx context.Context, id runtime.RunID, grace time.Duration) (err error) {
	r.s.Do(func(h *Host, now time.Duration) { err = h.Stop(now, id, grace) })
	if err != nil {
		return err
	}
	return r.s.await(ctx, func(h *Host, now time.Duration) bool {
		h.advance(now)
		return h.pods[id] == nil || !h.pods[id].stopping
	})
}

func (r *simRuntime) StopContainer(ctx context.Context, id runtime.RunID, container string, attempt int, grace time.Duration) (err error) {
	r.s.Do(func(h *Host, now time.Duration) { err = h.StopContainer(now, id, container, attempt, grace) })
	if err != nil {
		return err
	}
	return r.s.await(ctx, func(h *Host, now time.Duration) bool {
		h.advance(now)
		_, c := h.find(id, container)
		return c == nil || c.attempt != attempt || c.state != runtime.Running
	})
}

// Logs follows by polling: a simulated host does not say when a line is due.
func (r *simRuntime) Logs(ctx context.Context, id runtime.RunID, container string, opts runtime.LogOptions, w io.Writer) error {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	var last *simContainer
	for written, first := 0, true; ; first = false {
		var lines []Line
		var exited bool
		var err error
		r.s.look(func(h *Host, now time.Duration) {
			lines, err = h.Log(now, id, container, opts.Previous)
			_, c := h.find(id, container)
			if err != nil && last != nil { // removed while followed: its last words
				err = nil
				for _, l := range last.lines {
					lines = append(lines, Line{l.at, l.text})
				}
			} else {
				last = c
			}
			exited = c == nil || c.state == runtime.Exited
		})
		if err != nil {
			return err
		}
		if first && opts.Tail >= 0 {
			written = max(0, len(lines)-opts.Tail)
		}
		for _, l := range lines[min(written, len(lines)):] {
			if _, err := fmt.Fprintln(w, l.Text); err != nil {
				return err
			}
			written++
		}
		if !opts.Follow || exited {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
		}
	}
}

func (r *simRuntime) Exec(_ context.Context, id runtime.RunID, container string, _ runtime.ExecOptions) (code int, err error) {
	op := fmt.Sprintf("exec in %s/%s", id, container)
	r.s.look(func(h *Host, _ time.Duration) {
		if _, c := h.find(id, container); c == nil {
			err = h.refused(runtime.NotFound, op, "no such pod or container")
			return
		}
		err = h.refused(runtime.Failed, op, "a simulated host has nothing to execute")
	})
	return 0, err
}

// Attach shows what comes; a simulated program takes no input.
func (r *simRuntime) Attach(ctx context.Context, id runtime.RunID, container string, opts runtime.AttachOptions) (err error) {
	op := fmt.Sprintf("attach to %s/%s", id, container)
	r.s.look(func(h *Host, now time.Duration) {
		h.advance(now)
		_, c := h.find(id, container)
		switch {
		case c == nil:
			err = h.refused(runtime.NotFound, op, "no such pod or container")
		case c.state != runtime.Running:
			err = h.refused(runtime.Failed, op, "the container does not run")
		case opts.Stdin != nil:
			err = h.refused(runtime.Failed, op, "a simulated program takes no input")
		}
	})
	if err != nil {
		return err
	}
	out := opts.Stdout
	if out == nil {
		out = io.Discard
	}
	return r.Logs(ctx, id, container, runtime.LogOptions{Follow: true}, out)
}

func (r *simRuntime) Dial(_ context.Context, id runtime.RunID, port int) (conn net.Conn, err error) {
	op := fmt.Sprintf("connect to port %d of %s", port, id)
	r.s.look(func(h *Host, _ time.Duration) {
		kind, why := runtime.Failed, "nothing listens on a simulated host"
		if h.pods[id] == nil {
			kind, why = runtime.NotFound, "no such pod"
		}
		err = h.refused(kind, op, why)
	})
	return nil, err
}
