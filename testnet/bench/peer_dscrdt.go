package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	ds "github.com/ipfs/go-datastore"
	badgerds "github.com/ipfs/go-ds-badger4"
	dscrdtlib "github.com/ipfs/go-ds-crdt"
	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// dscrdt is go-ds-crdt as its documentation puts it together: a Merkle DAG of
// deltas whose heads travel by GossipSub and whose blocks by Bitswap, on Badger.
type dscrdt struct {
	opts  dscrdtOptions
	nodes []*dscrdtNode
}

type dscrdtOptions struct {
	members int
	sync    bool // Badger syncs every write
	size    int  // of a value
}

type dscrdtNode struct {
	host  host.Host
	store *badgerds.Datastore
	swap  *bitswap.Bitswap
	data  *dscrdtlib.Datastore
	stop  context.CancelFunc

	mu   sync.Mutex
	seen func(write)
}

func withDSCRDT(ctx context.Context, opts dscrdtOptions, body func(*dscrdt) error) error {
	return withDir(func(dir string) error {
		d := &dscrdt{opts: opts}
		defer d.close()
		for i := range opts.members {
			if err := d.add(ctx, filepath.Join(dir, fmt.Sprint(i))); err != nil {
				return fmt.Errorf("go-ds-crdt: %w", err)
			}
		}
		if err := meet(ctx, d.hosts()); err != nil {
			return err
		}
		return body(d)
	})
}

// newHost listens on loopback only.
func newHost() (host.Host, error) {
	return libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"), libp2p.DisableRelay(),
		libp2p.DisableIdentifyAddressDiscovery(), libp2p.ResourceManager(&network.NullResourceManager{}))
}

// meet connects all hosts with each other and gives GossipSub time for its mesh:
// two of its heartbeats.
func meet(ctx context.Context, hosts []host.Host) error {
	for i, h := range hosts {
		for _, other := range hosts[:i] {
			if err := h.Connect(ctx, peer.AddrInfo{ID: other.ID(), Addrs: other.Addrs()}); err != nil {
				return err
			}
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(3 * time.Second):
		return nil
	}
}

func (d *dscrdt) hosts() []host.Host {
	var hosts []host.Host
	for _, n := range d.nodes {
		hosts = append(hosts, n.host)
	}
	return hosts
}

func (d *dscrdt) add(ctx context.Context, dir string) (err error) {
	n := &dscrdtNode{}
	d.nodes = append(d.nodes, n)
	ctx, n.stop = context.WithCancel(ctx)
	if n.host, err = newHost(); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	settings := badgerds.DefaultOptions
	settings.Options = settings.WithSyncWrites(d.opts.sync).WithLogger(nil)
	if n.store, err = badgerds.NewDatastore(dir, &settings); err != nil {
		return err
	}
	blocks := blockstore.NewBlockstore(n.store)
	n.swap = bitswap.New(ctx, bsnet.NewFromIpfsHost(n.host), nil, blocks)
	gossip, err := pubsub.NewGossipSub(ctx, n.host)
	if err != nil {
		return err
	}
	cast, err := dscrdtlib.NewPubSubBroadcaster(ctx, gossip, "bench")
	if err != nil {
		return err
	}
	o := dscrdtlib.DefaultOptions()
	o.RebroadcastInterval = 5 * time.Second
	o.PutHook = func(_ ds.Key, value []byte) {
		n.mu.Lock()
		seen := n.seen
		n.mu.Unlock()
		if w, ok := findMarker(value); ok && seen != nil {
			seen(w)
		}
	}
	n.data, err = dscrdtlib.New(n.store, ds.NewKey("bench"), merkledag.NewDAGService(blockservice.New(blocks, n.swap)), cast, o)
	return err
}

func (d *dscrdt) close() {
	for _, n := range d.nodes {
		n.stop() // before Close, or it hangs, says go-ds-crdt
		var err error
		if n.data != nil {
			err = n.data.Close()
		}
		if n.swap != nil {
			err = errors.Join(err, n.swap.Close())
		}
		if n.store != nil {
			err = errors.Join(err, n.store.Close())
		}
		if n.host != nil {
			err = errors.Join(err, n.host.Close())
		}
		if err != nil {
			say("go-ds-crdt: close: %v", err)
		}
	}
}

func (d *dscrdt) name() string { return "go-ds-crdt" }
func (d *dscrdt) members() int { return len(d.nodes) }

func (d *dscrdt) put(ctx context.Context, member int, w write) error {
	return d.nodes[member].data.Put(ctx, ds.NewKey(keyName(w.key)), []byte(valueOf(w, d.opts.size)))
}

// putBatch writes keys as one delta.
func (d *dscrdt) putBatch(ctx context.Context, member int, writes []write) error {
	batch, err := d.nodes[member].data.Batch(ctx)
	if err != nil {
		return err
	}
	for _, w := range writes {
		if err := batch.Put(ctx, ds.NewKey(keyName(w.key)), []byte(valueOf(w, d.opts.size))); err != nil {
			return err
		}
	}
	return batch.Commit(ctx)
}

func (d *dscrdt) follow(ctx context.Context, member int, began func(), seen func(write)) error {
	n := d.nodes[member]
	n.mu.Lock()
	n.seen = seen
	n.mu.Unlock()
	began()
	<-ctx.Done()
	n.mu.Lock()
	n.seen = nil
	n.mu.Unlock()
	return ctx.Err()
}
