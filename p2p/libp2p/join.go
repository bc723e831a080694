package libp2p

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"holon/p2p/cert"
)

const (
	joinWait      = 20 * time.Second // for a door that opens or is found
	joinAgain     = 2 * time.Second  // between rounds
	joinAtOnce    = 4                // doors looked at together; only one hears the secret at a time
	joinDoorsMax  = 64               // remembered: anybody on the LAN can announce one
	joinAddrsMax  = 16               // of one door
	joinDialLimit = 5 * time.Second
)

// JoinConfig says how a newcomer asks for membership.
type JoinConfig struct {
	Token       cert.Token
	Key         ed25519.PrivateKey // the newcomer's identity
	Name        string             // wanted node name
	NoIntroduce bool               // the newcomer will not introduce others
	MDNS        bool               // look for doors on the LAN too: token addresses may be stale
	Agent       string             // holon version, for the member's log
	// Wait is how long to go on while nobody grants or finally refuses; 0 is 20 s.
	Wait time.Duration
}

// JoinFailed lists what a newcomer tried.
type JoinFailed struct {
	Cluster string
	Tries   []JoinTry // the last try of each door
	MDNS    bool
}

// JoinTry is one door and why it did not open.
type JoinTry struct {
	Peer  string
	Addrs []string
	Err   error
}

