package p2ptest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	goruntime "runtime"
	"sync/atomic"
	"testing"
	"time"

	"holon/p2p"
)

func isErr(err, target error) bool { return errors.Is(err, target) }

// echo sends back what comes, until EOF.
func echo(_ context.Context, _ p2p.PeerID, s p2p.Stream) {
	defer s.Close()
	if _, err := io.Copy(s, s); err != nil {
		s.Reset()
	}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), AwaitMax)
	t.Cleanup(cancel)
	return ctx
}

// openFails opens an echo stream that ought to be refused; it returns why.
func openFails(m p2p.Mesh, peer p2p.PeerID) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	s, err := m.Open(ctx, peer, "echo")
	if err == nil {
		s.Reset()
	}
	return err
}

func mustOpen(t *testing.T, m p2p.Mesh, peer p2p.PeerID, protocol string) p2p.Stream {
	t.Helper()
	s, err := m.Open(deadline(t), peer, protocol)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func roundTrip(t *testing.T, m p2p.Mesh, peer p2p.PeerID, data []byte) {
	t.Helper()
	s := mustOpen(t, m, peer, "echo")
	defer s.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := s.Write(data)
		sent <- errors.Join(err, s.CloseWrite())
	}()
	got, err := io.ReadAll(s)
	if err := errors.Join(err, <-sent); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("echo of %d bytes gave %d: %v", len(data), len(got), err)
	}
}

func streamsEcho(t *testing.T, b builder) {
	fs := b.meshed(t, 2)
	fs[1].Mesh.Handle("echo", func(ctx context.Context, peer p2p.PeerID, s p2p.Stream) {
		if peer != fs[0].ID() {
			t.Errorf("handler was told peer %s", peer)
		}
		echo(ctx, peer, s)
	})
	for _, size := range []int{0, 1, 100_000, 3 << 20} {
		roundTrip(t, fs[0].Mesh, fs[1].ID(), bytes.Repeat([]byte("holon"), size/5+1)[:size])
	}
}

func closeWriteIsEOF(t *testing.T, b builder) {
	fs := b.meshed(t, 2)
	fs[1].Mesh.Handle("sum", func(_ context.Context, _ p2p.PeerID, s p2p.Stream) {
		defer s.Close()
		data, err := io.ReadAll(s) // ends at the peer's CloseWrite
		if err != nil {
			t.Errorf("handler read: %v", err)
		}
		sum := sha256.Sum256(data)
		s.Write(sum[:]) // the other half is still open
	})
	s := mustOpen(t, fs[0].Mesh, fs[1].ID(), "sum")
	defer s.Close()
	if _, err := s.Write([]byte("half-closed")); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("more")); err == nil {
		t.Error("write after CloseWrite succeeded")
	}
	got, err := io.ReadAll(s)
	if want := sha256.Sum256([]byte("half-closed")); err != nil || !bytes.Equal(got, want[:]) {
		t.Errorf("got %x, %v", got, err)
	}
}

func resetIsAnError(t *testing.T, b builder) {
	fs := b.meshed(t, 2)
	read := make(chan error, 1)
	fs[1].Mesh.Handle("read", func(_ context.Context, _ p2p.PeerID, s p2p.Stream) {
		defer s.Reset()
		s.Write([]byte{1})
		_, err := io.Copy(io.Discard, s)
		read <- err // nil at EOF
	})
	s := mustOpen(t, fs[0].Mesh, fs[1].ID(), "read")
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	s.Reset()
	select {
	case err := <-read:
		if err == nil {
			t.Error("the peer read EOF after a reset")
		}
	case <-time.After(AwaitMax):
		t.Fatal("the peer still reads after a reset")
	}
	if _, err := s.Read(make([]byte, 1)); err == nil {
		t.Error("own read after a reset succeeded")
	}
}

func cancelledOpenEnds(t *testing.T, b builder) {
	fs := b.loose(t, 2)
	a, z := fs[0], fs[1]
	a.Mesh.SetMembers(Members(a, z)) // z lets nobody in, so open cannot succeed
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := a.Mesh.Open(ctx, z.ID(), "echo")
		done <- err
	}()
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Error("open succeeded")
		}
	case <-time.After(AwaitMax):
		t.Fatal("open outlives its context")
	}
	if err := openFails(a.Mesh, z.ID()); !isErr(err, p2p.ErrUnreachable) && !isErr(err, context.DeadlineExceeded) {
		t.Errorf("open to an unreachable member: %v", err)
	}
}

func unknownProtocol(t *testing.T, b builder) {
	fs := b.meshed(t, 2)
	if _, err := fs[0].Mesh.Open(deadline(t), fs[1].ID(), "nobody-serves-this"); !isErr(err, p2p.ErrNoHandler) {
		t.Errorf("got %v", err)
	}
}

