package api

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/tidwall/btree"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// clockEvery is how often what is open by a credential that expires is judged at least:
	// the members' clocks may be set meanwhile.
	clockEvery = time.Minute
	never      = time.Duration(math.MaxInt64)
	// farewellMax is how long the end of what is open may take, if the client does not listen.
	farewellMax = 5 * time.Second
)

// opened is what lasts as long as a client wants: of a Server longRequestsMax requests at
// most, of a node as many sessions as it carries for others.
type opened struct {
	mu   sync.Mutex
	of   map[*openRequest]struct{}
	more chan struct{} // one has come since the last review
}

// openRequest goes on as long as it would be let in.
type openRequest struct {
	user  user
	may   func() error
	basis basis // that may was last asked on
	end   context.CancelCauseFunc
}

// basis is all that an answer rests on, but time: as long as it is the same, so is the answer.
type basis struct {
	grants       [len(granting)]*btree.BTreeG[*Object]
	account, pod *Object // that a token is bound to
}

func (a *Access) basisOf(u user) (b basis) {
	s := a.cache.current.Load()
	b.grants = s.grants()
	if u.bound != nil {
		b.account = s.find(u.bound.accountKey())
		if u.bound.Pod != nil {
			b.pod = s.find(u.bound.podKey())
		}
	}
	return b
}

// hold lets a user in if he may, as long as he may: then the context ends, with the reason as
// its cause. What he is let in for calls over when it is.
func (a *Access) hold(ctx context.Context, u user, may func() error) (_ context.Context, over func(), err error) {
	r := &openRequest{user: u, may: may, basis: a.basisOf(u)}
	if err := may(); err != nil {
		return ctx, func() {}, err
	}
	ctx, r.end = context.WithCancelCause(ctx)
	o := &a.opened
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of[r] = struct{}{}
	select {
	case o.more <- struct{}{}: // for what has changed since it was judged, and for its end
	default:
	}
	return ctx, func() {
		r.end(nil)
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.of, r)
	}, nil
}

// Follow ends what is open as soon as this node hears why: a shell does not outlive its
// credential, nor the right to it.
func (a *Access) Follow(ctx context.Context) {
	again := time.NewTimer(never)
	defer again.Stop()
	for ctx.Err() == nil {
		changed := a.cache.Changed()
		again.Reset(a.review())
		select {
		case <-changed:
		case <-a.opened.more:
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

// review ends what may not go on, and says when time alone may change that for the rest.
func (a *Access) review() (again time.Duration) {
	again = never
	now, known := a.time()
	a.opened.mu.Lock()
	defer a.opened.mu.Unlock()
	for r := range a.opened.of {
		if b := a.basisOf(r.user); b != r.basis || r.user.life.judge(r.user, now, known) != nil {
			r.basis = b
			if err := r.may(); err != nil {
				r.end(err)
				delete(a.opened.of, r)
				continue
			}
		}
		if r.user.life.ends() {
			again = min(again, clockEvery, r.user.life.until.Sub(now))
		}
	}
	return again
}

// Over says why who was let in may not go on; nil: he may, or what he was let in for has ended
// otherwise.
func Over(ctx context.Context) error {
	var why *apierrors.StatusError
	if errors.As(context.Cause(ctx), &why) {
		return why
	}
	return nil
}

// Farewell cuts a client off farewellMax after the context has ended, unless ended is called
// before: a stream that nobody reads holds nothing up.
func Farewell(ctx context.Context, cut func()) (ended func()) {
	said := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-said:
		case <-time.After(farewellMax):
			cut()
		}
	})
	return func() {
		stop()
		close(said)
	}
}
