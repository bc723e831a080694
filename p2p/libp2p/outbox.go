package libp2p

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"holon/p2p"
)

// frameAgeMax is how long a frame may wait: what a peer hears after a partition
// should be about now.
const frameAgeMax = 10 * time.Second

// outbox keeps the newest frames for one peer within p2p.SendQueueMax and
// p2p.SendQueueBytesMax.
type outbox struct {
	mu     sync.Mutex
	frames []queued
	bytes  int
	about  map[peer.ID]struct{} // peers whose address records to send; bounded by the book
	news   chan struct{}        // one waiting token
}

type queued struct {
	frame []byte
	at    time.Time
}

func newOutbox() *outbox { return &outbox{news: make(chan struct{}, 1)} }

func (o *outbox) push(frame []byte) {
	o.mu.Lock()
	o.frames = append(o.frames, queued{frame, time.Now()})
	o.bytes += len(frame)
	for len(o.frames) > p2p.SendQueueMax || o.bytes > p2p.SendQueueBytesMax {
		o.shift()
	}
	o.mu.Unlock()
	o.poke()
}

// tell asks the writer to send the address record of a peer.
func (o *outbox) tell(about peer.ID) {
	o.mu.Lock()
	if o.about == nil {
		o.about = map[peer.ID]struct{}{}
	}
	o.about[about] = struct{}{}
	o.mu.Unlock()
	o.poke()
}

// told takes the peers whose records are to be sent.
func (o *outbox) told() map[peer.ID]struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	about := o.about
	o.about = nil
	return about
}

func (o *outbox) poke() {
	select {
	case o.news <- struct{}{}:
	default:
	}
}

func (o *outbox) shift() []byte {
	f := o.frames[0].frame
	o.frames[0] = queued{}
	o.frames = o.frames[1:]
	o.bytes -= len(f)
	if len(o.frames) == 0 {
		o.frames = nil // free the array
	}
	return f
}

// pop takes the oldest frame that is not too old.
func (o *outbox) pop() ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.frames) > 0 {
		at := o.frames[0].at
		if f := o.shift(); time.Since(at) <= frameAgeMax {
			return f, true
		}
	}
	return nil, false
}

func (o *outbox) waiting() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.frames) > 0
}

func (o *outbox) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.frames, o.bytes, o.about = nil, 0, nil
}

// wait returns when something was pushed or poked since the last wait.
func (o *outbox) wait(ctx context.Context) error {
	select {
	case <-o.news:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
