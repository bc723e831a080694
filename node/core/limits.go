package core

import (
	"errors"

	"holon/p2p"
)

// Limits of what one peer may send, liveness apart: more than any node sends when
// a whole cluster heals, and less than what keeps this one from its own work.
const (
	framesPerSecond, framesBurst = 5000, 5000
	bytesPerSecond, bytesBurst   = 32 << 20, 128 << 20
)

var errTooFast = errors.New("it sends more than this node takes; frames are dropped")

// bucket is a token bucket as a value: tokens at an instant.
type bucket struct {
	tokens float64
	at     Instant
}

// take reports whether n tokens could be taken from a bucket that fills at rate
// per second up to burst.
func (b bucket) take(now Instant, n, rate, burst float64) (bucket, bool) {
	b.tokens = min(burst, b.tokens+rate*max(now-b.at, 0).Seconds())
	b.at = now
	if b.tokens < n {
		return b, false
	}
	b.tokens -= n
	return b, true
}

type limits struct {
	peers map[p2p.PeerID]*peerLimits
}

type peerLimits struct{ frames, bytes bucket }

func newLimits() limits { return limits{peers: map[p2p.PeerID]*peerLimits{}} }

// admits takes a frame's share from its sender's buckets. Members only get here,
// so there are as many as members.
func (l *limits) admits(now Instant, from p2p.PeerID, frame []byte) bool {
	p := l.peers[from]
	if p == nil {
		p = &peerLimits{frames: bucket{framesBurst, now}, bytes: bucket{bytesBurst, now}}
		l.peers[from] = p
	}
	var few, small bool
	p.frames, few = p.frames.take(now, 1, framesPerSecond, framesBurst)
	p.bytes, small = p.bytes.take(now, float64(len(frame)), bytesPerSecond, bytesBurst)
	return few && small
}
