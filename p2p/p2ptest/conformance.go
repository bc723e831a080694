package p2ptest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"holon/p2p"
)

// Fixture is one mesh under test and what it told its owner.
type Fixture struct {
	Mesh   p2p.Mesh
	Events *Recorder
}

// ID is the mesh's peer ID.
func (f Fixture) ID() p2p.PeerID { return f.Mesh.Self() }

// Member is the mesh as others name it.
func (f Fixture) Member() p2p.Member { return p2p.Member{ID: f.Mesh.Self(), Addrs: f.Mesh.Addrs()} }

// Members are several fixtures as others name them.
func Members(fs ...Fixture) []p2p.Member {
	var out []p2p.Member
	for _, f := range fs {
		out = append(out, f.Member())
	}
	return out
}

// Conformance checks that a Mesh keeps the contract of package p2p. build makes
// n meshes that can reach each other but have no members yet; the suite closes
// them.
func Conformance(t *testing.T, build func(t *testing.T, n int) []Fixture) {
	tests := []struct {
		name string
		run  func(t *testing.T, b builder)
	}{
		{"FramesArriveInOrder", framesArriveInOrder},
		{"FramesOfEverySizeArriveUnaltered", framesOfEverySize},
		{"OversizeFramesAreDropped", oversizeFramesAreDropped},
		{"QueueKeepsTheNewestFrames", queueKeepsTheNewest},
		{"FirstFramesOvertake", firstFramesOvertake},
		{"UpAndDownAreReported", upAndDown},
		{"StrangersCannotSendOrOpen", strangersCannotSpeak},
		{"DroppedMemberIsDisconnected", droppedMemberIsDisconnected},
		{"DepartedPeerIsToldSo", departedPeerIsToldSo},
		{"BroadcastReachesAll", broadcastReachesAll},
		{"StreamsEcho", streamsEcho},
		{"CloseWriteIsEOF", closeWriteIsEOF},
		{"ResetIsAnError", resetIsAnError},
		{"CancelledOpenEnds", cancelledOpenEnds},
		{"UnknownProtocolIsNamed", unknownProtocol},
		{"SlowReaderBlocksTheWriterOnly", slowReader},
		{"DownBreaksStreams", downBreaksStreams},
		{"CloseWaitsForHandlers", closeWaitsForHandlers},
		{"CloseLeavesNoGoroutine", closeLeavesNoGoroutine},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, build) })
	}
}

type builder func(t *testing.T, n int) []Fixture

// loose makes meshes that do not know each other and closes them at the end.
func (b builder) loose(t *testing.T, n int) []Fixture {
	t.Helper()
	fs := b(t, n)
	t.Cleanup(func() {
		for _, f := range fs {
			if err := f.Mesh.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	})
	return fs
}

// meshed makes meshes that are all members of each other, and waits until all
// are connected.
func (b builder) meshed(t *testing.T, n int) []Fixture {
	t.Helper()
	fs := b.loose(t, n)
	connectAll(t, fs)
	return fs
}

func connectAll(t *testing.T, fs []Fixture) {
	t.Helper()
	for _, f := range fs {
		f.Mesh.SetMembers(Members(fs...))
	}
	for _, f := range fs {
		for _, g := range fs {
			if f.ID() != g.ID() {
				f.Events.AwaitUp(t, g.ID())
			}
		}
	}
}

func numbered(i int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(i)) }

// checkRun fails unless the frames are numbered from, from+1, ...
func checkRun(t *testing.T, frames [][]byte, from int) {
	t.Helper()
	for i, f := range frames {
		if !bytes.Equal(f, numbered(from+i)) {
			t.Fatalf("frame %d is %x, want number %d", i, f, from+i)
		}
	}
}

func framesArriveInOrder(t *testing.T, b builder) {
	fs := b.meshed(t, 2)
	a, z := fs[0], fs[1]
	const n = p2p.SendQueueMax // so the queue's bound cannot drop any
	for i := range n {
		a.Mesh.Send(z.ID(), numbered(i))
	}
	z.Events.AwaitFrame(t, a.ID(), numbered(n-1))
	frames := z.Events.Frames(a.ID())
	if len(frames) != n {
		t.Fatalf("%d frames arrived, want %d", len(frames), n)
	}
	checkRun(t, frames, 0)
}

