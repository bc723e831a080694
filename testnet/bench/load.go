package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// cluster is something that replicates numbered keys: holon or a peer. The value
// of a key is a text that begins with a marker of the write (see markerOf).
type cluster interface {
	name() string
	members() int
	// put writes a key through a member and returns once that acknowledges it. One
	// client writes a key at a time.
	put(ctx context.Context, member int, w write) error
	// follow reports what a member shows, from its present state on, until ctx
	// ends. It calls began when nothing later can be missed.
	follow(ctx context.Context, member int, began func(), seen func(w write)) error
}

// write is one write of a key; later ones of a key have greater numbers.
type write struct {
	key, id int
}

// Widths of the numbers in a marker.
const (
	markerHead   = "@id:"
	markerDigits = 8
	markerLen    = len(markerHead) + 2*markerDigits
)

// markerOf is found again in whatever encoding a value travels and is stored.
func markerOf(w write) string {
	return fmt.Sprintf("%s%0*d%0*d", markerHead, markerDigits, w.key, markerDigits, w.id)
}

// findMarker reads the first marker in an encoded value.
func findMarker(encoded []byte) (write, bool) {
	at := bytes.Index(encoded, []byte(markerHead))
	if at < 0 || len(encoded) < at+markerLen {
		return write{}, false
	}
	digits := string(encoded[at+len(markerHead) : at+markerLen])
	key, err := strconv.Atoi(digits[:markerDigits])
	id, err2 := strconv.Atoi(digits[markerDigits:])
	return write{key, id}, errors.Join(err, err2) == nil
}

// valueOf is what a write stores: size bytes of text that changes as a whole and
// that no compression makes much smaller, so that bytes are compared with bytes.
func valueOf(w write, size int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	text := []byte(markerOf(w))
	for x := uint64(w.key)<<32 + uint64(w.id) + 1; len(text) < size; {
		x ^= x << 13 // xorshift64, Marsaglia 2003
		x ^= x >> 7
		x ^= x << 17
		for bits := x; bits > 0 && len(text) < size; bits >>= 6 {
			text = append(text, letters[bits&63])
		}
	}
	return string(text)
}

func keyName(key int) string { return fmt.Sprintf("k%06d", key) }

// tracker knows which writes are shown by every member.
type tracker struct {
	mu      sync.Mutex
	shown   []map[int]int // by member: the newest write of each key
	pending map[int][]sent
	open    int
	took    series // milliseconds
	done    chan struct{}
}

type sent struct {
	id int
	at time.Time
}

func newTracker(members int) *tracker {
	t := &tracker{pending: map[int][]sent{}, done: make(chan struct{}, 1)}
	for range members {
		t.shown = append(t.shown, map[int]int{})
	}
	return t
}

// expect is called before a write is sent; at is when it was due.
func (t *tracker) expect(w write, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending[w.key] = append(t.pending[w.key], sent{w.id, at})
	t.open++
}

// forget takes a write back that failed.
func (t *tracker) forget(w write) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.pending[w.key]
	if n := len(list); n > 0 && list[n-1].id == w.id {
		t.pending[w.key] = list[:n-1]
		t.open--
	}
}

// seen is called for what a member shows. A write counts as visible when every
// member shows it or a later one of its key.
func (t *tracker) seen(member int, w write) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shown[member][w.key] >= w.id {
		return
	}
	t.shown[member][w.key] = w.id
	everywhere := w.id
	for _, m := range t.shown {
		everywhere = min(everywhere, m[w.key])
	}
	list := t.pending[w.key]
	for len(list) > 0 && list[0].id <= everywhere {
		t.took = append(t.took, millis(now.Sub(list[0].at)))
		list = list[1:]
		t.open--
	}
	t.pending[w.key] = list
	if t.open == 0 {
		select {
		case t.done <- struct{}{}:
		default:
		}
	}
}

// wait returns when everything sent is visible everywhere.
func (t *tracker) wait(ctx context.Context, patience time.Duration) error {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		t.mu.Lock()
		open := t.open
		t.mu.Unlock()
		if open == 0 {
			return nil
		}
		select {
		case <-t.done:
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout.C:
			return fmt.Errorf("%d writes are not visible on all members %v after the last one", open, patience)
		}
	}
}

// lost counts what is not visible yet.
func (t *tracker) lost() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open
}

func (t *tracker) latencies() series {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append(series(nil), t.took...)
}

// watched runs body while every member of c is followed by a new tracker.
func watched(ctx context.Context, c cluster, body func(ctx context.Context, t *tracker) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	t := newTracker(c.members())
	var followers, started sync.WaitGroup
	for m := range c.members() {
		started.Add(1)
		began := sync.OnceFunc(started.Done)
		followers.Go(func() {
			defer began()
			if err := c.follow(ctx, m, began, func(w write) { t.seen(m, w) }); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("follow member %d of %s: %w", m, c.name(), err))
			}
		})
	}
	started.Wait()
	err := body(ctx, t)
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = errors.Join(err, cause)
	}
	cancel(nil)
	followers.Wait()
	return err
}

// workers is how many clients write side by side.
const workers = 64

// numbers hands out the numbers of writes: one source for a whole run, so that a
// later round's writes are later than all before.
type numbers struct {
	mu   sync.Mutex
	last int
}

func (n *numbers) next() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last++
	return n.last
}

// closedLoop lets every worker write its own keys as fast as they are
// acknowledged, total writes in all. t may be nil.
func closedLoop(ctx context.Context, c cluster, t *tracker, ids *numbers, keys, total int) error {
	return inParallel(ctx, func(ctx context.Context, worker int) error {
		mine := (keys - worker + workers - 1) / workers
		for i := 0; i < (total-worker+workers-1)/workers; i++ {
			w := write{key: worker + (i%mine)*workers, id: ids.next()}
			if err := putTracked(ctx, c, t, worker%c.members(), w, time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
}

// openLoop sends rate writes per second for a while, due at even intervals; a
// write that starts late because its worker waits counts from when it was due.
func openLoop(ctx context.Context, c cluster, t *tracker, ids *numbers, keys int, rate float64, length time.Duration) error {
	return paced(ctx, workers, rate, length, func(ctx context.Context, i int, due time.Time) error {
		worker := i % workers
		mine := (keys - worker + workers - 1) / workers
		w := write{key: worker + (i/workers%mine)*workers, id: ids.next()}
		return putTracked(ctx, c, t, worker%c.members(), w, due)
	})
}

// paced does things at a rate for a while, each due at its time; thing i is done
// by client i % clients, which may be late.
func paced(ctx context.Context, clients int, rate float64, length time.Duration, do func(ctx context.Context, i int, due time.Time) error) error {
	total := int(rate * length.Seconds())
	began := time.Now()
	return parallel(ctx, clients, func(ctx context.Context, client int) error {
		for i := client; i < total; i += clients {
			due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Until(due)):
			}
			if err := do(ctx, i, due); err != nil {
				return err
			}
		}
		return nil
	})
}

func putTracked(ctx context.Context, c cluster, t *tracker, member int, w write, due time.Time) error {
	if t != nil {
		t.expect(w, due)
	}
	err := c.put(ctx, member, w)
	if err != nil && t != nil {
		t.forget(w)
	}
	return err
}

// inParallel runs all workers until the first failure.
func inParallel(ctx context.Context, body func(ctx context.Context, worker int) error) error {
	return parallel(ctx, workers, body)
}

// parallel runs n bodies side by side; the first failure ends all.
func parallel(ctx context.Context, n int, body func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := body(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}
