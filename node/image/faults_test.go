package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"holon/p2p"
	"holon/runtime/runtimetest"
)

// forged is what one node sends for a read, whatever it was asked.
func forged(archive []byte, e end, h head) []byte {
	var b bytes.Buffer
	f := &frames{w: &b}
	_ = f.putJSON(frameHead, h)
	for p := archive; len(p) > 0; p = p[min(len(p), frameMax):] {
		_ = f.put(frameData, p[:min(len(p), frameMax)])
	}
	_ = f.putJSON(frameEnd, e)
	return b.Bytes()
}

// endless is forged without the last frame.
func endless(archive []byte) []byte {
	const last = 5 + len("{}")
	b := forged(archive, end{}, head{})
	return b[:len(b)-last]
}

func endOf(archive []byte) end {
	sum := sha256.Sum256(archive)
	return end{Size: int64(len(archive)), SHA256: hex.EncodeToString(sum[:])}
}

// playback is a stream that says something else than its peer.
type playback struct {
	p2p.Stream
	r io.Reader
}

func (p *playback) Read(b []byte) (int, error) { return p.r.Read(b) }

// TestLiars: a node that has the image sends something else. If another one has
// it, too, the image comes whole; if not, nothing is taken in.
func TestLiars(t *testing.T) {
	content := noise(9, 200_000)
	other := noise(10, 200_000)
	good, bad := runtimetest.ImageArchive("", content), runtimetest.ImageArchive("", other)
	flipped := bytes.Clone(good)
	flipped[100_000] ^= 1
	wrongEnd := endOf(good)
	wrongEnd.SHA256 = strings.Repeat("0", 64)
	for what, says := range map[string][]byte{
		"flipped bytes, the digest of the right ones": forged(flipped, endOf(good), head{}),
		"flipped bytes with their digest":             forged(flipped, endOf(flipped), head{}),
		"another image":                               forged(bad, endOf(bad), head{}),
		"the right bytes, another digest":             forged(good, wrongEnd, head{}),
		"no archive":                                  forged([]byte("hello"), endOf([]byte("hello")), head{}),
		"nothing":                                     forged(nil, endOf(nil), head{}),
		"only half, with its digest":                  forged(good[:100_000], endOf(good[:100_000]), head{}),
		"it goes on beyond what was asked":            forged(good, endOf(good), head{Offset: 5}),
		"far more than it spoke of":                   forged(make([]byte, 80<<20), end{}, head{}),
		"one more head after data":                    append(endless(flipped), forged(good, endOf(good), head{})...),
		"its names":                                   forged(runtimetest.ImageArchive("", content, "other:1"), endOf(runtimetest.ImageArchive("", content, "other:1")), head{}),
		"an error":                                    forged(nil, end{Error: "no"}, head{}),
		"a frame without end":                         binary.BigEndian.AppendUint32([]byte{frameData}, 1<<31),
		"no head":                                     append(binary.BigEndian.AppendUint32([]byte{frameData}, 2), "hi"...),
		"garbage":                                     noise(3, 1000),
	} {
		for _, holders := range []int{1, 2} {
			bubble(t, 3, func(t *testing.T, w *world) {
				var id string
				for _, o := range w.nodes[:holders] {
					id = o.images.Add("app:1", content)
				}
				b := w.nodes[2]
				liar := w.nodes[0].mesh.Self()
				b.wrap = func(to p2p.PeerID, req request, s p2p.Stream) p2p.Stream {
					if req.Op == opRead && to == liar {
						return &playback{s, bytes.NewReader(says)}
					}
					return s
				}
				r := b.get("app:1")
				if r.Bytes > 2*200_000+archiveSlack+int64(len(good)) {
					t.Errorf("%s: %d bytes were taken", what, r.Bytes)
				}
				if holders == 2 {
					if r.Err != nil {
						t.Fatalf("%s: %v", what, r.Err)
					}
					w.has(b, "app:1", id)
					return
				}
				list, err := b.images.Images(t.Context())
				if r.Err == nil || err != nil || len(list) > 0 {
					t.Fatalf("%s: %v; taken in: %v, %v", what, r.Err, list, err)
				}
			})
		}
	}
}

