package p2ptest

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"holon/p2p"
)

// AwaitMax is how long a Recorder waits before it fails the test: far longer
// than anything takes, because nothing here is a measurement.
const AwaitMax = 30 * time.Second

// Recorder is an Events that remembers, and on which a test can wait.
type Recorder struct {
	mu     sync.Mutex
	frames map[p2p.PeerID][][]byte
	ups    map[p2p.PeerID]int
	downs  map[p2p.PeerID]int
	change chan struct{} // closed and replaced at each event
}

// NewRecorder makes an empty one.
func NewRecorder() *Recorder {
	return &Recorder{
		frames: map[p2p.PeerID][][]byte{}, ups: map[p2p.PeerID]int{}, downs: map[p2p.PeerID]int{},
		change: make(chan struct{}),
	}
}

func (r *Recorder) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.change)
	r.change = make(chan struct{})
}

// Frame implements p2p.Events.
func (r *Recorder) Frame(from p2p.PeerID, frame []byte) {
	frame = bytes.Clone(frame)
	r.note(func() { r.frames[from] = append(r.frames[from], frame) })
}

// Up implements p2p.Events.
func (r *Recorder) Up(peer p2p.PeerID) { r.note(func() { r.ups[peer]++ }) }

// Down implements p2p.Events.
func (r *Recorder) Down(peer p2p.PeerID) { r.note(func() { r.downs[peer]++ }) }

// Frames are the frames from a peer so far.
func (r *Recorder) Frames(from p2p.PeerID) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]byte(nil), r.frames[from]...)
}

// IsUp reports whether the last word on a peer was Up.
func (r *Recorder) IsUp(peer p2p.PeerID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ups[peer] > r.downs[peer]
}

// Downs counts the Down events of a peer.
func (r *Recorder) Downs(peer p2p.PeerID) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.downs[peer]
}

// Await waits until cond holds, looking again after each event.
func (r *Recorder) Await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(AwaitMax)
	defer deadline.Stop()
	for {
		r.mu.Lock()
		change := r.change
		r.mu.Unlock()
		if cond() {
			return
		}
		select {
		case <-change:
		case <-deadline.C:
			t.Fatalf("did not happen within %v: %s", AwaitMax, what)
		}
	}
}

// AwaitUp waits until every peer is up.
func (r *Recorder) AwaitUp(t testing.TB, peers ...p2p.PeerID) {
	t.Helper()
	for _, p := range peers {
		r.Await(t, string(p)+" is up", func() bool { return r.IsUp(p) })
	}
}

// AwaitDown waits until every peer is down.
func (r *Recorder) AwaitDown(t testing.TB, peers ...p2p.PeerID) {
	t.Helper()
	for _, p := range peers {
		r.Await(t, string(p)+" is down", func() bool { return !r.IsUp(p) })
	}
}

// AwaitFrame waits for a frame with this content from a peer.
func (r *Recorder) AwaitFrame(t testing.TB, from p2p.PeerID, want []byte) {
	t.Helper()
	r.Await(t, "frame from "+string(from), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, f := range r.frames[from] {
			if bytes.Equal(f, want) {
				return true
			}
		}
		return false
	})
}

// AwaitRetry is Await that repeats an action ten times a second until cond holds:
// for what the contract calls best effort.
func (r *Recorder) AwaitRetry(t testing.TB, what string, cond func() bool, action func()) {
	t.Helper()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	deadline := time.NewTimer(AwaitMax)
	defer deadline.Stop()
	action()
	for {
		r.mu.Lock()
		change := r.change
		r.mu.Unlock()
		if cond() {
			return
		}
		select {
		case <-change:
		case <-again.C:
			action()
		case <-deadline.C:
			t.Fatalf("did not happen within %v: %s", AwaitMax, what)
		}
	}
}
