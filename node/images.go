package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"holon/crdt/state"
	"holon/node/core"
	"holon/node/image"
	"holon/runtime"
)

const (
	// imagesDir is where archives lie on their way, below the data directory.
	imagesDir = "images"
	// imageWait is how long an order waits for a transfer before the core hears how far
	// it is: an order that takes long holds up others, and the end of its own run.
	imageWait = 100 * time.Millisecond
	// silentFor is how long a registry that did not answer is not asked again where
	// the image can be had without it.
	silentFor = time.Minute
	silentMax = 256 // names that silence is remembered for
)

// Kubernetes' words.
const (
	pullAlways       = "Always"
	pullIfNotPresent = "IfNotPresent"
	pullNever        = "Never"
)

// serveImages lets this node fetch images from others and serve them, if its runtime
// has any.
func (n *Node) serveImages(ctx context.Context) {
	images, ok := n.cfg.Runtime.(runtime.Images)
	if !ok {
		return
	}
	n.images = image.Start(ctx, image.Config{
		Images: images, Dir: filepath.Join(n.cfg.DataDir, imagesDir), Self: n.cfg.Identity.Name, Arch: n.cfg.Host.Arch,
		Peers: n.imagePeers, Open: n.mesh.Open, Log: n.log, Free: n.cfg.DiskFree,
	})
	n.startPulls(ctx, images)
	n.mesh.Handle(image.Protocol, n.images.Serve)
	n.spawn(func() {
		<-ctx.Done()
		n.images.Wait()
	})
	n.spawn(func() { n.keepImages(ctx) })
}

// imagePeers are the other nodes that are there and may have images.
func (n *Node) imagePeers() (peers []image.Peer) {
	for _, m := range n.view.Load().Members {
		if m.Name != n.cfg.Identity.Name && hasImages(&m) {
			peers = append(peers, image.Peer{Name: m.Name, ID: m.Peer, Arch: m.Status.Arch})
		}
	}
	return peers
}

// hasImages leaves out nodes that are out of reach or run plain processes.
func hasImages(m *core.MemberView) bool {
	return m.InReach() && m.Status != nil && m.Status.Runtime != "process"
}

// withImages runs a pod, and gets the images that it lacks. A registry is the last
// to be asked, but for those of policy Always: there it is the first, and what is
// here or at another node serves where no registry answers. Never means that no
// registry is asked; other nodes are.
func (n *Node) withImages(ctx context.Context, spec runtime.Spec, secrets *pullSecrets, run func(runtime.Spec) error) error {
	if n.images == nil {
		return run(spec)
	}
	original := spec.Containers
	spec.Containers = slices.Clone(original) // the core's is shared
	for i := range spec.Containers {
		if c := &spec.Containers[i]; c.PullPolicy != pullAlways || n.silent.lately(c.Image) {
			c.PullPolicy = pullNever
		}
	}
	came := map[string]error{}   // by image: what came of looking for it
	silent := map[string]error{} // by image: that no registry answered
	for {
		err := run(spec)
		lack, ok := errors.AsType[*runtime.ImageError](err)
		if !ok || runtime.KindOf(err) != runtime.ImageMissing {
			return err
		}
		at := slices.IndexFunc(spec.Containers, func(c runtime.Container) bool { return c.Image == lack.Image && !c.Waits })
		if at < 0 {
			return err
		}
		if before, again := came[lack.Image]; again && !lack.Ask {
			if before == nil {
				before = errVanished
			}
			return withCause(err, before)
		}
		setPolicy(spec.Containers, lack.Image, pullNever)
		if lack.Ask {
			if err = n.askFirst(ctx, spec, lack.Image, secrets); silentRegistry(err) {
				silent[lack.Image], err = err, nil
			}
		} else {
			err = n.bringImage(ctx, spec, err, silent[lack.Image], original[at].PullPolicy, secrets)
			came[lack.Image] = err
		}
		if err != nil {
			return err
		}
	}
}

// askFirst asks a registry for an image of policy Always. If none answers, which is an
// error of its own, what is here or at another node will do.
func (n *Node) askFirst(ctx context.Context, spec runtime.Spec, ref string, secrets *pullSecrets) error {
	err := n.pullImage(ctx, spec, ref, secrets)
	if !silentRegistry(err) {
		return err
	}
	n.silent.note(ref)
	n.podFact(spec, true, "RegistryUnreachable", "no registry could be asked for image %s, so a copy on this or another node will do: %v", ref, errors.Unwrap(err))
	return err
}

