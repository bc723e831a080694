package libp2p

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"golang.org/x/time/rate"

	"holon/p2p"
)

const (
	gossipQueueMax   = 1024 // broadcasts that wait to be published, and to be delivered
	gossipMessageMax = p2p.BroadcastBytesMax + 16<<10

	// One origin may say so much; the rest is left to anti-entropy.
	originRate  = 1000 // per second; GossipSub itself carries about 1,100
	originBurst = 2000
)

// gossip spreads broadcasts. Its messages carry an envelope that their origin
// signed, because whoever passes one on is not who said it. GossipSub's own
// sequence numbers follow the wall clock, so they are left out.
type gossip struct {
	m     *Mesh
	topic *pubsub.Topic
	sub   *pubsub.Subscription
	meets event.Emitter
	stop  context.CancelFunc
	queue chan []byte
	boot  uint64

	mu    sync.Mutex
	seq   uint64
	rates map[peer.ID]*rate.Limiter // members only
}

func newGossip(m *Mesh) (*gossip, error) {
	g := &gossip{m: m, queue: make(chan []byte, gossipQueueMax), rates: map[peer.ID]*rate.Limiter{}, boot: m.book.ownRecord().Boot}
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	var err error
	if g.meets, err = m.end.bus.Emitter(&event.EvtPeerProtocolsUpdated{}); err != nil {
		return nil, err
	}
	name := "/holon/" + m.cfg.Cluster
	ps, err := pubsub.NewGossipSub(ctx, m.end.host,
		pubsub.WithGossipSubParams(gossipParams()),
		pubsub.WithFloodPublish(true),
		pubsub.WithPeerExchange(false),
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithMaxMessageSize(gossipMessageMax),
		pubsub.WithPeerOutboundQueueSize(gossipQueueMax),
		pubsub.WithValidateQueueSize(gossipQueueMax),
		pubsub.WithSubscriptionFilter(pubsub.NewAllowlistSubscriptionFilter(name)),
		pubsub.WithPeerFilter(func(id peer.ID, _ string) bool { return m.gate.isMember(id) }),
	)
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	if err := ps.RegisterTopicValidator(name, g.validate); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	if g.topic, err = ps.Join(name); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	if g.sub, err = g.topic.Subscribe(pubsub.WithBufferSize(gossipQueueMax)); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	m.spawn(g.publish)
	m.spawn(g.deliver)
	return g, nil
}

// gossipParams are tuned for few peers that know each other: with the defaults
// a cluster of five lost what was said right after it met, and a star of twenty
// half of everything.
func gossipParams() pubsub.GossipSubParams {
	p := pubsub.DefaultGossipSubParams()
	p.D, p.Dlo, p.Dhi, p.Dout = 12, 2, 64, 0
	p.HeartbeatInterval = 300 * time.Millisecond
	p.HistoryLength, p.HistoryGossip = 40, 20
	p.Connectors = 1 // peer exchange is off
	return p
}

func messageID(msg *pb.Message) string {
	h := sha256.Sum256(msg.Data)
	return string(h[:20])
}

// meet tells GossipSub of a peer. libp2p would do so after identify, which is
// not spoken here: every member speaks GossipSub.
func (g *gossip) meet(id peer.ID) {
	err := g.meets.Emit(event.EvtPeerProtocolsUpdated{Peer: id, Added: []protocol.ID{pubsub.GossipSubID_v12, pubsub.GossipSubID_v13}})
	if err != nil {
		g.m.log.Debug("gossip did not take note of a peer", "peer", id, "error", err)
	}
}

// retain forgets the rates of peers that are no members.
func (g *gossip) retain(isMember func(peer.ID) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range g.rates {
		if !isMember(id) {
			delete(g.rates, id)
		}
	}
}

// Broadcast offers a frame to all members.
func (m *Mesh) Broadcast(frame []byte) {
	if len(frame) > p2p.BroadcastBytesMax || m.ctx.Err() != nil {
		return
	}
	select {
	case m.gossip.queue <- bytes.Clone(frame):
	default: // a hint that comes too fast is no hint
	}
}

func (g *gossip) publish() {
	for {
		select {
		case <-g.m.ctx.Done():
			return
		case frame := <-g.queue:
			if err := g.topic.Publish(g.m.ctx, g.seal(frame)); err != nil && g.m.ctx.Err() == nil {
				g.m.log.Debug("broadcast failed", "error", err)
			}
		}
	}
}

