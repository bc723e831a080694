package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"holon/node/core"
	"holon/runtime"
)

const (
	// pullsAtOnce bounds how many images come from registries at once, as kubelets do.
	pullsAtOnce = 5
	// pullKept is how long an image that came serves those who have waited for it.
	pullKept = 10 * time.Second
	// A registry that has said no is asked again as seldom as by Kubernetes, and no name is
	// remembered much longer. Orders come more often: another node may have the image.
	pullBackoffFirst = 10 * time.Second
	pullBackoffMax   = 5 * time.Minute
	pullForgotten    = 2 * pullBackoffMax
	pullsMax         = 1024 // names
	// pullTimeout bounds one pull: an image of gigabytes over a slow line.
	pullTimeout = 30 * time.Minute
)

// pulls are the images on their way from registries. Orders wait for one a moment and
// come again, so a slow registry holds up nothing but the pods that need it.
type pulls struct {
	mu      sync.Mutex
	of      map[string]*pull // by name
	permits chan struct{}
	begin   func(p *pull) // starts one, in a goroutine of its own
}

// pull is one image on its way. All but told belongs to it until done is closed.
type pull struct {
	ref   string
	auths []runtime.Auth
	asked time.Time
	done  chan struct{}
	took  time.Duration // without the wait for its turn
	ended time.Time
	image runtime.Image
	err   error
	wait  time.Duration          // after it failed: until the registry is asked again
	told  map[runtime.RunID]bool // who waits; false once it has had the outcome
}

// join is a pull of an image for a run, with the same credentials: one that is under way,
// or has just brought what the run has waited for, or has failed not long ago, else a new
// one. first: the run was not among those who wait.
func (s *pulls) join(run runtime.RunID, ref string, auths []runtime.Auth) (p *pull, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, p := range s.of {
		if p.over() && (time.Since(p.ended) > pullForgotten || len(s.of) >= pullsMax) {
			delete(s.of, key)
		}
	}
	before := s.of[ref]
	if before != nil && slices.Equal(before.auths, auths) && before.serves(run) {
		first = !before.over() && !before.told[run]
		before.told[run] = true
		return before, first
	}
	p = &pull{ref: ref, auths: auths, asked: time.Now(), done: make(chan struct{}), told: map[runtime.RunID]bool{run: true}}
	if before != nil && before.over() && slices.Equal(before.auths, auths) {
		p.wait = before.wait
	}
	s.of[ref] = p
	s.begin(p)
	return p, true
}

// serves reports whether a run need not ask the registry anew.
func (p *pull) serves(run runtime.RunID) bool {
	switch {
	case !p.over():
		return true
	case p.err != nil:
		return time.Since(p.ended) < p.wait
	}
	return p.told[run] && time.Since(p.ended) < pullKept
}

// fail notes how long a registry that has said no is left alone.
func (p *pull) fail() {
	if p.wait = min(max(2*p.wait, pullBackoffFirst), pullBackoffMax); silentRegistry(p.err) {
		p.wait = 0
	}
}

// taken notes that a run has had the outcome: if it asks again, it asks the registry.
func (s *pulls) taken(p *pull, run runtime.RunID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.told[run] = false
}

// underway reports whether an image comes from a registry now.
func (s *pulls) underway(ref string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.of[ref]
	return p != nil && !p.over()
}

// over reports whether a pull has ended.
func (p *pull) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// bring pulls an image with each credential that may be for it, in turn, and without if
// there is none or all are refused.
func (p *pull) bring(ctx context.Context, images runtime.Images, permits chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	select {
	case permits <- struct{}{}:
	case <-ctx.Done():
		p.err = ctx.Err()
		return
	}
	defer func() { <-permits }()
	began := time.Now()
	for _, auth := range append(slices.Clone(p.auths), runtime.Auth{}) {
		if p.image, p.err = images.PullImage(ctx, p.ref, auth); p.err == nil || silentRegistry(p.err) {
			break
		}
	}
	p.took = time.Since(began)
}

func silentRegistry(err error) bool {
	e, ok := errors.AsType[*runtime.ImageError](err)
	return ok && e.NoRegistry
}

// startPulls lets this node ask registries.
func (n *Node) startPulls(ctx context.Context, images runtime.Images) {
	n.pulls.of, n.pulls.permits = map[string]*pull{}, make(chan struct{}, pullsAtOnce)
	n.pulls.begin = func(p *pull) {
		n.spawn(func() {
			if p.bring(ctx, images, n.pulls.permits); p.err != nil {
				p.fail()
			}
			p.ended = time.Now()
			close(p.done)
		})
	}
}

// pullImage waits a moment for an image to come from a registry. Pulling says that it is
// on its way; each pod that waits is told of the beginning and the end.
func (n *Node) pullImage(ctx context.Context, spec runtime.Spec, ref string, secrets *pullSecrets) error {
	p, first := n.pulls.join(spec.ID, ref, secrets.forImage(ref))
	if first {
		secrets.complain(func(format string, args ...any) {
			n.podFact(spec, true, "FailedToRetrieveImagePullSecret", format, args...)
		})
		n.podFact(spec, false, "Pulling", "Pulling image %q", ref)
		n.spawn(func() {
			<-p.done
			if p.err == nil {
				n.podFact(spec, false, "Pulled", "Successfully pulled image %q in %v (%v including waiting). Image size: %d bytes.",
					ref, p.took.Round(time.Millisecond), p.ended.Sub(p.asked).Round(time.Millisecond), p.image.Size)
			}
			(*meshEvents)(n).offer(core.Arrived{Run: spec.ID}) // a hint, as in getImage
		})
	}
	timer := time.NewTimer(imageWait)
	defer timer.Stop()
	select {
	case <-p.done:
		n.pulls.taken(p, spec.ID)
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return &runtime.Error{Kind: runtime.Pulling, Op: "pull image " + ref,
			Err: fmt.Errorf("image %s is on its way from a registry for %v", ref, time.Since(p.asked).Round(time.Second))}
	}
}
