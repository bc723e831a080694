package libp2p

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"holon/p2p"
	"holon/p2p/cert"
	"holon/p2p/p2ptest"
)

// cluster is a cluster key with members certified by it.
type cluster struct {
	t      testing.TB
	key    ed25519.PrivateKey
	secret [32]byte
}

func newCluster(t testing.TB) *cluster {
	return &cluster{t: t, key: newKey(t), secret: [32]byte{4, 2}}
}

func (c *cluster) pub() ed25519.PublicKey { return c.key.Public().(ed25519.PublicKey) }

func (c *cluster) member(name string) p2ptest.Fixture {
	c.t.Helper()
	return start(c.t, func(cfg *Config) {
		chain, err := cert.Issue(c.key, nil, cert.Request{Cluster: testCluster, Name: name, PublicKey: cfg.Key.Public().(ed25519.PublicKey), Introducer: true})
		if err != nil {
			c.t.Fatal(err)
		}
		cfg.ClusterKey, cfg.Chain = c.pub(), chain
	})
}

func (c *cluster) token(doors ...p2ptest.Fixture) cert.Token {
	t := cert.Token{Cluster: testCluster, KeyHash: cert.KeyHash(c.pub()), ID: "t1", Secret: c.secret}
	for _, d := range doors {
		t.Addrs = append(t.Addrs, mesh(d).DoorAddrs()...)
	}
	return t
}

// grants admits whoever knows the secret, and introduces it.
func (c *cluster) grants(by p2ptest.Fixture) Admit {
	m := mesh(by)
	return func(_ context.Context, req cert.JoinRequest) (cert.JoinGrant, error) {
		if !cert.SecretMatches(req.Secret, cert.SecretHash(c.secret)) {
			return cert.JoinGrant{}, cert.Refuse(cert.TokenUnknown, "")
		}
		chain, err := cert.Issue(m.cfg.Key, m.cfg.Chain, cert.Request{Cluster: testCluster, Name: req.Name, PublicKey: req.PublicKey})
		return cert.JoinGrant{
			Version: cert.Version, Cluster: testCluster, Chain: chain, ClusterKey: c.pub(),
			CACert: []byte("cert"), CAKey: []byte("key"), Members: []p2p.Member{by.Member()},
		}, err
	}
}

func (c *cluster) open(f p2ptest.Fixture, admit Admit) p2ptest.Fixture {
	c.t.Helper()
	if err := mesh(f).OpenDoor(admit); err != nil {
		c.t.Fatal(err)
	}
	return f
}

func refuses(r cert.Reason) Admit {
	return func(context.Context, cert.JoinRequest) (cert.JoinGrant, error) {
		return cert.JoinGrant{}, cert.Refuse(r, "")
	}
}

// join asks with a short patience and records what a person would read.
func join(t testing.TB, cfg JoinConfig) (cert.JoinGrant, []string, error) {
	t.Helper()
	if cfg.Key == nil {
		cfg.Key = newKey(t)
	}
	cfg.Name = "newcomer"
	if cfg.Wait == 0 {
		cfg.Wait = 30 * time.Second
	}
	var said []string
	grant, err := Join(context.Background(), cfg, func(s string) { said = append(said, s) })
	return grant, said, err
}

