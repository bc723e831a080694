package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holon/p2p"
	"holon/p2p/p2ptest"
	"holon/runtime/runtimetest"
)

// world is some nodes with images on a network in memory, in a bubble of virtual
// time.
type world struct {
	t     *testing.T
	net   *p2ptest.Net
	nodes []*node
	end   context.CancelFunc
}

type node struct {
	*Store
	images *runtimetest.ImageStore
	mesh   *p2ptest.Mesh
	dir    string
	arch   string
	free   uint64 // bytes; guarded by mu
	mu     sync.Mutex
	dialed []request
	last   p2p.PeerID // that an archive was read from
	// wrap changes what this node's dials give; nil: nothing.
	wrap func(to p2p.PeerID, req request, s p2p.Stream) p2p.Stream
}

type noEvents struct{}

func (noEvents) Frame(p2p.PeerID, []byte) {}
func (noEvents) Up(p2p.PeerID)            {}
func (noEvents) Down(p2p.PeerID)          {}

func newWorld(t *testing.T, n int) *world {
	ctx, end := context.WithCancel(t.Context())
	w := &world{t: t, net: p2ptest.NewNet(1), end: end}
	var members []p2p.Member
	for i := range n {
		o := &node{images: runtimetest.NewImageStore(), dir: t.TempDir(), free: 1 << 40}
		o.mesh = w.net.Join(p2p.PeerID(fmt.Sprintf("p%d", i+1)), noEvents{})
		members = append(members, p2p.Member{ID: o.mesh.Self(), Addrs: o.mesh.Addrs()})
		w.nodes = append(w.nodes, o)
	}
	for i, o := range w.nodes {
		o.mesh.SetMembers(members)
		w.start(ctx, i)
	}
	return w
}

// start gives a node a Store, as a new daemon on the same disk.
func (w *world) start(ctx context.Context, i int) {
	o := w.nodes[i]
	o.Store = Start(ctx, Config{
		Images: o.images, Dir: o.dir, Self: fmt.Sprintf("n%d", i+1), Arch: o.arch, Log: slog.New(slog.DiscardHandler),
		Peers: func() (peers []Peer) {
			for j, other := range w.nodes {
				if j != i {
					peers = append(peers, Peer{fmt.Sprintf("n%d", j+1), other.mesh.Self(), other.arch})
				}
			}
			return peers
		},
		Open: o.open,
		Free: func(string) (uint64, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			return o.free, nil
		},
	})
	o.mesh.Handle(Protocol, o.Store.Serve)
}

func (o *node) open(ctx context.Context, to p2p.PeerID, protocol string) (p2p.Stream, error) {
	s, err := o.mesh.Open(ctx, to, protocol)
	if err != nil {
		return nil, err
	}
	return &spy{Stream: s, o: o, to: to}, nil
}

// spy sees the request and may change what comes back.
type spy struct {
	p2p.Stream
	o       *node
	to      p2p.PeerID
	changed p2p.Stream
}

func (s *spy) Write(p []byte) (int, error) {
	req, err := decodeRequest(p)
	if err != nil {
		return 0, err
	}
	s.o.mu.Lock()
	s.o.dialed = append(s.o.dialed, req)
	if req.Op == opRead {
		s.o.last = s.to
	}
	wrap := s.o.wrap
	s.o.mu.Unlock()
	s.changed = s.Stream
	if wrap != nil {
		s.changed = wrap(s.to, req, s.Stream)
	}
	return s.Stream.Write(p)
}

func (s *spy) Read(p []byte) (int, error) { return s.changed.Read(p) }

func (o *node) lastReadFrom() p2p.PeerID {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

// reads are the requests for archives that a node made.
func (o *node) reads() (reads []request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.dialed {
		if r.Op == opRead {
			reads = append(reads, r)
		}
	}
	return reads
}

func (w *world) close() {
	w.end()
	for _, o := range w.nodes {
		o.Wait()
		if err := o.mesh.Close(); err != nil {
			w.t.Error(err)
		}
	}
}

// bubble runs f with a world of n nodes in virtual time.
func bubble(t *testing.T, n int, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, n)
		defer w.close()
		f(t, w)
	})
}

// noise is incompressible content of a size.
func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func (o *node) get(ref string) Result {
	t := o.Bring(ref, Wanted{})
	<-t.Done()
	return t.Result()
}

// has fails the test unless a node has the image whole and nothing is left of its way.
func (w *world) has(o *node, ref, id string) {
	w.t.Helper()
	i, err := o.images.FindImage(w.t.Context(), ref)
	if err != nil || i.ID != id {
		w.t.Fatalf("%s is %v, %v; want %s", ref, i, err, id)
	}
	w.clean(o)
}

func (w *world) clean(o *node) {
	w.t.Helper()
	if files, err := os.ReadDir(o.dir); err != nil || len(files) > 0 {
		w.t.Fatalf("left on disk: %v, %v", files, err)
	}
}

func TestBring(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		a, b := w.nodes[0], w.nodes[1]
		id := a.images.Add("app:1", noise(1, 300_000))
		r := b.get("app:1")
		if r.Err != nil || !slices.Equal(r.From, []string{"n1"}) || r.Bytes < 300_000 {
			t.Fatalf("%+v", r)
		}
		w.has(b, "app:1", id)
		if r := w.nodes[2].get("nowhere:1"); !errors.Is(r.Err, ErrNobody) {
			t.Fatalf("%+v", r)
		}
	})
}

