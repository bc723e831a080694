package podman

import (
	"context"
	"sync"

	"holon/runtime"
)

// keyedLocks serialises the orders of one run; orders of different runs go on
// side by side. The zero value is ready.
type keyedLocks struct {
	mu   sync.Mutex
	held map[runtime.RunID]*keyedLock
}

type keyedLock struct {
	turn  chan struct{}
	users int // holders and waiters
}

// lock waits for run's turn and returns what gives it back, or ctx's error.
func (k *keyedLocks) lock(ctx context.Context, run runtime.RunID) (unlock func(), err error) {
	k.mu.Lock()
	if k.held == nil {
		k.held = make(map[runtime.RunID]*keyedLock)
	}
	l := k.held[run]
	if l == nil {
		l = &keyedLock{turn: make(chan struct{}, 1)}
		k.held[run] = l
	}
	l.users++
	k.mu.Unlock()

	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.held, run)
		}
	}
	select {
	case l.turn <- struct{}{}:
		return func() { <-l.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, &runtime.Error{Kind: runtime.Failed, Op: "wait for pod " + string(run), Err: ctx.Err()}
	}
}