func framesOfEverySize(t *testing.T, b builder) {
	fs := b.meshed(t, 2)
	a, z := fs[0], fs[1]
	for i, size := range []int{0, 1, 1023, 1024, 1025, 64 << 10, p2p.FrameBytesMax - 1, p2p.FrameBytesMax} {
		for _, random := range []bool{false, true} {
			frame := bytes.Repeat([]byte{byte(i)}, size)
			if random {
				for j := range frame {
					frame[j] = byte(j * j * (i + 7) >> 3)
				}
			}
			sent := bytes.Clone(frame)
			a.Mesh.Send(z.ID(), sent)
			for j := range sent { // the sender owns its buffer again
				sent[j] = 0xee
			}
			z.Events.AwaitFrame(t, a.ID(), frame)
		}
	}
}

func oversizeFramesAreDropped(t *testing.T, b builder) {
	fs := b.meshed(t, 2)
	a, z := fs[0], fs[1]
	a.Mesh.Send(z.ID(), make([]byte, p2p.FrameBytesMax+1))
	a.Mesh.Broadcast(make([]byte, p2p.BroadcastBytesMax+1))
	a.Mesh.Send(z.ID(), numbered(0))
	z.Events.AwaitFrame(t, a.ID(), numbered(0))
	if got := z.Events.Frames(a.ID()); len(got) != 1 {
		t.Errorf("%d frames arrived, want 1", len(got))
	}
	if z.Events.Downs(a.ID()) != 0 {
		t.Error("an oversize frame cost the connection")
	}
}

// Frames wait while z does not let a in, within the bound.
func queueKeepsTheNewest(t *testing.T, b builder) {
	fs := b.loose(t, 2)
	a, z := fs[0], fs[1]
	a.Mesh.SetMembers(Members(a, z))
	const extra = 50
	for i := range p2p.SendQueueMax + extra {
		a.Mesh.Send(z.ID(), numbered(i))
	}
	z.Mesh.SetMembers(Members(a, z))
	z.Events.AwaitFrame(t, a.ID(), numbered(p2p.SendQueueMax+extra-1))
	frames := z.Events.Frames(a.ID())
	if len(frames) > p2p.SendQueueMax+1 || len(frames) < p2p.SendQueueMax {
		t.Fatalf("%d frames arrived, the queue holds %d", len(frames), p2p.SendQueueMax)
	}
	// One frame may have left the queue and wait in the writer's hand.
	checkRun(t, frames[len(frames)-p2p.SendQueueMax:], extra)
}

// Frames wait while z does not let a in; the last two of them must not.
func firstFramesOvertake(t *testing.T, b builder) {
	fs := b.loose(t, 2)
	a, z := fs[0], fs[1]
	a.Mesh.SetMembers(Members(a, z))
	const waiting = 50
	for i := range waiting {
		a.Mesh.Send(z.ID(), numbered(i))
	}
	a.Mesh.SendFirst(z.ID(), []byte("alive"))
	a.Mesh.SendFirst(z.ID(), []byte("still alive"))
	z.Mesh.SetMembers(Members(a, z))
	z.Events.AwaitFrame(t, a.ID(), numbered(waiting-1))
	var order []int
	for i, f := range z.Events.Frames(a.ID()) {
		if bytes.Equal(f, []byte("alive")) || bytes.Equal(f, []byte("still alive")) {
			order = append(order, i, len(f))
		}
	}
	// One frame may have left the queue and wait in the writer's hand.
	if len(order) != 4 || order[0] > 1 || order[1] != len("alive") || order[2] != order[0]+1 {
		t.Fatalf("place and length of the two frames that go first: %v", order)
	}
}

func upAndDown(t *testing.T, b builder) {
	fs := b.meshed(t, 3)
	for _, f := range fs[:2] {
		if f.Events.Downs(fs[2].ID()) != 0 {
			t.Error("down before anything went down")
		}
	}
	if err := fs[2].Mesh.Close(); err != nil {
		t.Fatal(err)
	}
	fs[0].Events.AwaitDown(t, fs[2].ID())
	fs[1].Events.AwaitDown(t, fs[2].ID())
	if !fs[0].Events.IsUp(fs[1].ID()) || !fs[1].Events.IsUp(fs[0].ID()) {
		t.Error("the loss of one peer took another down")
	}
}