func (g *gossip) deliver() {
	for {
		msg, err := g.sub.Next(g.m.ctx)
		if err != nil {
			return
		}
		e, ok := msg.ValidatorData.(envelope)
		if !ok || e.origin == g.m.self {
			continue
		}
		if r := g.m.remote(e.origin); r != nil {
			r.rumour(e.frame)
		}
	}
}

// rumour delivers a broadcast of a member, which need not be connected.
func (r *remote) rumour(frame []byte) {
	r.events.Lock()
	defer r.events.Unlock()
	if r.m.gate.isMember(r.id) {
		r.m.events.Frame(r.name, frame)
	}
}

func (g *gossip) close() {
	g.stop()
	if g.meets != nil {
		g.meets.Close()
	}
}

// envelope is what travels: version, origin, boot and sequence number (which
// make equal frames different messages), signature, frame.
type envelope struct {
	origin peer.ID
	signed []byte // everything but the signature
	sig    []byte
	frame  []byte
}

const (
	envelopeVersion = 1
	peerIDSize      = 38 // of an ed25519 key
	envelopeHead    = 1 + peerIDSize + 8 + 8
	envelopeMin     = envelopeHead + ed25519.SignatureSize

	broadcastPrefix = "holon broadcast\x00"
)

var errEnvelope = errors.New("malformed broadcast")

func (g *gossip) seal(frame []byte) []byte {
	g.mu.Lock()
	g.seq++
	seq := g.seq
	g.mu.Unlock()
	head := append([]byte{envelopeVersion}, g.m.self...)
	head = binary.BigEndian.AppendUint64(head, g.boot)
	head = binary.BigEndian.AppendUint64(head, seq)
	sig := ed25519.Sign(g.m.cfg.Key, broadcastSigned(g.m.cfg.Cluster, head, frame))
	return append(append(head, sig...), frame...)
}

func broadcastSigned(cluster string, head, frame []byte) []byte {
	b := make([]byte, 0, len(broadcastPrefix)+len(cluster)+1+len(head)+len(frame))
	b = append(append(b, broadcastPrefix...), cluster...)
	return append(append(append(b, 0), head...), frame...)
}

func openEnvelope(cluster string, b []byte) (envelope, error) {
	if len(b) < envelopeMin || len(b) > envelopeMin+p2p.BroadcastBytesMax || b[0] != envelopeVersion {
		return envelope{}, errEnvelope
	}
	origin, err := peer.IDFromBytes(b[1 : 1+peerIDSize])
	if err != nil {
		return envelope{}, fmt.Errorf("%w: %w", errEnvelope, err)
	}
	frame := b[envelopeMin:]
	return envelope{
		origin: origin, frame: frame, sig: b[envelopeHead:envelopeMin],
		signed: broadcastSigned(cluster, b[:envelopeHead], frame),
	}, nil
}

func (e envelope) verify() bool {
	key, err := publicKey(e.origin)
	return err == nil && ed25519.Verify(key, e.signed, e.sig)
}

// validate decides on a message in the order of cost: size, member, rate,
// signature.
func (g *gossip) validate(_ context.Context, from peer.ID, msg *pubsub.Message) pubsub.ValidationResult {
	e, err := openEnvelope(g.m.cfg.Cluster, msg.Data)
	if err != nil {
		return pubsub.ValidationReject
	}
	msg.ValidatorData = e
	switch {
	case e.origin == g.m.self:
		if from != g.m.self { // an echo, from before a restart
			return pubsub.ValidationIgnore
		}
		return pubsub.ValidationAccept
	case !g.m.gate.isMember(e.origin):
		return pubsub.ValidationIgnore // this node may not have heard of it yet
	case !g.allow(e.origin):
		return pubsub.ValidationIgnore
	case !e.verify():
		g.m.log.Warn("broadcast with a false signature is refused", "said to be from", e.origin, "passed on by", from)
		return pubsub.ValidationReject
	}
	return pubsub.ValidationAccept
}

func (g *gossip) allow(origin peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.rates[origin]
	if l == nil {
		l = rate.NewLimiter(originRate, originBurst)
		g.rates[origin] = l
	}
	return l.Allow()
}