// TestPeerDies in the middle of sending: another one goes on.
func TestPeerDies(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, 3, func(t *testing.T, w *world) {
			var id string
			for _, o := range w.nodes[:2] {
				o.images.Pause = 10 * time.Millisecond
				id = o.images.Add("app:1", noise(seed, 2_000_000))
			}
			b := w.nodes[2]
			transfer := b.Bring("app:1", Wanted{})
			time.Sleep(time.Duration(rand.New(rand.NewPCG(seed, 0)).IntN(600)) * time.Millisecond)
			reads := b.reads()
			if len(reads) == 0 {
				t.Fatal("nothing was read yet")
			}
			var rest []p2p.PeerID
			for _, o := range w.nodes {
				if o.mesh.Self() != b.lastReadFrom() {
					rest = append(rest, o.mesh.Self())
				}
			}
			w.net.Partition([]p2p.PeerID{b.lastReadFrom()}, rest)
			<-transfer.Done()
			if r := transfer.Result(); r.Err != nil || r.Bytes != int64(len(archiveOf(t, w.nodes[0], id))) {
				t.Fatalf("seed %d: %+v", seed, r)
			}
			w.has(b, "app:1", id)
		})
	}
}

// TestSilence: a node that sends nothing any more is left for another.
func TestSilence(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		var id string
		for _, o := range w.nodes[:2] {
			id = o.images.Add("app:1", noise(1, 300_000))
		}
		b := w.nodes[2]
		first := true
		b.wrap = func(_ p2p.PeerID, req request, s p2p.Stream) p2p.Stream {
			if req.Op != opRead || !first {
				return s
			}
			first = false
			return &mute{s, 70_000}
		}
		if r := b.get("app:1"); r.Err != nil || r.Took < stallTimeout || r.Took > 2*stallTimeout {
			t.Fatalf("%+v", r)
		}
		w.has(b, "app:1", id)
	})
}

// TestSilentCopy: a node that was told to get an image may take its time, as long as
// it says so.
func TestSilentCopy(t *testing.T) {
	bubble(t, 2, func(t *testing.T, w *world) {
		a, b := w.nodes[0], w.nodes[1]
		b.mesh.Handle(Protocol, func(ctx context.Context, _ p2p.PeerID, s p2p.Stream) {
			defer s.Close()
			for range 3 {
				time.Sleep(stallTimeout - time.Second)
				_ = (&frames{w: s}).put(frameWait, []byte("getting it"))
			}
			time.Sleep(2 * stallTimeout)
			_ = (&frames{w: s}).putJSON(frameEnd, end{})
		})
		said := 0
		err := a.Copy(t.Context(), "n2", "app:1", strings.Repeat("ab", 32), func(string) { said++ })
		if !errors.Is(err, errStalled) || said != 3 {
			t.Errorf("%v after %d words", err, said)
		}
	})
}

// TestOneSilentNode does not keep a pod from what another one has.
func TestOneSilentNode(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.nodes[1].images.Add("app:1", noise(1, 1000))
		b := w.nodes[2]
		b.wrap = func(to p2p.PeerID, _ request, s p2p.Stream) p2p.Stream {
			if to == w.nodes[0].mesh.Self() {
				return &mute{s, 0}
			}
			return s
		}
		if r := b.get("app:1"); r.Err != nil || r.Took >= askTimeout {
			t.Fatalf("%+v", r)
		}
	})
}

// mute is a stream that stops after some bytes, without an end, until it is closed.
type mute struct {
	p2p.Stream
	left int
}

func (m *mute) Read(p []byte) (int, error) {
	if m.left == 0 {
		// The real stream has more; it fails once it is reset.
		for {
			if _, err := m.Stream.Read(make([]byte, 1)); err != nil {
				return 0, err
			}
			time.Sleep(time.Second)
		}
	}
	n, err := m.Stream.Read(p[:min(len(p), m.left)])
	m.left -= n
	return n, err
}