func TestNewcomerJoinsAndSpeaks(t *testing.T) {
	c := newCluster(t)
	a := c.member("a")
	c.open(a, c.grants(a))
	key := newKey(t)
	grant, said, err := join(t, JoinConfig{Token: c.token(a), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if grant.Chain[0].Name != "newcomer" || len(grant.Members) != 1 || len(said) == 0 {
		t.Errorf("grant %+v, said %q", grant, said)
	}
	b := start(t, func(cfg *Config) { cfg.Key, cfg.Members = key, grant.Members })
	a.Mesh.SetMembers(p2ptest.Members(a, b))
	awaitAllUp(t, a, b)
}

func TestJoinGoesOnWhereAnotherMemberMaySayYes(t *testing.T) {
	c := newCluster(t)
	doors := []p2ptest.Fixture{c.member("a"), c.member("b"), c.member("c"), c.member("d")}
	c.open(doors[0], refuses(cert.TokenUnknown))
	c.open(doors[1], refuses(cert.NotIntroducer))
	c.open(doors[2], func(context.Context, cert.JoinRequest) (cert.JoinGrant, error) {
		return cert.JoinGrant{}, errors.New("disk on fire") // reads as NotServing
	})
	var asked atomic.Int32
	grants := c.grants(doors[3])
	c.open(doors[3], func(ctx context.Context, r cert.JoinRequest) (cert.JoinGrant, error) {
		asked.Add(1)
		return grants(ctx, r)
	})
	token := c.token(doors...)
	gone := start(t, nil) // an address where nobody is any more
	token.Addrs = append(token.Addrs, gone.Mesh.Addrs()[0])
	gone.Mesh.Close()
	if _, _, err := join(t, JoinConfig{Token: token}); err != nil {
		t.Fatal(err)
	}
	if asked.Load() != 1 {
		t.Errorf("the granting member was asked %d times", asked.Load())
	}
}

func TestFinalRefusalEndsTheJoin(t *testing.T) {
	c := newCluster(t)
	for _, r := range []cert.Reason{cert.TokenUsedUp, cert.TokenRevoked, cert.TokenExpired, cert.NameTaken} {
		a := c.open(c.member("a"), refuses(r))
		if _, _, err := join(t, JoinConfig{Token: c.token(a)}); !errors.Is(err, cert.Refuse(r, "")) {
			t.Errorf("%s: %v", r, err)
		}
	}
}

func TestFailureListsWhatWasTried(t *testing.T) {
	c := newCluster(t)
	a := c.open(c.member("a"), refuses(cert.TokenUnknown))
	closed := c.open(c.member("b"), refuses(cert.TokenUnknown))
	token := c.token(a, closed)
	if err := mesh(closed).CloseDoor(); err != nil {
		t.Fatal(err)
	}
	_, _, err := join(t, JoinConfig{Token: token, Wait: 3 * time.Second})
	var failed *JoinFailed
	if !errors.As(err, &failed) || len(failed.Tries) != 2 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{string(a.ID()), string(closed.ID()), "TokenUnknown", "unreachable", "holon token"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}

// An impostor that owns the address, or even a member of another cluster, must
// never see the secret.
func TestSecretIsNotSentToImpostors(t *testing.T) {
	c, other := newCluster(t), newCluster(t)
	var heard atomic.Int32
	admit := func(context.Context, cert.JoinRequest) (cert.JoinGrant, error) {
		heard.Add(1)
		return cert.JoinGrant{}, cert.Refuse(cert.TokenUsedUp, "")
	}
	impostor := other.open(other.member("evil"), admit) // another cluster key
	stolen := c.member("honest")
	thief := start(t, func(cfg *Config) { // shows the chain of another peer
		cfg.ClusterKey, cfg.Chain = c.pub(), mesh(stolen).cfg.Chain
	})
	if err := mesh(thief).OpenDoor(admit); err == nil {
		t.Error("a door opened with the chain of another peer")
	}
	d, err := newDoor(mesh(thief), admit) // past the guard
	if err != nil {
		t.Fatal(err)
	}
	mesh(thief).mu.Lock()
	mesh(thief).door = d
	mesh(thief).mu.Unlock()

	token := c.token()
	token.Addrs = append(mesh(impostor).DoorAddrs(), mesh(thief).DoorAddrs()...)
	_, _, err = join(t, JoinConfig{Token: token, Wait: 3 * time.Second})
	if !errors.Is(err, cert.ErrImpostor) || heard.Load() != 0 {
		t.Errorf("heard %d requests; %v", heard.Load(), err)
	}
	// The same doors do hear a joiner whose token is theirs: the test can see it.
	good := other.token(impostor)
	if _, _, err := join(t, JoinConfig{Token: good}); !errors.Is(err, cert.Refuse(cert.TokenUsedUp, "")) || heard.Load() != 1 {
		t.Errorf("heard %d requests; %v", heard.Load(), err)
	}
}

func TestRequestForAnotherKeyIsRefused(t *testing.T) {
	c := newCluster(t)
	a := c.open(c.member("a"), c.grants(c.member("x")))
	info, err := peer.AddrInfoFromString(mesh(a).DoorAddrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	s := strangerAtDoor(t, *info)
	if _, err := readJoin(s); err != nil {
		t.Fatal(err)
	}
	b, _ := cert.JoinRequest{Version: cert.Version, Cluster: testCluster, TokenID: "t1", Secret: c.secret, Name: "n", PublicKey: newKey(t).Public().(ed25519.PublicKey)}.Encode()
	if err := writeJoin(s, b); err != nil {
		t.Fatal(err)
	}
	b, err = readJoin(s)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := cert.DecodeJoinReply(b); err != nil || r.Refused == nil {
		t.Errorf("%+v, %v", r, err)
	}
}

func strangerAtDoor(t testing.TB, door peer.AddrInfo) network.Stream {
	t.Helper()
	end, err := newEndpoint(endpointConfig{key: newKey(t), gater: joinGate{}, limits: doorLimits})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end.close() })
	ctx, cancel := context.WithTimeout(context.Background(), p2ptest.AwaitMax)
	t.Cleanup(cancel)
	end.store.AddAddrs(door.ID, door.Addrs, addrTTL)
	if _, err := end.net.DialPeer(ctx, door.ID); err != nil {
		t.Fatal(err)
	}
	s, err := end.net.NewStream(ctx, door.ID)
	if err == nil {
		err = negotiate(ctx, s, joinProtocol)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Strangers that only hold the door cost eight places for ten seconds; an
// oversize request ends the conversation.
func TestDoorIsBounded(t *testing.T) {
	c := newCluster(t)
	a := c.member("a")
	c.open(a, c.grants(a))
	info, err := peer.AddrInfoFromString(mesh(a).DoorAddrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	big := strangerAtDoor(t, *info)
	if _, err := readJoin(big); err != nil {
		t.Fatal(err)
	}
	big.Write([]byte{0xff, 0xff, 0xff, 0xff})
	if _, err := io.ReadAll(big); err == nil {
		t.Error("an oversize request was not cut off")
	}
	big.Conn().Close()

	var wg sync.WaitGroup
	var held, ended atomic.Int32
	for range strangersMax + 4 {
		wg.Go(func() {
			end, err := newEndpoint(endpointConfig{key: newKey(t), gater: joinGate{}, limits: doorLimits})
			if err != nil {
				t.Error(err)
				return
			}
			defer end.close()
			end.store.AddAddrs(info.ID, info.Addrs, addrTTL)
			ctx, cancel := context.WithTimeout(context.Background(), p2ptest.AwaitMax)
			defer cancel()
			s, err := end.net.NewStream(ctx, info.ID)
			if err == nil {
				err = negotiate(ctx, s, joinProtocol)
			}
			if err != nil {
				return
			}
			if _, err := readJoin(s); err != nil {
				return
			}
			held.Add(1)
			if _, err := s.Read(make([]byte, 1)); err != nil { // says nothing
				ended.Add(1)
			}
		})
	}
	wg.Wait()
	if held.Load() > strangersMax || held.Load() == 0 || ended.Load() != held.Load() {
		t.Errorf("%d strangers were let in at once, %d of them ended", held.Load(), ended.Load())
	}
	if _, _, err := join(t, JoinConfig{Token: c.token(a)}); err != nil {
		t.Errorf("after the siege: %v", err)
	}
}

func TestDoorSpeaksNothingElse(t *testing.T) {
	c := newCluster(t)
	a := c.member("a")
	c.open(a, c.grants(a))
	if protocols := mesh(a).door.end.host.Mux().Protocols(); len(protocols) != 1 || protocols[0] != joinProtocol {
		t.Errorf("the door speaks %v", protocols)
	}
	if err := mesh(a).CloseDoor(); err != nil || len(mesh(a).DoorAddrs()) != 0 {
		t.Errorf("closed door: %v, %v", mesh(a).DoorAddrs(), err)
	}
	if err := start(t, nil).Mesh.(*Mesh).OpenDoor(refuses(cert.NotServing)); err == nil {
		t.Error("a node without a certificate opened a door")
	}
}
