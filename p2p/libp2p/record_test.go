package libp2p

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	ma "github.com/multiformats/go-multiaddr"

	"holon/p2p"
	"holon/p2p/cert"
	"holon/p2p/p2ptest"
)

func idOf(t testing.TB, key ed25519.PrivateKey) peer.ID {
	t.Helper()
	id, err := peer.Decode(string(cert.PeerIDOf(key.Public().(ed25519.PublicKey))))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func signedRecord(t testing.TB, key ed25519.PrivateKey, boot, seq uint64, addrs ...string) addrRecord {
	t.Helper()
	r := addrRecord{Peer: idOf(t, key).String(), Boot: boot, Seq: seq, Addrs: addrs}
	if err := r.sign(testCluster, key); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecordsAreOrderedByBootAndSequence(t *testing.T) {
	key := newKey(t)
	b, err := openBook("", testCluster, newKey(t), idOf(t, newKey(t)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	id := idOf(t, key)
	for _, step := range []struct {
		boot, seq uint64
		want      outcome
	}{{1, 1, learned}, {1, 1, known}, {1, 3, learned}, {1, 2, known}, {2, 1, learned}, {1, 9, known}} {
		if got := b.put(id, signedRecord(t, key, step.boot, step.seq)); got != step.want {
			t.Errorf("(%d, %d): %v, want %v", step.boot, step.seq, got, step.want)
		}
	}
}

func TestForgedRecordsAreRefused(t *testing.T) {
	key, other := newKey(t), newKey(t)
	good := signedRecord(t, key, 1, 1, "/ip4/10.0.0.1/tcp/1")
	if _, err := good.verify(testCluster); err != nil {
		t.Fatal(err)
	}
	for name, forge := range map[string]func(r *addrRecord){
		"address":      func(r *addrRecord) { r.Addrs = []string{"/ip4/10.0.0.2/tcp/1"} },
		"boot":         func(r *addrRecord) { r.Boot++ },
		"sequence":     func(r *addrRecord) { r.Seq++ },
		"peer":         func(r *addrRecord) { r.Peer = idOf(t, other).String() },
		"signature":    func(r *addrRecord) { r.Sig = slices.Clone(r.Sig); r.Sig[0] ^= 1 },
		"no signature": func(r *addrRecord) { r.Sig = nil },
		"no peer":      func(r *addrRecord) { r.Peer = "nobody" },
		"many":         func(r *addrRecord) { r.Addrs = make([]string, recordAddrsMax+1); r.sign(testCluster, key) },
		"long": func(r *addrRecord) {
			r.Addrs = []string{strings.Repeat("x", recordAddrBytes+1)}
			r.sign(testCluster, key)
		},
		"other cluster": func(r *addrRecord) { r.sign(strings.Repeat("f", 32), key) },
	} {
		r := good
		forge(&r)
		if _, err := r.verify(testCluster); err == nil {
			t.Errorf("%s: a forged record was believed", name)
		}
	}
}

func TestPortsAndBootSurviveARestart(t *testing.T) {
	dir, key := t.TempDir(), newKey(t)
	same := func(c *Config) { c.Dir, c.Key = dir, key }
	first := start(t, same)
	addrs, boot := first.Mesh.Addrs(), mesh(first).book.ownRecord().Boot
	friend := start(t, nil)
	introduce(t, first, friend)
	eventually(t, "the friend is in the book", func() bool { return len(mesh(first).book.addrs(mesh(friend).self)) > 0 })
	first.Mesh.Close()
	second := start(t, same)
	if got := second.Mesh.Addrs(); !slices.Equal(got, addrs) || len(got) != len(loopback) {
		t.Errorf("addresses were %v, are %v", addrs, got)
	}
	if got := mesh(second).book.ownRecord().Boot; got != boot+1 {
		t.Errorf("boot was %d, is %d", boot, got)
	}
	// No hint is needed for a peer that is in the book.
	friendID := []p2p.Member{{ID: friend.ID()}}
	friend.Mesh.SetMembers([]p2p.Member{{ID: second.ID()}})
	second.Mesh.SetMembers(friendID)
	second.Events.AwaitUp(t, friend.ID())
}

func TestDamagedBookIsReplaced(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, bookFile), []byte("{\"boot\": 7, \"rec"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := start(t, func(c *Config) { c.Dir = dir })
	if mesh(f).book.ownRecord().Boot != 1 {
		t.Error("a damaged file was believed")
	}
	b, err := os.ReadFile(filepath.Join(dir, bookFile))
	if err != nil || !bytes.Contains(b, []byte(`"boot": 1`)) {
		t.Errorf("file is %s, %v", b, err)
	}
}

// eventually looks until cond holds, for what no event tells.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(p2ptest.AwaitMax); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not happen: %s", what)
		}
	}
}

// A node comes back with other ports and without its book, so that its boot
// count starts again. It knows one member's address; the others know only its
// old ones. All have to find it, and its new record has to win everywhere.
func TestNodeWithNewAddressesAndNoBookIsFound(t *testing.T) {
	key := newKey(t)
	lost := func(c *Config) { c.Key = key }
	a, c := start(t, nil), start(t, nil)
	old := start(t, lost)
	introduce(t, a, old, c)
	old.Mesh.Close()
	a.Events.AwaitDown(t, old.ID())
	c.Events.AwaitDown(t, old.ID())
	b := start(t, lost)
	b.Mesh.SetMembers([]p2p.Member{{ID: a.ID()}, c.Member()})
	awaitAllUp(t, a, b, c)
	for _, f := range []p2ptest.Fixture{a, c} {
		eventually(t, "the new record wins", func() bool {
			got := mesh(f).book.about(map[peer.ID]struct{}{mesh(b).self: {}}, func(peer.ID) bool { return true })
			return len(got) == 1 && slices.Equal(got[0].Addrs, mesh(b).ownAddrs())
		})
	}
}

func TestChangedAddressesAreTold(t *testing.T) {
	var moved atomic.Bool
	a := start(t, func(c *Config) {
		c.tune.addrPoll = 10 * time.Millisecond
		c.tune.addrs = func() []string {
			if moved.Load() {
				return []string{"/ip4/127.0.0.9/tcp/9"}
			}
			return []string{"/ip4/127.0.0.8/tcp/8"}
		}
	})
	b, c := start(t, nil), start(t, nil)
	for _, f := range []p2ptest.Fixture{a, b, c} {
		f.Mesh.SetMembers(p2ptest.Members(a, b, c))
	}
	awaitAllUp(t, a, b, c)
	moved.Store(true)
	for _, f := range []p2ptest.Fixture{b, c} {
		eventually(t, "the new address is known", func() bool {
			got := mesh(f).book.addrs(mesh(a).self)
			return len(got) == 1 && got[0].String() == "/ip4/127.0.0.9/tcp/9"
		})
	}
}

// Only one of the two connections of a simultaneous dial stays.
func TestSecondConnectionIsPruned(t *testing.T) {
	fs := startMany(t, 2, nil)
	introduce(t, fs...)
	a, b := mesh(fs[0]), mesh(fs[1])
	for _, addr := range b.end.net.ListenAddresses() { // one more over each transport
		tr := a.end.net.TransportForDialing(addr)
		c, err := tr.Dial(context.Background(), addr, b.self)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	eventually(t, "duplicates were seen", func() bool { return len(b.end.net.ConnsToPeer(a.self)) > 1 })
	low := a
	if b.self < a.self {
		low = b
	}
	eventually(t, "one connection is left", func() bool { return len(low.end.net.ConnsToPeer(other(low, a, b).self)) == 1 })
	fs[0].Mesh.Send(fs[1].ID(), []byte("still here"))
	fs[1].Events.AwaitFrame(t, fs[0].ID(), []byte("still here"))
}

// Connections for errands go when there are too many; standing ones never do.
func TestExcessConnectionsArePruned(t *testing.T) {
	fs := startMany(t, 4, nil)
	introduce(t, fs...)
	a := mesh(fs[0])
	for _, f := range fs[1:] { // make them outbound, whoever dialled first
		a.end.net.ClosePeer(mesh(f).self)
		eventually(t, "dialled again", func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return a.remote(mesh(f).self).connect(ctx) == nil
		})
	}
	before := len(a.end.net.Conns())
	a.pruneExcess(0)
	if got := len(a.end.net.Conns()); got != before {
		t.Errorf("of %d standing connections %d are left", before, got)
	}
	a.mu.Lock()
	for _, r := range a.peers {
		r.standing, r.wanted = false, false
	}
	a.mu.Unlock()
	out := 0
	for _, c := range a.end.net.Conns() {
		if c.Stat().Direction == network.DirOutbound {
			out++
		}
	}
	a.pruneExcess(before - out)
	if got := len(a.end.net.Conns()); got > before-out {
		t.Errorf("%d connections are left, want %d", got, before-out)
	}
}

func TestPlacesAreKeptForMembersOnly(t *testing.T) {
	a, b := start(t, nil), start(t, nil)
	introduce(t, a, b)
	addr, err := ma.NewMultiaddr("/ip4/127.0.0.1/tcp/1")
	if err != nil {
		t.Fatal(err)
	}
	list := rcmgr.GetAllowlist(mesh(a).end.rcmgr)
	if !list.AllowedPeerAndMultiaddr(mesh(b).self, addr) || list.AllowedPeerAndMultiaddr(idOf(t, newKey(t)), addr) {
		t.Error("the allow-list does not tell members from strangers")
	}
	a.Mesh.SetMembers(nil)
	eventually(t, "the place is given up", func() bool { return !list.AllowedPeerAndMultiaddr(mesh(b).self, addr) })
}

// A peer replaces its frame stream while frames of the old one are still read:
// they must not come after the new one's.
func TestReplacedStreamKeepsTheOrder(t *testing.T) {
	peer := rawHost(t, nil)
	events := &blockingEvents{Recorder: p2ptest.NewRecorder(), entered: make(chan struct{}), release: make(chan struct{})}
	m, err := New(context.Background(), Config{Key: newKey(t), Cluster: testCluster, Listen: loopback}, events)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	name := p2pID(peer.net.LocalPeer())
	m.SetMembers([]p2p.Member{{ID: name}})
	peer.store.AddAddrs(m.self, m.end.net.ListenAddresses(), addrTTL)
	speak := func(from, to byte) {
		s, err := peer.host.NewStream(context.Background(), m.self, frameProtocol)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		writeMessage(&b, kindRecords, must(encodeRecords(nil)))
		for n := from; n <= to; n++ {
			writeMessage(&b, kindFrame, []byte{n})
		}
		if _, err := s.Write(b.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	speak(0, 99)
	<-events.entered
	speak(100, 199)
	readers := func(n int) func() bool {
		return func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.peers[peer.net.LocalPeer()].readers == n
		}
	}
	eventually(t, "the second stream is served", readers(2))
	time.Sleep(20 * time.Millisecond) // were it not made to wait, it would now be next in line
	close(events.release)
	events.AwaitFrame(t, name, []byte{199})
	eventually(t, "the first stream has ended", readers(1))
	frames := events.Frames(name)
	if !slices.IsSortedFunc(frames, bytes.Compare) {
		t.Errorf("frames arrived as %x", frames)
	}
}

// blockingEvents holds the first frame until it is released.
type blockingEvents struct {
	*p2ptest.Recorder
	once             sync.Once
	entered, release chan struct{}
}

func (e *blockingEvents) Frame(from p2p.PeerID, frame []byte) {
	e.once.Do(func() {
		close(e.entered)
		<-e.release
	})
	e.Recorder.Frame(from, frame)
}

func other(m, a, b *Mesh) *Mesh {
	if m == a {
		return b
	}
	return a
}

func TestBroadcastEnvelopes(t *testing.T) {
	f := start(t, nil)
	g := mesh(f).gossip
	good := g.seal([]byte("frame"))
	open := func(b []byte) bool {
		e, err := openEnvelope(testCluster, b)
		return err == nil && e.verify()
	}
	if !open(good) || bytes.Equal(good, g.seal([]byte("frame"))) {
		t.Fatal("an envelope does not open, or two are equal")
	}
	for i := range good {
		b := slices.Clone(good)
		b[i] ^= 1
		if open(b) {
			t.Errorf("a change of byte %d went unnoticed", i)
		}
	}
	if e, err := openEnvelope(strings.Repeat("f", 32), good); err == nil && e.verify() {
		t.Error("an envelope of another cluster opens")
	}
	for n := range envelopeMin {
		if _, err := openEnvelope(testCluster, good[:n]); !errors.Is(err, errEnvelope) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestOriginIsLimited(t *testing.T) {
	g := mesh(start(t, nil)).gossip
	id := idOf(t, newKey(t))
	allowed := 0
	for range 3 * originBurst {
		if g.allow(id) {
			allowed++
		}
	}
	if allowed < originBurst || allowed > 2*originBurst {
		t.Errorf("%d of %d broadcasts at once were allowed", allowed, 3*originBurst)
	}
	if !g.allow(idOf(t, newKey(t))) {
		t.Error("one origin's flood silences another")
	}
}

func TestExpandedFramesAreBounded(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	big, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer big.Close()
	for _, size := range []int{p2p.FrameBytesMax + 1, 64 << 20} {
		var b bytes.Buffer
		if err := writeMessage(&b, kindZstd, big.EncodeAll(make([]byte, size), nil)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.readMessage(bufio.NewReader(&b)); !errors.Is(err, errMessage) {
			t.Errorf("a frame that expands to %d bytes: %v", size, err)
		}
	}
}

func FuzzReadMessage(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	for _, frame := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("holon"), 1000)} {
		var b bytes.Buffer
		if err := c.writeFrame(&b, frame); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, body, err := c.readMessage(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		if len(body) > p2p.FrameBytesMax {
			t.Fatalf("%d bytes", len(body))
		}
		if kind == kindRecords {
			records, err := decodeRecords(body)
			for _, r := range records {
				if _, err := r.verify(testCluster); err == nil {
					t.Fatal("a record out of nothing is signed")
				}
			}
			_ = err
		}
		if _, err := openEnvelope(testCluster, data); err == nil && len(data) < envelopeMin {
			t.Fatal("short envelope")
		}
	})
}