// slowReader writes far more than any window to a handler that does not read:
// the writer has to stop, everything else has to go on, and nothing is lost.
func slowReader(t *testing.T, b builder) {
	const total = 64 << 20
	fs := b.meshed(t, 2)
	a, z := fs[0], fs[1]
	release := make(chan struct{})
	read := make(chan int64, 1)
	z.Mesh.Handle("echo", echo)
	z.Mesh.Handle("slow", func(_ context.Context, _ p2p.PeerID, s p2p.Stream) {
		defer s.Close()
		<-release
		n, _ := io.Copy(io.Discard, s)
		read <- n
	})
	s := mustOpen(t, a.Mesh, z.ID(), "slow")
	var written atomic.Int64
	done := make(chan error, 1)
	go func() {
		chunk := make([]byte, 64<<10)
		for written.Load() < total {
			if _, err := s.Write(chunk); err != nil {
				done <- err
				return
			}
			written.Add(int64(len(chunk)))
		}
		done <- s.CloseWrite()
	}()
	awaitStall(t, &written, total)

	for i := range 50 {
		a.Mesh.Send(z.ID(), numbered(i))
	}
	z.Events.AwaitFrame(t, a.ID(), numbered(49))
	roundTrip(t, a.Mesh, z.ID(), []byte("beside the stalled one"))
	z.Mesh.Send(a.ID(), numbered(0))
	a.Events.AwaitFrame(t, z.ID(), numbered(0))

	close(release)
	if err := <-done; err != nil {
		t.Fatalf("writer: %v", err)
	}
	if n := <-read; n != total {
		t.Errorf("%d bytes arrived of %d", n, total)
	}
}

// awaitStall waits until a counter stands still, short of total. There is no
// event for "blocked", so it looks.
func awaitStall(t *testing.T, counter *atomic.Int64, total int64) {
	t.Helper()
	last, still := int64(-1), 0
	for still < 10 {
		time.Sleep(30 * time.Millisecond)
		switch now := counter.Load(); {
		case now >= total:
			t.Fatalf("%d bytes were taken from a writer whose reader does not read", now)
		case now == last && now > 0:
			still++
		default:
			last, still = now, 0
		}
	}
}

func downBreaksStreams(t *testing.T, b builder) {
	fs := b.meshed(t, 2)
	fs[1].Mesh.Handle("echo", echo)
	s := mustOpen(t, fs[0].Mesh, fs[1].ID(), "echo")
	defer s.Close()
	broken := make(chan error, 1)
	go func() {
		_, err := s.Read(make([]byte, 1))
		broken <- err
	}()
	fs[0].Mesh.SetMembers(Members(fs[0]))
	select {
	case err := <-broken:
		if err == nil || err == io.EOF {
			t.Errorf("a lost connection reads as %v", err)
		}
	case <-time.After(AwaitMax):
		t.Fatal("the stream outlives its connection")
	}
}

func closeWaitsForHandlers(t *testing.T, b builder) {
	fs := b.meshed(t, 2)
	var finished atomic.Bool
	started := make(chan struct{})
	fs[1].Mesh.Handle("linger", func(ctx context.Context, _ p2p.PeerID, s p2p.Stream) {
		defer s.Reset()
		close(started)
		<-ctx.Done()
		time.Sleep(50 * time.Millisecond) // a handler that needs a moment to tidy up
		finished.Store(true)
	})
	s := mustOpen(t, fs[0].Mesh, fs[1].ID(), "linger")
	defer s.Reset()
	if _, err := s.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	<-started
	if err := fs[1].Mesh.Close(); err != nil {
		t.Fatal(err)
	}
	if !finished.Load() {
		t.Error("Close returned before a handler did")
	}
	if _, err := fs[1].Mesh.Open(deadline(t), fs[0].ID(), "echo"); err == nil {
		t.Error("a closed mesh opens streams")
	}
	fs[1].Mesh.Send(fs[0].ID(), []byte("x")) // must not panic
	fs[1].Mesh.Broadcast([]byte("x"))
	if err := fs[1].Mesh.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func closeLeavesNoGoroutine(t *testing.T, b builder) {
	warm := b(t, 2) // process-wide helpers of a library start once
	connectAll(t, warm)
	closeAll(t, warm)
	before := settledGoroutines(0)
	fs := b(t, 4)
	connectAll(t, fs)
	fs[1].Mesh.Handle("echo", echo)
	roundTrip(t, fs[0].Mesh, fs[1].ID(), []byte("x"))
	fs[0].Mesh.Broadcast([]byte("x"))
	if goruntime.NumGoroutine() <= before {
		t.Error("the count does not see the meshes' goroutines")
	}
	closeAll(t, fs)
	if after := settledGoroutines(before); after > before {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines before, %d after Close\n%s", before, after, buf[:goruntime.Stack(buf, true)])
	}
}

func closeAll(t *testing.T, fs []Fixture) {
	t.Helper()
	for _, f := range fs {
		if err := f.Mesh.Close(); err != nil {
			t.Error(err)
		}
	}
}

// settledGoroutines waits, for some seconds at most, until no more than want
// goroutines are left or their number stands still, and returns it. Libraries
// end some of theirs a moment after they were closed.
func settledGoroutines(want int) int {
	last, still := goruntime.NumGoroutine(), 0
	for range 200 {
		if last <= want || want == 0 && still > 10 {
			break
		}
		time.Sleep(50 * time.Millisecond)
		now := goruntime.NumGoroutine()
		if now == last {
			still++
		} else {
			last, still = now, 0
		}
	}
	return last
}
