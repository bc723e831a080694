package main

import (
	"bytes"
	"context"
	"errors"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
)

// gossip is GossipSub as the library sets it up, on QUIC, that carries holon's
// encoded records and does nothing else: no disk, no merge, no repair. What it
// loses stays lost.
type gossip struct {
	record  func(write) []byte
	hosts   []host.Host
	topics  []*pubsub.Topic
	readers sync.WaitGroup
	stop    context.CancelFunc

	mu   sync.Mutex
	seen []func(write)
}

func withGossip(ctx context.Context, members int, record func(write) []byte, body func(*gossip) error) error {
	ctx, stop := context.WithCancel(ctx)
	g := &gossip{record: record, stop: stop, seen: make([]func(write), members)}
	defer g.close()
	for range members {
		if err := g.add(ctx); err != nil {
			return err
		}
	}
	if err := meet(ctx, g.hosts); err != nil {
		return err
	}
	return body(g)
}

func (g *gossip) add(ctx context.Context) error {
	h, err := newHost()
	if err != nil {
		return err
	}
	member := len(g.hosts)
	g.hosts = append(g.hosts, h)
	ps, err := pubsub.NewGossipSub(ctx, h, pubsub.WithPeerOutboundQueueSize(1024), pubsub.WithValidateQueueSize(1024))
	if err != nil {
		return err
	}
	topic, err := ps.Join("bench")
	if err != nil {
		return err
	}
	g.topics = append(g.topics, topic)
	sub, err := topic.Subscribe(pubsub.WithBufferSize(1024))
	if err != nil {
		return err
	}
	g.readers.Go(func() {
		for {
			msg, err := sub.Next(ctx)
			if err != nil {
				return
			}
			w, ok := findMarker(msg.Data)
			g.mu.Lock()
			seen := g.seen[member]
			g.mu.Unlock()
			if ok && seen != nil {
				seen(w)
			}
		}
	})
	return nil
}

func (g *gossip) close() {
	g.stop()
	g.readers.Wait()
	for _, h := range g.hosts {
		_ = h.Close()
	}
}

func (g *gossip) name() string { return "raw GossipSub" }
func (g *gossip) members() int { return len(g.hosts) }

func (g *gossip) put(ctx context.Context, member int, w write) error {
	record := g.record(w)
	if len(record) == 0 {
		return errors.New("there is no record of holon to carry")
	}
	return g.topics[member].Publish(ctx, record)
}

func (g *gossip) follow(ctx context.Context, member int, began func(), seen func(write)) error {
	g.mu.Lock()
	g.seen[member] = seen
	g.mu.Unlock()
	began()
	<-ctx.Done()
	g.mu.Lock()
	g.seen[member] = nil
	g.mu.Unlock()
	return ctx.Err()
}

// withMarker is a copy of an encoded value with another write's marker in it.
func withMarker(encoded []byte, w write) []byte {
	out := bytes.Clone(encoded)
	if at := bytes.Index(out, []byte(markerHead)); at >= 0 {
		copy(out[at:], markerOf(w))
	}
	return out
}