func (e *JoinFailed) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "could not join cluster %s", e.Cluster)
	if len(e.Tries) == 0 {
		b.WriteString(": no member was found")
	}
	for _, t := range e.Tries {
		fmt.Fprintf(&b, "\n  %s at %s: %v", t.Peer, strings.Join(t.Addrs, ", "), t.Err)
	}
	b.WriteString("\nNext: check that a member is up and can be reached from here, print a new token on it with `holon token create`, and try again")
	if !e.MDNS {
		b.WriteString(" (members on this LAN were not looked for: mDNS is off)")
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As every try's error.
func (e *JoinFailed) Unwrap() []error {
	var errs []error
	for _, t := range e.Tries {
		errs = append(errs, t.Err)
	}
	return errs
}

// Join asks members of the token's cluster to certify this node. It tries every
// door that the token names or that is found on the LAN, and goes on to the next
// where another member may say yes. The secret is sent only to a peer that shows
// that it belongs to the token's cluster. progress gets lines for a person.
//
// It fails with *cert.JoinRefused when the answer is final and with *JoinFailed
// when nobody could answer.
func Join(ctx context.Context, cfg JoinConfig, progress func(string)) (cert.JoinGrant, error) {
	if !cert.ValidName(cfg.Name) {
		return cert.JoinGrant{}, fmt.Errorf("join: node name %q is not a DNS label: choose one with `holon up --name`", cfg.Name)
	}
	if cfg.Wait == 0 {
		cfg.Wait = joinWait
	}
	end, err := newEndpoint(endpointConfig{key: cfg.Key, gater: joinGate{}, limits: doorLimits})
	if err != nil {
		return cert.JoinGrant{}, fmt.Errorf("join: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	j := &joiner{cfg: cfg, end: end, progress: progress, doors: map[peer.ID]*knownDoor{}, news: make(chan struct{}, 1)}
	defer j.wg.Wait()
	defer end.close()
	defer cancel()
	for _, s := range cfg.Token.Addrs {
		if info, err := peer.AddrInfoFromString(s); err == nil {
			j.note(info.ID, info.Addrs)
		}
	}
	if cfg.MDNS {
		j.wg.Go(func() {
			if err := listenLAN(ctx, j.sighted); err != nil {
				j.say("members on the LAN cannot be found by multicast: %v", err)
			}
		})
	}
	return j.run(ctx)
}

// joiner is one call of Join.
type joiner struct {
	cfg  JoinConfig
	end  *endpoint
	wg   sync.WaitGroup
	news chan struct{} // a door was found; one waiting token

	saying   sync.Mutex
	progress func(string)

	asking sync.Mutex // held while one door hears the secret: a token may be good for one use

	mu    sync.Mutex
	doors map[peer.ID]*knownDoor
	grant *cert.JoinGrant
	final error // a refusal that no other member would change
}

type knownDoor struct {
	addrs []ma.Multiaddr
	busy  bool
	next  time.Time
	err   error // of the last try
}

func (j *joiner) say(format string, args ...any) {
	j.saying.Lock()
	defer j.saying.Unlock()
	if j.progress != nil {
		j.progress(fmt.Sprintf(format, args...))
	}
}

func (j *joiner) sighted(a announcement) {
	if a.cluster == j.cfg.Token.Cluster && len(a.door) > 0 {
		j.note(a.peer, a.door)
	}
}

// note takes addresses of a door; new ones are tried at once.
func (j *joiner) note(id peer.ID, addrs []ma.Multiaddr) {
	j.mu.Lock()
	d := j.doors[id]
	if d == nil && len(j.doors) < joinDoorsMax {
		d = &knownDoor{}
		j.doors[id] = d
	}
	if d != nil {
		all := ma.Unique(append(slices.Clone(addrs), d.addrs...))
		if len(all) > len(d.addrs) {
			d.addrs, d.next = all[:min(len(all), joinAddrsMax)], time.Time{}
		}
	}
	j.mu.Unlock()
	j.poke()
}

func (j *joiner) poke() {
	select {
	case j.news <- struct{}{}:
	default:
	}
}

// run tries doors until one grants, one refuses finally, or time is up.
func (j *joiner) run(ctx context.Context) (cert.JoinGrant, error) {
	up := time.NewTimer(j.cfg.Wait)
	defer up.Stop()
	again := time.NewTicker(joinAgain / 4)
	defer again.Stop()
	for {
		grant, final := j.tryDoors(ctx)
		switch {
		case grant != nil:
			return *grant, nil
		case final != nil:
			return cert.JoinGrant{}, fmt.Errorf("join cluster %s: %w", j.cfg.Token.Cluster, final)
		}
		select {
		case <-j.news:
		case <-again.C:
		case <-ctx.Done():
			return cert.JoinGrant{}, errors.Join(ctx.Err(), j.failed())
		case <-up.C:
			return cert.JoinGrant{}, j.failed()
		}
	}
}

// tryDoors starts a try at each door that is due.
func (j *joiner) tryDoors(ctx context.Context) (*cert.JoinGrant, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	busy := 0
	for _, d := range j.doors {
		if d.busy {
			busy++
		}
	}
	for id, d := range j.doors {
		if j.grant != nil || j.final != nil || d.busy || busy >= joinAtOnce || time.Now().Before(d.next) {
			continue
		}
		d.busy = true
		busy++
		addrs, first := slices.Clone(d.addrs), d.err == nil
		j.wg.Go(func() { j.try(ctx, id, addrs, first) })
	}
	return j.grant, j.final
}

func (j *joiner) try(ctx context.Context, id peer.ID, addrs []ma.Multiaddr, first bool) {
	if first {
		j.say("asking %s at %v", id, addrs)
	}
	ctx, cancel := context.WithTimeout(ctx, strangerTime)
	defer cancel()
	grant, err := j.ask(ctx, id, addrs)
	if err != nil && first {
		j.say("%s: %v", id, err)
	}
	j.mu.Lock()
	d := j.doors[id]
	d.busy, d.err, d.next = false, err, time.Now().Add(joinAgain)
	if err == nil {
		j.grant = grant
	}
	if refused := (*cert.JoinRefused)(nil); errors.As(err, &refused) && !refused.Reason.TryNext() && j.final == nil {
		j.final = err
	}
	j.mu.Unlock()
	j.poke()
}

var errAnswered = errors.New("another member answered first")

// ask speaks the join protocol with one door.
func (j *joiner) ask(ctx context.Context, id peer.ID, addrs []ma.Multiaddr) (*cert.JoinGrant, error) {
	dialling, done := context.WithTimeout(ctx, joinDialLimit)
	defer done()
	j.end.store.AddAddrs(id, addrs, addrTTL)
	j.end.net.Backoff().Clear(id)
	if _, err := j.end.net.DialPeer(dialling, id); err != nil {
		return nil, unreachable(dialling, err)
	}
	defer j.end.net.ClosePeer(id)
	s, err := j.end.net.NewStream(network.WithNoDial(ctx, "dialled already"), id)
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	defer s.Reset()
	if err := negotiate(ctx, s, joinProtocol); err != nil {
		return nil, fmt.Errorf("it does not let newcomers in: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	if err := j.recognise(s, id); err != nil {
		return nil, err
	}
	return j.request(s)
}

// recognise reads the welcome and checks it against the token.
func (j *joiner) recognise(s network.Stream, id peer.ID) error {
	b, err := readJoin(s)
	if err != nil {
		return fmt.Errorf("no welcome: %w", err)
	}
	w, err := cert.DecodeWelcome(b)
	if err != nil {
		return fmt.Errorf("%w: %w", cert.ErrImpostor, err)
	}
	return w.Check(j.cfg.Token, p2pID(id))
}

// request sends the secret and reads the answer, with no other door asked meanwhile.
func (j *joiner) request(s network.Stream) (*cert.JoinGrant, error) {
	j.asking.Lock()
	defer j.asking.Unlock()
	j.mu.Lock()
	answered := j.grant != nil || j.final != nil
	j.mu.Unlock()
	if answered {
		return nil, errAnswered
	}
	self := j.cfg.Key.Public().(ed25519.PublicKey)
	b, err := cert.JoinRequest{
		Version: cert.Version, Cluster: j.cfg.Token.Cluster, TokenID: j.cfg.Token.ID, Secret: j.cfg.Token.Secret,
		Name: j.cfg.Name, PublicKey: self, Introduce: !j.cfg.NoIntroduce, Agent: j.cfg.Agent,
	}.Encode()
	if err != nil {
		return nil, err
	}
	if err := writeJoin(s, b); err != nil {
		return nil, fmt.Errorf("request was not sent: %w", err)
	}
	if b, err = readJoin(s); err != nil {
		return nil, fmt.Errorf("no answer to the request; the token may be used up now: %w", err)
	}
	reply, err := cert.DecodeJoinReply(b)
	if err != nil {
		return nil, err
	}
	if reply.Refused != nil {
		return nil, reply.Refused
	}
	if err := reply.Grant.Check(j.cfg.Token, self); err != nil {
		return nil, err
	}
	j.mu.Lock()
	j.grant = reply.Grant
	j.mu.Unlock()
	// The door waits for the end of the stream, and then ends its own half.
	if s.CloseWrite() == nil {
		_, _ = s.Read(make([]byte, 1))
	}
	return reply.Grant, nil
}

func (j *joiner) failed() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := &JoinFailed{Cluster: j.cfg.Token.Cluster, MDNS: j.cfg.MDNS}
	for id, d := range j.doors {
		t := JoinTry{Peer: id.String(), Err: d.err}
		if t.Err == nil {
			t.Err = errors.New("no answer yet")
		}
		for _, a := range d.addrs {
			t.Addrs = append(t.Addrs, a.String())
		}
		e.Tries = append(e.Tries, t)
	}
	slices.SortFunc(e.Tries, func(a, b JoinTry) int { return strings.Compare(a.Peer, b.Peer) })
	return e
}

// joinGate dials anybody and lets nobody in.
type joinGate struct{}

var _ connmgr.ConnectionGater = joinGate{}

func (joinGate) InterceptPeerDial(peer.ID) bool               { return true }
func (joinGate) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (joinGate) InterceptAccept(network.ConnMultiaddrs) bool  { return false }
func (joinGate) InterceptSecured(dir network.Direction, _ peer.ID, _ network.ConnMultiaddrs) bool {
	return dir == network.DirOutbound
}
func (joinGate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
