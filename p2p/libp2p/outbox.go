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

// outbox keeps the newest frames for one peer, those that go first in a lane of
// their own.
type outbox struct {
	mu    sync.Mutex
	first lane
	rest  lane
	about map[peer.ID]struct{} // peers whose address records to send; bounded by the book
	news  chan struct{}        // one waiting token
}

// lane is a queue within p2p.SendQueueMax and p2p.SendQueueBytesMax.
type lane struct {
	frames []queued
	bytes  int
}

type queued struct {
	frame []byte
	at    time.Time
}

func (l *lane) push(frame []byte) {
	l.frames = append(l.frames, queued{frame, time.Now()})
	l.bytes += len(frame)
	for len(l.frames) > p2p.SendQueueMax || l.bytes > p2p.SendQueueBytesMax {
		l.shift()
	}
}

func (l *lane) shift() []byte {
	f := l.frames[0].frame
	l.frames[0] = queued{}
	l.frames = l.frames[1:]
	l.bytes -= len(f)
	if len(l.frames) == 0 {
		l.frames = nil // free the array
	}
	return f
}

// pop takes the oldest frame that is not too old.
func (l *lane) pop() ([]byte, bool) {
	for len(l.frames) > 0 {
		at := l.frames[0].at
		if f := l.shift(); time.Since(at) <= frameAgeMax {
			return f, true
		}
	}
	return nil, false
}

func newOutbox() *outbox { return &outbox{news: make(chan struct{}, 1)} }

func (o *outbox) push(frame []byte) { o.pushTo(&o.rest, frame) }

func (o *outbox) pushFirst(frame []byte) { o.pushTo(&o.first, frame) }

func (o *outbox) pushTo(l *lane, frame []byte) {
	o.mu.Lock()
	l.push(frame)
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

func (o *outbox) pop() ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f, ok := o.first.pop(); ok {
		return f, true
	}
	return o.rest.pop()
}

func (o *outbox) waiting() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.first.frames)+len(o.rest.frames) > 0
}

func (o *outbox) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.first, o.rest, o.about = lane{}, lane{}, nil
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
