//go:build remote

package podman

import (
	"context"
	"errors"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/system"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	"holon/runtime"
)

// How long the watcher waits before it connects again.
const (
	watchRetryMin = 200 * time.Millisecond
	watchRetryMax = 5 * time.Second
)

// watch turns Podman's events about this node's pods into hints, and connects
// again with growing pauses, until ctx ends.
func (r *Runtime) watch(ctx context.Context) {
	pause := watchRetryMin
	lost := false
	for ctx.Err() == nil {
		err := r.stream(ctx, func() {
			if lost {
				r.cfg.Logger.Info("Podman is back")
			}
			lost, pause = false, watchRetryMin
			r.hint() // whatever happened while nobody watched
		})
		if ctx.Err() != nil {
			return
		}
		if !lost {
			r.cfg.Logger.Warn("lost Podman's events", "err", err)
			lost = true
			r.hint()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, watchRetryMax)
	}
}

// stream reads one connection's events until it breaks; opened is called once
// it stands.
func (r *Runtime) stream(ctx context.Context, opened func()) error {
	s, err := r.link.open(ctx)
	if err != nil {
		return err
	}
	// A connection of its own: the stream outlives the link's calls, and its
	// end closes nothing of theirs.
	own, err := connect(r.link.url())
	if err != nil {
		return r.link.drop(s, err)
	}
	defer closeIdle(own)
	events := make(chan types.Event)
	opts := &system.EventsOptions{Stream: ptr(true), Filters: map[string][]string{"type": {"container", "pod"}}}
	reading, cancel := context.WithCancel(session{ctx, own})
	defer cancel()
	if err := system.Events(reading, events, nil, opts); err != nil {
		return err
	}
	opened()
	for e := range events {
		if labels := e.Actor.Attributes; labels[labelRun] == "" || r.cfg.owns(labels, runtime.RunID(labels[labelRun])) {
			r.hint()
			r.litter.sweep()
		}
	}
	return errors.New("the event stream ended")
}
