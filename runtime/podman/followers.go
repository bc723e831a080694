package podman

import (
	"context"
	"sync"
	"time"

	"holon/runtime"
)

// followDrain bounds how long the removal of a pod waits for its followers to
// read its last words; Podman's end of a followed log takes 250 ms.
const followDrain = 2 * time.Second

// followers counts those who follow logs, by run, so that StopPod can let them
// come to the end before it removes the log. The zero value is ready.
type followers struct {
	mu  sync.Mutex
	all map[runtime.RunID]*following
}

type following struct {
	count int
	none  chan struct{} // closed when count is 0 again
}

// begin counts one follower until the returned function is called.
func (f *followers) begin(run runtime.RunID) (end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = make(map[runtime.RunID]*following)
	}
	g := f.all[run]
	if g == nil {
		g = &following{none: make(chan struct{})}
		f.all[run] = g
	}
	g.count++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if g.count--; g.count == 0 {
			close(g.none)
			delete(f.all, run)
		}
	}
}

// any reports whether somebody follows a log of run.
func (f *followers) any(run runtime.RunID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[run] != nil
}

// wait waits until nobody follows run's logs, at most followDrain.
func (f *followers) wait(ctx context.Context, run runtime.RunID) {
	f.mu.Lock()
	g := f.all[run]
	f.mu.Unlock()
	if g == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, followDrain)
	defer cancel()
	select {
	case <-g.none:
	case <-ctx.Done():
	}
}
