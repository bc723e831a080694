package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"holon/runtime"
)

// ErrNobody: no live node of this one's architecture has the image.
var ErrNobody = errors.New("no live node has it for this node's architecture")

// Wanted says more of an image than its name.
type Wanted struct {
	ID string // empty: choose
	// Keep: nobody waits for it, so it comes after what pods need, and leaves more
	// of the disk free.
	Keep bool
}

// Result is what became of a transfer.
type Result struct {
	Image runtime.Image
	From  []string // the nodes that sent something, in order
	Bytes int64    // that went over the network
	Took  time.Duration
	Note  string // what the operator should know
	Err   error
}

// Transfer is an image on its way here, under one name.
type Transfer struct {
	ref    string
	wanted Wanted
	id     string // of the image, once it is chosen; only bring and what it calls see it
	began  time.Time
	found  chan struct{} // closed once a node is known that has the image
	done   chan struct{}
	result Result // once done is closed
	ended  time.Time

	mu     sync.Mutex
	words  string
	joined map[string]bool
}

// Done is closed when the transfer has ended.
func (t *Transfer) Done() <-chan struct{} { return t.done }

// Found waits until it is known whether anybody has the image.
func (t *Transfer) Found() bool {
	select {
	case <-t.found:
		return true
	case <-t.done:
	}
	select {
	case <-t.found:
		return true
	default:
		return false
	}
}

// Result is what became of it; call it once Done is closed.
func (t *Transfer) Result() Result { return t.result }

// Words say how far it is.
func (t *Transfer) Words() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.words
}

// Join notes that somebody waits for it, and reports whether that is new.
func (t *Transfer) Join(who string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.joined[who]
	t.joined[who] = true
	return !before
}

func (t *Transfer) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.words = fmt.Sprintf(format, args...)
}

func (t *Transfer) ending() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// Bring begins to get an image from other nodes, or joins those who do already. A
// failure is the answer to all who ask for it within failedFor.
func (s *Store) Bring(ref string, wanted Wanted) *Transfer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	if t := s.transfers[ref]; t != nil && t.serves(wanted) {
		return t
	}
	t := &Transfer{ref: ref, wanted: wanted, began: time.Now(), found: make(chan struct{}), done: make(chan struct{}), joined: map[string]bool{}, words: "asking the other nodes for " + ref}
	if len(s.transfers) >= knownMax || s.life.Err() != nil {
		t.result.Err = errors.New("this node gets as many images as it can keep in mind")
		close(t.done)
		return t
	}
	s.transfers[ref] = t
	s.group.Go(func() {
		t.result = s.bring(s.life, t)
		t.result.Took = time.Since(t.began)
		t.ended = time.Now()
		close(t.done)
	})
	return t
}

// serves reports whether whoever wants an image can take what t brings. A pod may
// have more of the disk than what is only kept.
func (t *Transfer) serves(w Wanted) bool {
	if w.ID != "" && t.wanted.ID != w.ID {
		return false
	}
	return !t.wanted.Keep || w.Keep || !t.ending() || t.result.Err == nil
}

// forget drops transfers that have ended and answer nobody any more. s.mu is held.
func (s *Store) forget() {
	for ref, t := range s.transfers {
		if t.ending() && (t.result.Err == nil || time.Since(t.ended) >= failedFor) {
			delete(s.transfers, ref)
		}
	}
}

// bring does all of a transfer.
func (s *Store) bring(ctx context.Context, t *Transfer) (r Result) {
	found := s.ask(ctx, t.ref)
	if t.wanted.ID != "" {
		found = slices.DeleteFunc(found, func(h holder) bool { return h.ID != t.wanted.ID })
	}
	if len(found) == 0 {
		r.Err = ErrNobody
		return r
	}
	close(t.found)
	holders, note := choose(t.ref, found)
	r.Note = note
	id := holders[0].ID
	t.id = id
	permits := s.fetches
	if t.wanted.Keep { // has a turn of its own, so that no pod waits for it
		permits = s.keeps
	}
	t.say("getting %s once fewer other images are on their way", t.ref)
	release, err := take(ctx, permits)
	if err != nil {
		r.Err = err
		return r
	}
	defer release()
	if err := s.lockFile(ctx, id); err != nil {
		r.Err = err
		return r
	}
	defer s.unlockFile(id)
	if r.Image, err = s.cfg.Images.FindImage(ctx, id); err != nil { // it may be here under another name
		if r.Err = s.fetchAny(ctx, t, holders, &r); r.Err != nil {
			return r
		}
	}
	if r.Err = s.cfg.Images.TagImage(ctx, id, t.ref); r.Err == nil {
		r.Image, r.Err = s.cfg.Images.FindImage(ctx, id)
	}
	return r
}

// lockFile makes the caller the only one who fetches an image, whatever its names.
func (s *Store) lockFile(ctx context.Context, id string) error {
	tick := time.NewTicker(lockEvery)
	defer tick.Stop()
	for {
		s.mu.Lock()
		free := !s.files[id]
		if free {
			s.files[id] = true
		}
		s.mu.Unlock()
		if free {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const lockEvery = 100 * time.Millisecond

func (s *Store) unlockFile(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, id)
	s.touched[id] = time.Now()
}

// fetchAny gets the archive from one holder after the other until one is whole and
// holds the image. A holder whose archive is not what was asked for is left out.
func (s *Store) fetchAny(ctx context.Context, t *Transfer, holders []holder, r *Result) error {
	id := holders[0].ID
	a, err := s.openArchive(t, holders[0].Size)
	if err != nil {
		return err
	}
	defer a.close()
	for {
		from, err := a.fetch(ctx, holders, r)
		if err != nil {
			return a.giveUp(err)
		}
		t.say("unpacking %s, %s", t.ref, Bytes(a.pos))
		if err = s.unpack(ctx, a, id); err == nil {
			return os.Remove(a.path)
		}
		if kind := runtime.KindOf(err); ctx.Err() != nil || kind == runtime.Unavailable || kind == runtime.OutOfMemory {
			return err
		}
		s.cfg.Log.Warn("a node sent an image that is none", "image", t.ref, "id", id, "from", from.peer.Name, "error", err)
		holders = without(holders, from)
		if err2 := a.restart(); err2 != nil || len(holders) == 0 {
			return errors.Join(fmt.Errorf("what %s sent is not the image %s: %w", from.peer.Name, Short(id), err), err2)
		}
	}
}

// unpack loads an archive and makes sure that it held what was wanted. What else it
// held, and was not here before, goes again.
func (s *Store) unpack(ctx context.Context, a *archive, id string) error {
	before, err := s.cfg.Images.Images(ctx)
	if err != nil {
		return err
	}
	if err := checkNames(a.file); err != nil {
		return err
	}
	if _, err := a.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	loaded, err := s.cfg.Images.LoadImages(ctx, a.file)
	if err != nil {
		return err
	}
	has := func(list []runtime.Image, id string) bool {
		return slices.ContainsFunc(list, func(i runtime.Image) bool { return i.ID == id })
	}
	for _, i := range loaded {
		if i.ID != id && !has(before, i.ID) {
			err = errors.Join(err, s.cfg.Images.RemoveImage(ctx, i.ID))
		}
	}
	if !has(loaded, id) {
		return errors.Join(fmt.Errorf("the archive holds %d images, and not this one", len(loaded)), err)
	}
	return err
}
