package p2ptest

import (
	"errors"
	"io"
	"sync"

	"holon/p2p"
)

// pipeBytesMax is how much a half holds before its writer waits.
const pipeBytesMax = 256 << 10

var errReset = errors.New("stream was reset")

// half is one direction of a stream.
type half struct {
	mu   sync.Mutex
	cond sync.Cond
	buf  []byte
	eof  bool  // the writer is done
	err  error // the half is broken: buffered bytes are gone too
}

func newHalf() *half {
	h := &half{}
	h.cond.L = &h.mu
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.buf) == 0 && !h.eof && h.err == nil && len(p) > 0 {
		h.cond.Wait()
	}
	switch {
	case h.err != nil:
		return 0, h.err
	case len(h.buf) == 0 && h.eof:
		return 0, io.EOF
	}
	n := copy(p, h.buf)
	h.buf = h.buf[n:]
	h.cond.Broadcast()
	return n, nil
}

func (h *half) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	done := 0
	for done < len(p) {
		for len(h.buf) >= pipeBytesMax && h.err == nil && !h.eof {
			h.cond.Wait()
		}
		if h.err != nil {
			return done, h.err
		}
		if h.eof {
			return done, io.ErrClosedPipe
		}
		n := min(len(p)-done, pipeBytesMax-len(h.buf))
		h.buf = append(h.buf, p[done:done+n]...)
		done += n
		h.cond.Broadcast()
	}
	return done, nil
}

func (h *half) end(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		h.eof = true
	} else if h.err == nil {
		h.err = err
	}
	h.cond.Broadcast()
}

// stream is one end of a pair of halves.
type stream struct {
	near, far *Mesh
	twin      *stream
	in, out   *half
}

var _ p2p.Stream = (*stream)(nil)

// newStreams makes both ends. It runs under net.mu.
func newStreams(a, b *Mesh) (*stream, *stream) {
	ab, ba := newHalf(), newHalf()
	x := &stream{near: a, far: b, in: ba, out: ab}
	y := &stream{near: b, far: a, in: ab, out: ba, twin: x}
	x.twin = y
	a.streams[x], b.streams[y] = struct{}{}, struct{}{}
	return x, y
}

func (s *stream) Read(p []byte) (int, error)  { return s.in.read(p) }
func (s *stream) Write(p []byte) (int, error) { return s.out.write(p) }

func (s *stream) CloseWrite() error {
	s.out.end(nil)
	return nil
}

// Close ends writing and stops reading: what the peer still writes fails.
func (s *stream) Close() error {
	s.out.end(nil)
	s.in.end(io.ErrClosedPipe)
	s.forget()
	return nil
}

// Reset aborts both halves.
func (s *stream) Reset() {
	s.in.end(errReset)
	s.out.end(errReset)
	s.forget()
}

func (s *stream) forget() {
	s.near.net.mu.Lock()
	defer s.near.net.mu.Unlock()
	delete(s.near.streams, s)
}

// abort is Reset of both ends under net.mu.
func (s *stream) abort() {
	s.in.end(errReset)
	s.out.end(errReset)
	delete(s.near.streams, s)
	delete(s.far.streams, s.twin)
}