// bringImage gets an image that is not here: from another node, else from a registry.
func (n *Node) bringImage(ctx context.Context, spec runtime.Spec, missing, silent error, policy string, secrets *pullSecrets) error {
	lack, _ := errors.AsType[*runtime.ImageError](missing)
	var elsewhere error
	if policy == pullNever || !n.pulls.underway(lack.Image) {
		elsewhere = n.getImage(ctx, spec, lack.Image)
		if kind := runtime.KindOf(elsewhere); elsewhere == nil || kind == runtime.Pulling || kind == runtime.NoDiskSpace {
			return elsewhere
		}
	}
	if policy == pullNever {
		e, _ := errors.AsType[*runtime.Error](withCause(missing, elsewhere))
		never := *e
		never.Kind = runtime.ImageNeverPull
		return &never
	}
	err := silent // who has not answered is not asked again
	if err == nil {
		err = n.pullImage(ctx, spec, lack.Image, secrets)
	}
	if runtime.KindOf(err) == runtime.ImageMissing {
		return withCause(err, elsewhere)
	}
	return err
}

// errVanished: bringing it again would be as much use.
var errVanished = errors.New("it came from there, and is missing all the same")

func setPolicy(containers []runtime.Container, image, policy string) {
	for i := range containers {
		if containers[i].Image == image {
			containers[i].PullPolicy = policy
		}
	}
}

// withCause adds to a missing image why other nodes do not help.
func withCause(err, elsewhere error) error {
	e, ok := errors.AsType[*runtime.Error](err)
	if !ok || elsewhere == nil {
		return err
	}
	more := *e
	more.Err = fmt.Errorf("%w; and other nodes: %w", e.Err, elsewhere)
	return &more
}

// getImage waits a moment for an image to come from another node. Pulling says that
// it is on its way; each pod that waits for it is told of the beginning and the end.
func (n *Node) getImage(ctx context.Context, spec runtime.Spec, ref string) error {
	if strings.Contains(ref, "@") { // the digest is that of a manifest, which an archive has not
		return errors.New("an image that is named by a digest comes from a registry only")
	}
	t := n.images.Bring(ref, image.Wanted{})
	if t.Join(string(spec.ID)) {
		n.spawn(func() {
			n.tellTransfer(spec, ref, t)
			<-t.Done()
			(*meshEvents)(n).offer(core.Arrived{Run: spec.ID}) // a hint: without it the run is ordered again a little later
		})
	}
	timer := time.NewTimer(imageWait)
	defer timer.Stop()
	select {
	case <-t.Done():
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return &runtime.Error{Kind: runtime.Pulling, Op: "get image " + ref, Err: errors.New(t.Words())}
	}
	err := t.Result().Err
	if full, ok := errors.AsType[*image.SpaceError](err); ok {
		return &runtime.Error{Kind: runtime.NoDiskSpace, Op: "get image " + ref, Err: full, Next: "free disk on " + n.cfg.Identity.Name}
	}
	return err
}

// tellTransfer makes Events for one pod of the life of a transfer.
func (n *Node) tellTransfer(spec runtime.Spec, ref string, t *image.Transfer) {
	if !t.Found() {
		return
	}
	n.podFact(spec, false, "Pulling", "getting image %s from another node", ref)
	<-t.Done()
	r := t.Result()
	if r.Note != "" {
		n.podFact(spec, true, "ImagesDiffer", "%s", r.Note)
	}
	switch {
	case r.Err != nil:
		n.podFact(spec, true, "FailedPull", "image %s did not come from another node: %v", ref, r.Err)
	case len(r.From) == 0:
		n.podFact(spec, false, "Pulled", "image %s was here under another name (%s)", ref, image.Short(r.Image.ID))
	default:
		n.podFact(spec, false, "Pulled", "image %s (%s) came from %s in %v, %s over the network",
			ref, image.Short(r.Image.ID), strings.Join(r.From, ", "), r.Took.Round(time.Millisecond), image.Bytes(r.Bytes))
	}
}

// podFact tells something of a pod.
func (n *Node) podFact(spec runtime.Spec, warning bool, reason, format string, args ...any) {
	n.journal(core.Fact{Warning: warning, Reason: reason, About: state.MakeKey(state.Pods, spec.Namespace, spec.Name), Message: fmt.Sprintf(format, args...)})
}

// silence remembers for which images no registry answered, so that a start that does
// not need one does not wait for it each time.
type silence struct {
	mu    sync.Mutex
	since map[string]time.Time
}

func (s *silence) note(image string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since == nil || len(s.since) >= silentMax {
		s.since = map[string]time.Time{}
	}
	s.since[image] = time.Now()
}

func (s *silence) lately(image string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.since[image]
	return ok && time.Since(at) < silentFor
}
