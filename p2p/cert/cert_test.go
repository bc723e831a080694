package cert

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"reflect"
	"strings"
	"testing"

	"holon/p2p"
)

const cluster = "00112233445566778899aabbccddeeff"

func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func pub(n byte) ed25519.PublicKey { return key(n).Public().(ed25519.PublicKey) }

func request(n byte, introducer bool) Request {
	return Request{Cluster: cluster, Name: "node-" + string('a'+rune(n)), PublicKey: pub(n), Introducer: introducer, Serial: [SerialSize]byte{n}}
}

// issueTo makes the chain of member n, introduced by n-1, and so on down to 1,
// whom the cluster key (0) certifies.
func issueTo(t testing.TB, n byte) Chain {
	t.Helper()
	var c Chain
	for i := byte(1); i <= n; i++ {
		var err error
		if c, err = Issue(key(i-1), c, request(i, true)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestChainsOfEveryDepthVerify(t *testing.T) {
	for n := byte(1); n <= MaxDepth; n++ {
		c := issueTo(t, n)
		if err := c.VerifyPeer(cluster, pub(0), PeerIDOf(pub(n))); err != nil {
			t.Errorf("depth %d: %v", n, err)
		}
		if err := c.VerifyPeer(cluster, pub(0), PeerIDOf(pub(n+1))); !errors.Is(err, ErrBadChain) {
			t.Errorf("depth %d: chain of another peer: %v", n, err)
		}
	}
}

func TestTooDeepOrNoIntroducerIsRefusedWithTheNextStep(t *testing.T) {
	_, err := Issue(key(3), issueTo(t, 3), request(4, false))
	if !errors.Is(err, ErrTooDeep) || !strings.Contains(err.Error(), "ask a node nearer") {
		t.Errorf("depth 4: %v", err)
	}
	plain, err := Issue(key(0), nil, request(1, false))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Issue(key(1), plain, request(2, false))
	if !errors.Is(err, ErrNotIntroducer) || !strings.Contains(err.Error(), "ask a node nearer") {
		t.Errorf("no introducer: %v", err)
	}
	if _, err = Issue(key(9), issueTo(t, 1), request(2, false)); err == nil {
		t.Error("a foreign key issued under somebody's chain")
	}
}

// Every field that is changed after signing, and every link put elsewhere, has to
// be caught; resign says whether the forger signs again with a key of its own.
func TestForgeriesAreCaught(t *testing.T) {
	forgeries := map[string]func(c Chain) Chain{
		"no certificate": func(c Chain) Chain { return nil },
		"name":           func(c Chain) Chain { c[0].Name = "evil"; return c },
		"cluster":        func(c Chain) Chain { c[0].Cluster = strings.Repeat("f", 32); return c },
		"serial":         func(c Chain) Chain { c[1].Serial[0]++; return c },
		"introducer":     func(c Chain) Chain { c[0].Introducer = !c[0].Introducer; return c },
		"depth":          func(c Chain) Chain { c[0].Depth = 1; return c },
		"version":        func(c Chain) Chain { c[0].Version = 2; return c },
		"signature":      func(c Chain) Chain { c[2].Signature[5] ^= 1; return c },
		"short key":      func(c Chain) Chain { c[0].PublicKey = c[0].PublicKey[:31]; return c },
		"peer":           func(c Chain) Chain { c[0].Peer = PeerIDOf(pub(77)); return c },
		"key and peer":   func(c Chain) Chain { c[0].Peer, c[0].PublicKey = PeerIDOf(pub(77)), pub(77); return c },
		"leaf dropped, depth kept": func(c Chain) Chain {
			c[1].Depth = 3
			return c[1:]
		},
		"root dropped":   func(c Chain) Chain { return c[:2] },
		"link repeated":  func(c Chain) Chain { return Chain{c[0], c[1], c[1], c[2]} },
		"order reversed": func(c Chain) Chain { return Chain{c[2], c[1], c[0]} },
		"self-signed by another": func(Chain) Chain {
			c, err := Issue(key(66), nil, request(5, true))
			if err != nil {
				panic(err)
			}
			return c
		},
		"issued by a non-introducer": func(c Chain) Chain {
			plain, _ := Issue(key(0), nil, request(1, false))
			leaf := c[1]
			leaf.Signature = ed25519.Sign(key(1), leaf.signed())
			return Chain{leaf, plain[0]}
		},
	}
	for name, forge := range forgeries {
		if err := forge(issueTo(t, 3)).Verify(cluster, pub(0)); !errors.Is(err, ErrBadChain) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := issueTo(t, 3).Verify(strings.Repeat("e", 32), pub(0)); !errors.Is(err, ErrBadChain) {
		t.Errorf("other cluster: %v", err)
	}
	if err := issueTo(t, 3).Verify(cluster, pub(8)); !errors.Is(err, ErrBadChain) {
		t.Errorf("other cluster key: %v", err)
	}
}

func TestChainCodecIsCanonicalAndBounded(t *testing.T) {
	c := issueTo(t, 3)
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeChain(b)
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Fatalf("round trip: %v", err)
	}
	if err := got.Verify(cluster, pub(0)); err != nil {
		t.Error(err)
	}
	if _, err := DecodeChain(append(b, 0)); err == nil {
		t.Error("trailing byte accepted")
	}
	if _, err := DecodeChain(make([]byte, ChainBytesMax+1)); err == nil {
		t.Error("oversize accepted")
	}
}

func TestPeerIDHasTheKnownForm(t *testing.T) {
	// Equality with libp2p's own is tested in p2p/libp2p, which may import it.
	if got := PeerIDOf(make(ed25519.PublicKey, 32)); got != p2p.PeerID("12D3KooW9pNAk8aiBuGVQtWRdbkLmo5qVL3e2h5UxbN2Nz9ttwiw") {
		t.Errorf("got %s", got)
	}
	if PeerIDOf(nil) != "" {
		t.Error("a short key has a peer ID")
	}
}

func FuzzDecode(f *testing.F) {
	c := issueTo(f, 3)
	b, _ := c.Encode()
	f.Add(b)
	for _, m := range messages(f) {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := DecodeChain(b); err == nil {
			again, err := c.Encode()
			if err != nil || !bytes.Equal(again, b) {
				t.Fatalf("not canonical: %v", err)
			}
			_ = c.Verify(cluster, pub(0))
		}
		if w, err := DecodeWelcome(b); err == nil {
			_ = w.Check(token(), PeerIDOf(pub(1)))
		}
		if r, err := DecodeJoinRequest(b); err == nil {
			if _, err := r.Encode(); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := DecodeJoinReply(b); err == nil && r.Grant != nil {
			_ = r.Grant.Check(token(), pub(1))
		}
		_, _ = ParseToken(string(b))
	})
}
