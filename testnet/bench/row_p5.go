package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// wireBytes is P5. Each cluster lives in a network namespace of its own, whose
// loopback then carries what the members say to each other and nothing else:
// payload, headers, acknowledgements, heartbeats, divided by the writes.
func wireBytes(ctx context.Context, b *bench) error {
	for range b.rounds {
		for _, c := range []struct {
			members int
			rate    float64
			peer    string
			goal    goal
		}{
			{10, 20, "gossip", atMost("<= 1.1x", 1.1)}, {10, 500, "gossip", atMost("<= 0.35x", 0.35)},
			{3, 20, "etcd", atMost("<= 1.0x", 1)}, {3, 500, "etcd", atMost("<= 1.0x", 1)},
		} {
			ours, err := b.wire(ctx, "holon", c.members, c.rate, nil)
			if err != nil {
				return err
			}
			theirs, err := b.wire(ctx, c.peer, c.members, c.rate, ours.Record)
			if err != nil {
				return err
			}
			peer := map[string]string{"gossip": "raw GossipSub", "etcd": "etcd"}[c.peer]
			what := fmt.Sprintf("N=%d, %.0f/s", c.members, c.rate)
			b.figure("P5", what, "B/write", peer, c.goal).add(ours.perWrite(), theirs.perWrite())
			b.figure("P5", what+", idle", "B/s", peer, goal{}).add(ours.Idle, theirs.Idle)
		}
	}
	return nil
}

// wire is what a child measured in its namespace.
type wire struct {
	Writes float64
	Bytes  float64 // while they were written and until all showed them
	Idle   float64 // bytes per second without writes
	Record []byte  // of holon, for raw GossipSub
}

func (w wire) perWrite() float64 { return w.Bytes / w.Writes }

// wireCalm is how long what was said before may go on: GossipSub offers messages
// again for three seconds.
const wireCalm = 6 * time.Second

func (b *bench) wire(ctx context.Context, cluster string, members int, rate float64, record []byte) (result wire, err error) {
	job := fmt.Sprintf("wire %s %d %.0f %d", cluster, members, rate, b.scaled(10, 5))
	return result, b.inNamespace(ctx, job, bytes.NewReader(record), &result)
}

// wireJob is the part of P5 that runs in a network namespace of its own.
func wireJob(ctx context.Context, _ *bench, job string) (any, error) {
	var kind string
	var members, length int
	var rate float64
	if _, err := fmt.Sscanf(job, "%s %d %f %d", &kind, &members, &rate, &length); err != nil {
		return nil, err
	}
	var result wire
	body := func(c cluster) error {
		return measureWire(ctx, c, rate, time.Duration(length)*time.Second, &result)
	}
	switch kind {
	case "holon":
		return &result, withParts(ctx, members, smallValue, func(p *parts) error {
			err := body(p)
			result.Record = p.nodes[0].store.recordOf(write{})
			return err
		})
	case "gossip":
		record, err := io.ReadAll(os.Stdin)
		if err != nil {
			return nil, err
		}
		return &result, withGossip(ctx, members, func(w write) []byte { return withMarker(record, w) }, func(g *gossip) error { return body(g) })
	case "etcd":
		return &result, withDir(func(dir string) error {
			e, err := startEtcd(ctx, dir, smallValue, true)
			if err != nil {
				return err
			}
			defer e.close()
			return body(e)
		})
	}
	return nil, fmt.Errorf("there is no cluster %q", kind)
}

func measureWire(ctx context.Context, c cluster, rate float64, length time.Duration, result *wire) error {
	var ids numbers
	if _, carries := c.(*gossip); !carries { // what it says does not depend on what was said before
		if err := prefill(ctx, c, &ids); err != nil {
			return err
		}
	}
	if err := sleep(ctx, wireCalm); err != nil {
		return err
	}
	before, err := loopbackBytes()
	if err != nil {
		return err
	}
	const quiet = 3 * time.Second
	if err := sleep(ctx, quiet); err != nil {
		return err
	}
	idle, err := loopbackBytes()
	if err != nil {
		return err
	}
	if _, err := lossy(ctx, c, &ids, rate, length, time.Second); err != nil {
		return err
	}
	after, err := loopbackBytes()
	*result = wire{Writes: rate * length.Seconds(), Bytes: after - idle, Idle: (idle - before) / quiet.Seconds()}
	return err
}