// TestArchitectures: an image of a name is another one on another architecture.
func TestArchitectures(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
		b.arch, b.cfg.Arch = "arm64", "arm64"
		a.images.Use(a.images.Add("app:1", []byte("for others")), 5)
		a.images.Add("only:1", []byte("for others"))
		c.arch, c.cfg.Arch = "arm64", "arm64"
		id := c.images.Add("app:1", []byte("for arm64"))
		if r := b.get("app:1"); r.Err != nil || r.Note != "" {
			t.Errorf("%+v", r)
		}
		w.has(b, "app:1", id)
		if r := b.get("only:1"); !errors.Is(r.Err, ErrNobody) {
			t.Errorf("an image of another architecture came: %+v", r)
		}
		l, err := b.List(t.Context(), func(string) bool { return true })
		if err != nil || len(l.Nodes) != 3 {
			t.Errorf("%+v, %v", l, err)
		}
	})
}

// lateLife ends while it is asked for the first time whether it has, and says that it
// has not.
type lateLife struct {
	context.Context
	first sync.Once
	end   func()
}

func (l *lateLife) Err() error {
	err := l.Context.Err()
	l.first.Do(l.end)
	return err
}

// TestWaitIsForAll: no transfer begins once Wait has returned, also if Bring and the
// end of life come together.
func TestWaitIsForAll(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan struct{})
	var s *Store
	s = Start(&lateLife{Context: ctx, end: func() {
		cancel()
		go func() {
			s.Wait()
			close(waited)
		}()
		select { // Bring must be what it waits for; if it is not, it returns meanwhile
		case <-waited:
		case <-time.After(50 * time.Millisecond):
		}
	}}, Config{Images: runtimetest.NewImageStore(), Peers: func() []Peer {
		select {
		case <-waited:
			t.Error("a transfer began after Wait")
		default:
		}
		return nil
	}})
	<-s.Bring("app:1", Wanted{}).Done()
	<-waited
}

// TestWordsComeInSteps: all that a transfer says is not more than a status can bear.
func TestWordsComeInSteps(t *testing.T) {
	bubble(t, 2, func(t *testing.T, w *world) {
		a, b := w.nodes[0], w.nodes[1]
		a.images.Pause = 10 * time.Millisecond
		a.images.Add("app:1", noise(1, 20_000_000))
		said := map[string]bool{}
		for tr := b.Bring("app:1", Wanted{}); !tr.ending(); time.Sleep(5 * time.Millisecond) {
			said[tr.Words()] = true
		}
		if len(said) < sayParts || len(said) > sayParts+4 { // it asks, begins and unpacks, too
			t.Errorf("%d words: %v", len(said), said)
		}
	})
}

// cutAfter is a stream that breaks once n bytes were read from it.
type cutAfter struct {
	p2p.Stream
	left int
}

func (c *cutAfter) Read(p []byte) (int, error) {
	if c.left == 0 {
		c.Stream.Reset()
		return 0, errors.New("cut")
	}
	n, err := c.Stream.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// TestBrokenStream breaks the first stream of a small archive after every number of
// bytes around the frames, and some within the data: the next one goes on where it
// was, and no byte is sent twice.
func TestBrokenStream(t *testing.T) {
	cuts := []int{}
	for i, data := 0, len(runtimetest.ImageArchive("", noise(1, 300))); i < data+150; i++ {
		if i < 100 || i > data || i%17 == 0 {
			cuts = append(cuts, i)
		}
	}
	bubble(t, 2, func(t *testing.T, w *world) {
		a, b := w.nodes[0], w.nodes[1]
		for _, cut := range cuts {
			content := noise(uint64(cut), 300)
			ref := fmt.Sprintf("app:%d", cut)
			id := a.images.Add(ref, content)
			first := true
			b.wrap = func(_ p2p.PeerID, req request, s p2p.Stream) p2p.Stream {
				if req.Op != opRead || !first {
					return s
				}
				first = false
				return &cutAfter{s, cut}
			}
			r := b.get(ref)
			if r.Err != nil {
				t.Fatalf("cut after %d: %v", cut, r.Err)
			}
			if whole := len(archiveOf(t, a, id)); r.Bytes != int64(whole) {
				t.Fatalf("cut after %d: %d bytes instead of %d", cut, r.Bytes, whole)
			}
			w.has(b, ref, id)
		}
	})
}

func archiveOf(t *testing.T, o *node, id string) []byte {
	var b bytes.Buffer
	if err := o.images.SaveImage(t.Context(), id, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestManyBreaks: whatever breaks how often, each stream that brings something
// counts, also where the archives of the nodes differ.
func TestManyBreaks(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, 4, func(t *testing.T, w *world) {
			content := noise(seed, 1_000_000)
			var id string
			for i, o := range w.nodes[:3] {
				id = o.images.Add("app:1", content)
				if seed%2 == 1 {
					o.images.Version = strings.Repeat("other ", i) // archives differ between nodes
				}
			}
			b := w.nodes[3]
			r := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			breaks := 40
			if seed%2 == 1 {
				breaks = triesMax - 1 // each may cost all that came
			}
			b.wrap = func(_ p2p.PeerID, req request, s p2p.Stream) p2p.Stream {
				mu.Lock()
				defer mu.Unlock()
				if req.Op != opRead || breaks == 0 {
					return s
				}
				breaks--
				return &cutAfter{s, 1000 + r.IntN(150_000)}
			}
			result := b.get("app:1")
			if result.Err != nil {
				t.Fatalf("seed %d: %v", seed, result.Err)
			}
			w.has(b, "app:1", id)
			whole := int64(len(archiveOf(t, w.nodes[0], id)))
			if seed%2 == 0 && result.Bytes != whole {
				t.Fatalf("seed %d: %d bytes of %d", seed, result.Bytes, whole)
			}
		})
	}
}
