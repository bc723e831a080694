package libp2p

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"holon/p2p"
	"holon/p2p/cert"
	"holon/p2p/p2ptest"
)

const testCluster = "00112233445566778899aabbccddeeff"

var loopback = []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// start makes a mesh on loopback; edit changes its configuration.
func start(t testing.TB, edit func(*Config)) p2ptest.Fixture {
	t.Helper()
	cfg := Config{Key: newKey(t), Cluster: testCluster, Listen: loopback}
	if edit != nil {
		edit(&cfg)
	}
	events := p2ptest.NewRecorder()
	m, err := New(context.Background(), cfg, events)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return p2ptest.Fixture{Mesh: m, Events: events}
}

func startMany(t testing.TB, n int, edit func(*Config)) []p2ptest.Fixture {
	var fs []p2ptest.Fixture
	for range n {
		fs = append(fs, start(t, edit))
	}
	return fs
}

// introduce makes fixtures members of each other and waits until all are up.
func introduce(t testing.TB, fs ...p2ptest.Fixture) {
	t.Helper()
	for _, f := range fs {
		f.Mesh.SetMembers(p2ptest.Members(fs...))
	}
	awaitAllUp(t, fs...)
}

func awaitAllUp(t testing.TB, fs ...p2ptest.Fixture) {
	t.Helper()
	for _, f := range fs {
		for _, g := range fs {
			if f.ID() != g.ID() {
				f.Events.AwaitUp(t, g.ID())
			}
		}
	}
}

func mesh(f p2ptest.Fixture) *Mesh { return f.Mesh.(*Mesh) }

func TestConformance(t *testing.T) {
	p2ptest.Conformance(t, func(t *testing.T, n int) []p2ptest.Fixture { return startMany(t, n, nil) })
}

func TestConformanceOverTCP(t *testing.T) {
	p2ptest.Conformance(t, func(t *testing.T, n int) []p2ptest.Fixture {
		return startMany(t, n, func(c *Config) { c.Listen = []string{"/ip4/127.0.0.1/tcp/0"} })
	})
}

func TestPeerIDEqualsLibp2ps(t *testing.T) {
	for range 20 {
		key := newKey(t)
		lk, err := crypto.UnmarshalEd25519PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		id, err := peer.IDFromPrivateKey(lk)
		if err != nil {
			t.Fatal(err)
		}
		if got := cert.PeerIDOf(key.Public().(ed25519.PublicKey)); got != p2pID(id) {
			t.Fatalf("cert says %s, libp2p %s", got, id)
		}
	}
}

func TestFiveNodesMeetSpeakPartAndMeetAgain(t *testing.T) {
	fs := startMany(t, 5, nil)
	introduce(t, fs...)
	hearAll := func(word string) {
		for i, f := range fs {
			for _, g := range fs {
				if f.ID() == g.ID() {
					continue
				}
				n := 0
				g.Events.AwaitRetry(t, fmt.Sprintf("broadcast of %d", i), func() bool {
					for _, fr := range g.Events.Frames(f.ID()) {
						if len(fr) > len(word) && string(fr[:len(word)]) == word {
							return true
						}
					}
					return false
				}, func() { n++; f.Mesh.Broadcast(fmt.Appendf(nil, "%s %d", word, n)) })
			}
		}
	}
	hearAll("hello")
	left, right := fs[:2], fs[2:]
	cut(left, right)
	for _, f := range left {
		for _, g := range right {
			f.Events.AwaitDown(t, g.ID())
			g.Events.AwaitDown(t, f.ID())
		}
	}
	for _, f := range fs {
		mesh(f).SetBlocked(nil)
	}
	awaitAllUp(t, fs...)
	hearAll("again")
}

// TestBlockedFromTheFirstMoment starts members that know each other and where
// they are, with one of them hidden: they never meet it, and all meet after.
func TestBlockedFromTheFirstMoment(t *testing.T) {
	old := startMany(t, 2, nil)
	for range 5 {
		key := newKey(t)
		self := cert.PeerIDOf(key.Public().(ed25519.PublicKey))
		for _, f := range old {
			f.Mesh.SetMembers(append(p2ptest.Members(old...), p2p.Member{ID: self}))
		}
		hidden := old[0].ID()
		f := start(t, func(c *Config) {
			c.Key, c.Members = key, p2ptest.Members(old...)
			c.Blocked = func(id p2p.PeerID) bool { return id == hidden }
		})
		f.Events.AwaitUp(t, old[1].ID())
		if f.Events.IsUp(hidden) || f.Events.Downs(hidden) > 0 {
			t.Error("a new mesh met a peer that it was told to block")
		}
		mesh(f).SetBlocked(nil)
		f.Events.AwaitUp(t, hidden)
	}
}

// cut keeps two groups apart.
func cut(left, right []p2ptest.Fixture) {
	block := func(these, others []p2ptest.Fixture) {
		away := map[p2p.PeerID]bool{}
		for _, o := range others {
			away[o.ID()] = true
		}
		for _, f := range these {
			mesh(f).SetBlocked(func(id p2p.PeerID) bool { return away[id] })
		}
	}
	block(left, right)
	block(right, left)
}

// A peer that lost its power closed nothing. Once its next life has introduced
// itself, frames go there at once and not to the connections of the former one,
// which a mesh of the same identity that runs on stands for here.
func TestRebootedPeerIsSpokenToAtOnce(t *testing.T) {
	dir, key := t.TempDir(), newKey(t)
	same := func(c *Config) { c.Dir, c.Key = dir, key }
	former, z := start(t, same), start(t, nil)
	introduce(t, former, z)
	z.Mesh.Send(former.ID(), []byte("before"))
	former.Events.AwaitFrame(t, z.ID(), []byte("before"))
	neverDialAgain(mesh(former))

	next := start(t, same)
	next.Mesh.SetMembers(p2ptest.Members(next, z))
	next.Events.AwaitRetry(t, "frame for the next life", func() bool {
		return len(next.Events.Frames(z.ID())) > 0
	}, func() { z.Mesh.Send(next.ID(), []byte("after")) })
}

// neverDialAgain leaves a mesh its connections, and no way to make others.
func neverDialAgain(m *Mesh) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.peers {
		r.standing = false
	}
}
