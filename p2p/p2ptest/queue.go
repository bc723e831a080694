package p2ptest

import (
	"context"
	"slices"
	"sync"
	"time"

	"holon/p2p"
)

// sendQueue keeps the newest frames within the bounds of p2p, those of SendFirst
// before the others.
type sendQueue struct {
	frames [][]byte
	first  int // so many go first
	bytes  int
}

func (q *sendQueue) pushFirst(frame []byte) {
	q.frames = slices.Insert(q.frames, q.first, frame)
	q.first++
	q.bytes += len(frame)
	q.trim()
}

func (q *sendQueue) push(frame []byte) {
	q.frames = append(q.frames, frame)
	q.bytes += len(frame)
	q.trim()
}

// trim drops the oldest of those that do not go first, then of those that do.
func (q *sendQueue) trim() {
	for len(q.frames) > p2p.SendQueueMax || q.bytes > p2p.SendQueueBytesMax {
		oldest := q.first
		if oldest == len(q.frames) {
			oldest, q.first = 0, q.first-1
		}
		q.bytes -= len(q.frames[oldest])
		q.frames = slices.Delete(q.frames, oldest, oldest+1)
	}
}

type itemKind int

const (
	frameItem itemKind = iota
	upItem
	downItem
)

// item is something that a peer's owner is told.
type item struct {
	kind   itemKind
	frame  []byte
	rumour bool      // came by broadcast: it outlives the connection
	due    time.Time // not before
}

// inbox holds what one peer sent to another, in order. Words of up and down are
// never dropped; frames beyond p2p.SendQueueMax are, oldest first.
type inbox struct {
	mu     sync.Mutex
	items  []item
	frames int
	news   chan struct{} // one waiting token
}

func newInbox() *inbox { return &inbox{news: make(chan struct{}, 1)} }

func (in *inbox) push(it item, overtake bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.items = append(in.items, it)
	if n := len(in.items); overtake && n > 1 && in.items[n-2].kind == frameItem {
		in.items[n-1], in.items[n-2] = in.items[n-2], in.items[n-1]
	}
	if it.kind == frameItem {
		if in.frames++; in.frames > p2p.SendQueueMax {
			in.drop(1, func(item) bool { return true })
		}
	}
	select {
	case in.news <- struct{}{}:
	default:
	}
}

// dropFrames forgets what was under way on a connection that is lost.
func (in *inbox) dropFrames() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.drop(len(in.items), func(it item) bool { return !it.rumour })
}

// drop removes the oldest max frames that match.
func (in *inbox) drop(max int, match func(item) bool) {
	kept := in.items[:0]
	for _, it := range in.items {
		if max > 0 && it.kind == frameItem && match(it) {
			max--
			in.frames--
			continue
		}
		kept = append(kept, it)
	}
	in.items = kept
}

// pop takes the first item, or says how long to wait for it; ok is false when
// there is none.
func (in *inbox) pop() (it item, wait time.Duration, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.items) == 0 {
		return item{}, 0, false
	}
	if wait = time.Until(in.items[0].due); wait > 0 {
		return item{}, wait, true
	}
	it = in.items[0]
	in.items = in.items[1:]
	if it.kind == frameItem {
		in.frames--
	}
	return it, 0, true
}

// deliver tells the owner, one item after the other, until ctx ends.
func (in *inbox) deliver(ctx context.Context, from p2p.PeerID, events p2p.Events) {
	for {
		it, wait, ok := in.pop()
		var timer <-chan time.Time
		news := in.news
		if wait > 0 {
			timer, news = time.After(wait), nil
		}
		if !ok || wait > 0 {
			select {
			case <-news:
			case <-timer:
			case <-ctx.Done():
				return
			}
			continue
		}
		if ctx.Err() != nil {
			return
		}
		switch it.kind {
		case frameItem:
			events.Frame(from, it.frame)
		case upItem:
			events.Up(from)
		case downItem:
			events.Down(from)
		}
	}
}
