package process

import (
	"context"
	"sync"

	"holon/runtime"
)

// podLocks serialise the orders for one pod. There is a lock for a RunID only
// while somebody holds or wants it.
type podLocks struct {
	mu   sync.Mutex
	held map[runtime.RunID]*podLock
}

type podLock struct {
	token chan struct{} // holds one value while locked
	users int           // holders and waiters
}

// lock waits for the pod's lock until ctx ends. Call unlock once.
func (l *podLocks) lock(ctx context.Context, id runtime.RunID) (unlock func(), err error) {
	l.mu.Lock()
	p := l.held[id]
	if p == nil {
		p = &podLock{token: make(chan struct{}, 1)}
		l.held[id] = p
	}
	p.users++
	l.mu.Unlock()
	release := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if p.users--; p.users == 0 {
			delete(l.held, id)
		}
	}
	select {
	case p.token <- struct{}{}:
		return func() { <-p.token; release() }, nil
	case <-ctx.Done():
		release()
		return nil, ctx.Err()
	}
}