func strangersCannotSpeak(t *testing.T, b builder) {
	fs := b.meshed(t, 3)
	a, c := fs[0], fs[2]
	stranger := b.loose(t, 1)[0]
	for _, f := range fs {
		f.Mesh.Handle("echo", echo)
	}
	stranger.Mesh.Handle("echo", echo)

	// The stranger believes that it belongs; nobody else does.
	stranger.Mesh.SetMembers(append(Members(fs...), stranger.Member()))
	stranger.Mesh.Send(a.ID(), []byte("let me in"))
	stranger.Mesh.Broadcast([]byte("hear me"))
	if err := openFails(stranger.Mesh, a.ID()); err == nil {
		t.Error("a stranger opened a stream")
	}
	// Members do not speak to it either.
	a.Mesh.Send(stranger.ID(), []byte("hello?"))
	a.Mesh.Broadcast([]byte("for members"))
	c.Events.AwaitFrame(t, a.ID(), []byte("for members"))
	if err := openFails(a.Mesh, stranger.ID()); !isErr(err, p2p.ErrNotMember) {
		t.Errorf("opening to a stranger: %v", err)
	}
	for _, f := range fs {
		if n := len(f.Events.Frames(stranger.ID())); n != 0 || f.Events.IsUp(stranger.ID()) {
			t.Errorf("a member heard %d frames of a stranger", n)
		}
		if n := len(stranger.Events.Frames(f.ID())); n != 0 || stranger.Events.IsUp(f.ID()) {
			t.Errorf("a stranger heard %d frames of a member", n)
		}
	}
}

func droppedMemberIsDisconnected(t *testing.T, b builder) {
	fs := b.meshed(t, 3)
	a, z, other := fs[0], fs[1], fs[2]
	a.Mesh.SetMembers(Members(a, other))
	a.Events.AwaitDown(t, z.ID())
	z.Events.AwaitDown(t, a.ID())
	z.Mesh.Send(a.ID(), []byte("after"))
	a.Mesh.Send(z.ID(), []byte("after"))
	a.Mesh.Send(other.ID(), []byte("still here"))
	other.Events.AwaitFrame(t, a.ID(), []byte("still here"))
	if len(a.Events.Frames(z.ID())) != 0 || len(z.Events.Frames(a.ID())) != 0 {
		t.Error("a frame passed after the member was dropped")
	}
	if err := openFails(a.Mesh, z.ID()); !isErr(err, p2p.ErrNotMember) {
		t.Errorf("open to a dropped member: %v", err)
	}
	a.Mesh.SetMembers(Members(fs...))
	a.Events.AwaitUp(t, z.ID())
	z.Events.AwaitUp(t, a.ID())
}

// A departed peer that dials gets its farewell, and nothing else passes, either way.
func departedPeerIsToldSo(t *testing.T, b builder) {
	fs := b.meshed(t, 3)
	a, z, other := fs[0], fs[1], fs[2]
	departed := z.Member()
	departed.Farewell = []byte("you were evicted")
	a.Mesh.SetMembers(append(Members(a, other), departed))
	a.Events.AwaitDown(t, z.ID())
	z.Events.AwaitFrame(t, a.ID(), departed.Farewell)
	z.Mesh.Send(a.ID(), []byte("after"))
	a.Mesh.Send(z.ID(), []byte("after"))
	z.Mesh.Broadcast([]byte("to all"))
	a.Mesh.Send(other.ID(), []byte("still here"))
	other.Events.AwaitFrame(t, a.ID(), []byte("still here"))
	if len(a.Events.Frames(z.ID())) != 0 {
		t.Error("a departed peer is heard")
	}
	for _, frame := range z.Events.Frames(a.ID()) {
		if string(frame) != "you were evicted" {
			t.Errorf("a departed peer is told %q", frame)
		}
	}
	if err := openFails(a.Mesh, z.ID()); !isErr(err, p2p.ErrNotMember) {
		t.Errorf("open to a departed peer: %v", err)
	}
	if err := openFails(z.Mesh, a.ID()); err == nil {
		t.Error("a departed peer opened a stream")
	}
	a.Mesh.SetMembers(Members(fs...))
	a.Events.AwaitUp(t, z.ID())
}

// A broadcast is a hint, so it is repeated until all have heard; each copy must
// come from its origin, whoever passed it on.
func broadcastReachesAll(t *testing.T, b builder) {
	fs := b.meshed(t, 4)
	for i, f := range fs {
		for _, g := range fs {
			if g.ID() == f.ID() {
				continue
			}
			said := 0
			g.Events.AwaitRetry(t, fmt.Sprintf("broadcast of %d", i), func() bool {
				return len(g.Events.Frames(f.ID())) > 0
			}, func() {
				f.Mesh.Broadcast(fmt.Appendf(nil, "from %d, number %d", i, said))
				said++
			})
		}
	}
	for i, f := range fs {
		for _, g := range fs {
			for _, frame := range g.Events.Frames(f.ID()) {
				if !bytes.HasPrefix(frame, fmt.Appendf(nil, "from %d,", i)) {
					t.Errorf("frame %q is said to come from %d", frame, i)
				}
			}
		}
		if len(f.Events.Frames(f.ID())) != 0 {
			t.Error("a mesh heard its own broadcast")
		}
	}
}