// TestDiskBound: before the first byte, and when the disk gets full on the way. What
// was written goes again, and a pod may have more of the disk than what is only kept.
func TestDiskBound(t *testing.T) {
	bubble(t, 2, func(t *testing.T, w *world) {
		a, b := w.nodes[0], w.nodes[1]
		const size = 40_000_000
		id := a.images.Add("app:1", make([]byte, size))
		b.free = Reserve + 2*size - 1
		full, ok := errors.AsType[*SpaceError](b.get("app:1").Err)
		if !ok || full.Need != 2*size || full.Reserve != Reserve || len(b.reads()) > 0 {
			t.Fatalf("%+v after %d reads", full, len(b.reads()))
		}
		if words := full.Error(); !strings.Contains(words, "80 MB") || !strings.Contains(words, "1.1 GB") {
			t.Errorf("the figures are not in %q", words)
		}
		w.clean(b)

		time.Sleep(2 * failedFor)
		b.free = KeepReserve
		kept := b.Bring("app:1", Wanted{Keep: true})
		<-kept.Done()
		if _, ok := errors.AsType[*SpaceError](kept.Result().Err); !ok {
			t.Fatal(kept.Result())
		}
		b.wrap = func(_ p2p.PeerID, req request, s p2p.Stream) p2p.Stream {
			if req.Op == opRead {
				b.free = Reserve // b.mu is held
			}
			return s
		}
		// At once: that the copy was not kept is no answer to a pod.
		if _, ok := errors.AsType[*SpaceError](b.get("app:1").Err); !ok {
			t.Fatal("it was not noticed that the disk is full")
		}
		if len(b.reads()) != 1 {
			t.Fatal("the pod was answered with what became of the copy")
		}
		if files, err := os.ReadDir(b.dir); err != nil || len(files) != 0 {
			t.Fatalf("left on disk: %v, %v", files, err)
		}
		b.wrap = nil
		time.Sleep(2 * failedFor)
		b.free = KeepReserve
		if r := b.get("app:1"); r.Err != nil {
			t.Fatal(r.Err)
		}
		w.has(b, "app:1", id)
	})
}

