package api

import (
	"context"
	"sync"
)

// opened are the requests that last as long as the client wants: longRequestsMax at most.
type opened struct {
	mu sync.Mutex
	of map[*openRequest]struct{}
}

type openRequest struct {
	user user
	end  context.CancelFunc
}

// add notes a request until its handler has returned.
func (o *opened) add(u user, end context.CancelFunc) (remove func()) {
	r := &openRequest{u, end}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = map[*openRequest]struct{}{}
	}
	o.of[r] = struct{}{}
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.of, r)
	}
}

// endRevoked ends the requests of who is revoked.
func (o *opened) endRevoked(a *Access) {
	_, revoked := a.current()
	o.mu.Lock()
	defer o.mu.Unlock()
	for r := range o.of {
		if revocationOf(revoked, r.user) != nil {
			r.end()
		}
	}
}

// followRevocations ends what is open as soon as this node hears that it is revoked: a
// shell does not outlive its credential.
func (s *Server) followRevocations(ctx context.Context) {
	for ctx.Err() == nil {
		w, err := s.config.Cache.Watch(ctx, Revocations, "", 0)
		if err != nil {
			return // of the present state it never fails
		}
		s.opened.endRevoked(s.access)
		for range w.C {
			s.opened.endRevoked(s.access)
		}
	}
}