// TestOneTransfer: who asks while an image comes joins, under whatever name, and who
// asks too soon after a failure gets that.
func TestOneTransfer(t *testing.T) {
	bubble(t, 2, func(t *testing.T, w *world) {
		a, b := w.nodes[0], w.nodes[1]
		a.images.Pause = 10 * time.Millisecond
		id := a.images.Add("app:1", noise(1, 500_000))
		a.images.Add("app:latest", noise(1, 500_000))
		var transfers []*Transfer
		for i := range 20 {
			transfers = append(transfers, b.Bring([]string{"app:1", "app:latest"}[i%2], Wanted{Keep: i%3 == 0}))
			time.Sleep(5 * time.Millisecond)
		}
		for _, tr := range transfers {
			if _, err := tr.Await(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if len(b.reads()) != 1 || b.images.Loads() != 1 {
			t.Errorf("%d reads, %d loads", len(b.reads()), b.images.Loads())
		}
		w.has(b, "app:1", id)
		w.has(b, "app:latest", id)

		asked := len(b.dialed)
		for range 10 {
			if r := b.get("nowhere:1"); !errors.Is(r.Err, ErrNobody) {
				t.Fatal(r)
			}
		}
		if n := len(b.dialed) - asked; n != 1 {
			t.Errorf("%d questions for what nobody has", n)
		}
		time.Sleep(failedFor)
		a.images.Add("nowhere:1", []byte("now it is there"))
		if r := b.get("nowhere:1"); r.Err != nil {
			t.Errorf("it is there now: %v", r.Err)
		}
	})
}

// counting counts how many archives are made at once.
type counting struct {
	*runtimetest.ImageStore
	mu        sync.Mutex
	now, most int
}

func (c *counting) SaveImage(ctx context.Context, id string, w io.Writer) error {
	c.mu.Lock()
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.now--
		c.mu.Unlock()
	}()
	return c.ImageStore.SaveImage(ctx, id, w)
}

// TestBounds: many nodes want many images from one; all come, and neither side does
// more at once than it may.
func TestBounds(t *testing.T) {
	bubble(t, 8, func(t *testing.T, w *world) {
		a := w.nodes[0]
		a.images.Pause = 5 * time.Millisecond
		count := &counting{ImageStore: a.images}
		a.cfg.Images = count
		for i := range 5 {
			a.images.Add(fmt.Sprintf("app:%d", i), noise(uint64(i), 200_000))
		}
		var transfers []*Transfer
		for _, o := range w.nodes[1:] {
			for i := range 5 {
				transfers = append(transfers, o.Bring(fmt.Sprintf("app:%d", i), Wanted{}))
			}
			time.Sleep(time.Millisecond)
			if len(o.fetches) > fetchesMax {
				t.Error("too many fetches")
			}
		}
		for _, tr := range transfers {
			if _, err := tr.Await(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if count.most > servedMax || count.most < 2 {
			t.Errorf("%d archives at once, %d may be", count.most, servedMax)
		}
	})
}

// TestCrash leaves a part of an archive: the next daemon goes on with it, also if its
// end was lost with the power, and forgets it after a while if nobody wants it.
func TestCrash(t *testing.T) {
	for _, damage := range []int{0, 1} {
		bubble(t, 2, func(t *testing.T, w *world) {
			a, b := w.nodes[0], w.nodes[1]
			id := a.images.Add("app:1", noise(1, 500_000))
			part := bytes.Clone(archiveOf(t, a, id)[:300_000])
			part[299_999] ^= byte(damage)
			if err := os.WriteFile(filepath.Join(b.dir, id+partialSuffix), part, 0o600); err != nil {
				t.Fatal(err)
			}
			r := b.get("app:1")
			if whole := int64(len(archiveOf(t, a, id))); r.Err != nil || r.Bytes != whole-300_000*int64(1-damage) {
				t.Fatalf("%+v", r)
			}
			w.has(b, "app:1", id)
			b.Sweep()
			if len(b.touched) > 0 {
				t.Errorf("files that are gone are kept in mind: %v", b.touched)
			}

			forgotten := filepath.Join(b.dir, strings.Repeat("ab", 32)+partialSuffix)
			if err := os.WriteFile(forgotten, part, 0o600); err != nil {
				t.Fatal(err)
			}
			b.Sweep()
			time.Sleep(partialKeep)
			b.Sweep()
			if _, err := os.Stat(forgotten); err != nil {
				t.Errorf("it is gone too soon: %v", err)
			}
			time.Sleep(time.Second)
			used := strings.TrimSuffix(filepath.Base(forgotten), partialSuffix)
			if err := b.lockFile(t.Context(), used); err != nil {
				t.Fatal(err)
			}
			b.Sweep()
			if _, err := os.Stat(forgotten); err != nil {
				t.Errorf("it is gone while it is written: %v", err)
			}
			b.unlockFile(used)
			b.Sweep()
			time.Sleep(partialKeep + time.Second)
			b.Sweep()
			w.clean(b)
		})
	}
}

// TestChoice: of several images under one name the one that runs is taken, then the
// more common one, then always the same; and it is said.
func TestChoice(t *testing.T) {
	bubble(t, 5, func(t *testing.T, w *world) {
		smallest := ""
		for i, content := range []string{"old", "old", "newer"} {
			for _, ref := range []string{"app:1", "runs:1"} {
				id := w.nodes[i].images.Add(ref, []byte(content+ref))
				if ref == "runs:1" && content == "newer" {
					w.nodes[i].images.Use(id, 1)
				}
			}
			tie := w.nodes[i].images.Add("tie:1", []byte(fmt.Sprint("tie", 2-i)))
			if i == 0 || tie < smallest {
				smallest = tie
			}
		}
		for _, o := range w.nodes[3:] {
			for ref, want := range map[string]string{"app:1": "oldapp:1", "runs:1": "newerruns:1"} {
				r := o.get(ref)
				if r.Err != nil || r.Image.Size != int64(len(want)) || !strings.Contains(r.Note, "2 different images named "+ref) {
					t.Errorf("%s: %+v", ref, r)
				}
			}
			r := o.get("tie:1")
			if r.Err != nil || r.Image.ID != smallest || !strings.Contains(r.Note, "3 different images") {
				t.Errorf("%+v instead of %s", r, smallest)
			}
		}
	})
}

// TestCopyAndList: a node is told to get an image from whoever has it.
func TestCopyAndList(t *testing.T) {
	bubble(t, 4, func(t *testing.T, w *world) {
		a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
		id := b.images.Add("app:1", noise(1, 100_000))
		c.images.Add("app:1", []byte("another one"))
		if got, err := b.Resolve(t.Context(), "app:1"); got != id || err != nil {
			t.Fatal(got, err)
		}
		for i := range w.nodes {
			if err := a.Copy(t.Context(), fmt.Sprintf("n%d", i+1), "app:1", id, func(string) {}); err != nil {
				t.Fatal(err)
			}
			w.has(w.nodes[i], "app:1", id)
		}
		if err := a.Copy(t.Context(), "n2", "nowhere:1", id, func(string) {}); err == nil || !strings.Contains(err.Error(), "no live node has it") {
			t.Error(err)
		}
		w.net.Partition([]p2p.PeerID{c.mesh.Self()}, []p2p.PeerID{a.mesh.Self(), b.mesh.Self(), w.nodes[3].mesh.Self()})
		l, err := a.List(t.Context(), func(node string) bool { return node != "n4" })
		if err != nil || len(l.Nodes) != 2 || fmt.Sprint(l.Silent) != "[n3]" {
			t.Errorf("%+v, %v", l, err)
		}
		if err := a.Copy(t.Context(), "n3", "app:1", id, func(string) {}); err == nil {
			t.Error("a node out of reach got a copy")
		}
	})
}

func TestLoad(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		a := w.nodes[0]
		maker := runtimetest.NewImageStore()
		id := maker.Add("app:1", noise(1, 1_000_000))
		var archive bytes.Buffer
		if err := maker.SaveImage(t.Context(), id, &archive); err != nil {
			t.Fatal(err)
		}
		sum := endOf(archive.Bytes()).SHA256
		load := func(r io.Reader, sum string) error {
			var said []string
			loaded, err := a.Load(t.Context(), r, func() string { return sum }, func(s string) { said = append(said, s) })
			if err == nil && (len(loaded) != 1 || loaded[0].ID != id || len(said) == 0) {
				t.Errorf("%+v, said %q", loaded, said)
			}
			w.clean(a)
			return err
		}
		for _, test := range []struct {
			r    io.Reader
			sum  string
			want error
		}{
			{bytes.NewReader(archive.Bytes()), "", ErrDamaged},
			{bytes.NewReader(archive.Bytes()[:1000]), sum, ErrDamaged},
			{iotest.TimeoutReader(bytes.NewReader(archive.Bytes())), sum, iotest.ErrTimeout},
			{bytes.NewReader(archive.Bytes()), sum, nil},
		} {
			if err := load(test.r, test.sum); !errors.Is(err, test.want) {
				t.Errorf("%v instead of %v", err, test.want)
			}
		}
		a.free = Reserve
		if _, ok := errors.AsType[*SpaceError](load(bytes.NewReader(archive.Bytes()), sum)); !ok {
			t.Error("a full disk took an archive")
		}
	})
}

// TestStrangeRequests do no harm.
func TestStrangeRequests(t *testing.T) {
	bubble(t, 2, func(t *testing.T, w *world) {
		a, b := w.nodes[0], w.nodes[1]
		for _, line := range []string{"", "x\n", "{}\n", `{"op":"read","id":"../../etc/passwd"}` + "\n", `{"op":"read","id":"` + strings.Repeat("a", 64) + `","offset":-1}` + "\n",
			`{"op":"ask","ref":"` + strings.Repeat("a", 2*requestMax) + `"}` + "\n", `{"op":"later"}` + "\n"} {
			s, err := b.mesh.Open(t.Context(), a.mesh.Self(), Protocol)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = s.Write([]byte(line))
			_ = s.CloseWrite()
			if answer, err := io.ReadAll(s); err == nil {
				t.Errorf("%.50q is answered with %q", line, answer)
			}
		}
		var e end
		s, _, err := b.dial(t.Context(), a.mesh.Self(), request{Op: opRead, ID: strings.Repeat("a", 64)})
		if err != nil {
			t.Fatal(err)
		}
		kind, payload, err := readFrame(s, make([]byte, frameMax))
		if err == nil {
			err = json.Unmarshal(payload, &e)
		}
		if err != nil || kind != frameEnd || !strings.Contains(e.Error, "not on this node") {
			t.Errorf("%d %+v %v", kind, e, err)
		}
	})
}
