package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"holon/crdt"
	"holon/crdt/badger"
	"holon/crdt/state"
	"holon/node"
	"holon/node/api"
	"holon/node/core"
	"holon/p2p"
	"holon/p2p/cert"
	"holon/p2p/libp2p"
	"holon/runtime"
)

// parts is a cluster of whole nodes in this process: core, loop, Badger with
// fsync, libp2p on loopback, cache. Only the HTTP server and the containers are
// left out, as the peers have none.
type parts struct {
	size  int
	nodes []*part
}

type part struct {
	*node.Node
	dir   string
	cache *api.Cache
	store *tap
	end   context.CancelFunc
	done  chan struct{}
	ended error

	mu   sync.Mutex
	uids map[int]api.Object // what was written last, by key
}

func withParts(ctx context.Context, members, size int, body func(*parts) error) error {
	return withPartsIn(ctx, "", members, size, body)
}

// withPartsIn is withParts with the databases in a directory under parent.
func withPartsIn(ctx context.Context, parent string, members, size int, body func(*parts) error) error {
	return withDirIn(parent, func(dir string) (err error) {
		p := &parts{size: size}
		defer func() { err = errors.Join(err, p.close()) }()
		for i := range members {
			if err := p.add(ctx, filepath.Join(dir, fmt.Sprint(i))); err != nil {
				return err
			}
		}
		if err := p.ready(ctx); err != nil {
			return err
		}
		return body(p)
	})
}

// identity founds the cluster, or joins it with a token of the first node.
func (p *parts) identity(ctx context.Context, name string) (node.Identity, error) {
	key, err := node.NewKey()
	if err != nil {
		return node.Identity{}, err
	}
	if len(p.nodes) == 0 {
		return node.Found(name, key, true)
	}
	text, _, err := p.nodes[0].CreateToken(ctx, 1, time.Hour)
	if err != nil {
		return node.Identity{}, err
	}
	token, err := cert.ParseToken(text)
	if err != nil {
		return node.Identity{}, err
	}
	grant, err := libp2p.Join(ctx, libp2p.JoinConfig{Token: token, Key: key, Name: name}, func(string) {})
	if err != nil {
		return node.Identity{}, err
	}
	chain, err := grant.Chain.Encode()
	return node.Identity{
		Name: name, Key: key, Cluster: grant.Cluster, ClusterKey: grant.ClusterKey, Chain: chain, Known: grant.Members, DataKeys: grant.DataKeys,
	}, err
}

func (p *parts) add(ctx context.Context, dir string) error {
	id, err := p.identity(ctx, fmt.Sprintf("n%d", len(p.nodes)+1))
	if err != nil {
		return err
	}
	store, err := badger.Open(filepath.Join(dir, node.StateDir), badger.Options{})
	if err != nil {
		return err
	}
	n := &part{dir: dir, store: &tap{Store: store}, done: make(chan struct{}), uids: map[int]api.Object{}}
	start, reserve, err := node.RVBlock(store)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	n.cache = api.NewCache(uint32(len(p.nodes)+1), start, reserve)
	n.Node, err = node.New(node.Config{
		Identity: id, Store: n.store, DataDir: dir, Runtime: newInstant(), Cache: n.cache, Logger: slog.New(slog.DiscardHandler), Introduce: true,
		Host: core.Host{HostIP: "127.0.0.1", Allocatable: state.Resources{CPU: 1 << 40, Memory: 1 << 50, Pods: 1 << 30}},
		NewMesh: func(ctx context.Context, members []p2p.Member, _ func(p2p.PeerID) bool, events p2p.Events) (node.Mesh, error) {
			chain, err := cert.DecodeChain(id.Chain)
			if err != nil {
				return nil, err
			}
			m, err := libp2p.New(ctx, libp2p.Config{
				Key: id.Key, Cluster: id.Cluster, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, Dir: dir,
				Members: members, ClusterKey: id.ClusterKey, Chain: chain,
			}, events)
			if err != nil {
				return nil, err
			}
			return meshOf{m}, nil
		},
	})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	life, end := context.WithCancel(ctx)
	n.end = end
	p.nodes = append(p.nodes, n)
	go func() { // close waits for it
		defer close(n.done)
		n.ended = errors.Join(n.Run(life), store.Close())
	}()
	return n.Introduce(ctx, len(p.nodes) == 1, nil)
}

// meshOf adapts the mesh to the function type that the node uses.
type meshOf struct{ *libp2p.Mesh }

func (m meshOf) OpenDoor(admit func(context.Context, cert.JoinRequest) (cert.JoinGrant, error)) error {
	return m.Mesh.OpenDoor(admit)
}

// ready waits until every node shows every node.
func (p *parts) ready(ctx context.Context) error {
	return await(ctx, func() error {
		for _, n := range p.nodes {
			if nodes, _ := n.cache.List(state.Nodes, ""); len(nodes) != len(p.nodes) {
				return fmt.Errorf("a node shows %d of %d nodes", len(nodes), len(p.nodes))
			}
			status, err := n.Status(ctx)
			if err != nil {
				return err
			}
			for _, m := range status.Members {
				if m.State != "alive" {
					return fmt.Errorf("%s is %s", m.Name, m.State)
				}
			}
		}
		return nil
	})
}

func (p *parts) close() (err error) {
	for _, n := range p.nodes {
		n.end()
	}
	for _, n := range p.nodes {
		<-n.done
		err = errors.Join(err, n.ended)
	}
	return err
}

func (p *parts) name() string { return "holon" }
func (p *parts) members() int { return len(p.nodes) }

// put creates a key, or overwrites what this node wrote last.
func (p *parts) put(ctx context.Context, member int, w write) error {
	n := p.nodes[member]
	n.mu.Lock()
	old, there := n.uids[w.key]
	n.mu.Unlock()
	m := api.Mutation{
		Key: api.Key{Resource: state.ConfigMaps, Namespace: "default", Name: keyName(w.key)},
		New: map[string]any{"data": map[string]any{"value": valueOf(w, p.size)}},
	}
	if there {
		value := old.Value()
		meta, _ := value["metadata"].(map[string]any)
		m.UID, _ = meta["uid"].(string)
		m.Old = value
		m.New["metadata"] = meta
	}
	after, err := n.Mutate(ctx, m)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.uids[w.key] = after
	n.mu.Unlock()
	return nil
}

func (p *parts) follow(ctx context.Context, member int, began func(), seen func(write)) error {
	for ctx.Err() == nil {
		watcher, err := p.nodes[member].cache.Watch(ctx, state.ConfigMaps, "default", 0)
		if err != nil {
			return err
		}
		began()
		for _, c := range watcher.Start {
			shown(c, seen)
		}
		for c := range watcher.C {
			shown(*c, seen)
		}
		watcher.Stop() // it ended because it fell behind: once more from the present state
	}
	return ctx.Err()
}

func shown(c api.Change, seen func(write)) {
	data, _ := c.Object.Value()["data"].(map[string]any)
	value, _ := data["value"].(string)
	if w, ok := findMarker([]byte(value)); ok {
		seen(w)
	}
}

// tap keeps the newest encoded record of a ConfigMap that went to disk: what raw
// GossipSub and raw Badger are to carry.
type tap struct {
	*badger.Store
	mu     sync.Mutex
	record []byte
}

func (t *tap) Commit(batch []crdt.KV) error {
	err := t.Store.Commit(batch)
	for _, kv := range batch {
		if strings.HasPrefix(kv.Key, "r/"+state.ConfigMaps+"/") {
			t.mu.Lock()
			t.record = append([]byte(nil), kv.Value...)
			t.mu.Unlock()
		}
	}
	return err
}

// recordOf gives a write in holon's encoding. Only the marker differs from the
// record that was seen last, so the size is right and the fill is not.
func (t *tap) recordOf(w write) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return withMarker(t.record, w)
}

// instant is a runtime whose containers run at once and do nothing.
type instant struct {
	mu      sync.Mutex
	pods    map[runtime.RunID]runtime.Status
	changes chan struct{}
}

func newInstant() *instant {
	return &instant{pods: map[runtime.RunID]runtime.Status{}, changes: make(chan struct{}, 1)}
}

func (r *instant) Info(context.Context) (runtime.Info, error) {
	return runtime.Info{Name: "instant", Version: "1"}, nil
}

func (r *instant) changed() {
	select {
	case r.changes <- struct{}{}:
	default:
	}
}

func (r *instant) UpdateFiles(context.Context, runtime.Spec) error { return nil }

func (r *instant) Volumes(context.Context) ([]string, error) { return nil, nil }

func (r *instant) VolumeSize(_ context.Context, name string) (int64, error) {
	return 0, &runtime.Error{Kind: runtime.NotFound, Op: "size of volume " + name, Err: errors.ErrUnsupported}
}

func (r *instant) DirSize(_ context.Context, id runtime.RunID, volume string) (int64, error) {
	return 0, &runtime.Error{Kind: runtime.NotFound, Op: "size of volume " + volume + " of " + string(id), Err: errors.ErrUnsupported}
}

func (r *instant) RemoveVolume(context.Context, string) error { return nil }

func (r *instant) EnsurePod(_ context.Context, spec runtime.Spec) error {
	status := runtime.Status{ID: spec.ID, Namespace: spec.Namespace, Name: spec.Name, UID: spec.UID, Slot: spec.Slot, IP: "127.0.0.1"}
	for _, c := range spec.Containers {
		status.Containers = append(status.Containers, runtime.ContainerStatus{Name: c.Name, ID: "pid:1", State: runtime.Running, StartedAt: time.Now()})
	}
	r.mu.Lock()
	r.pods[spec.ID] = status
	r.mu.Unlock()
	r.changed()
	return nil
}

func (r *instant) StartContainer(ctx context.Context, spec runtime.Spec, _ string, _ int) error {
	return r.EnsurePod(ctx, spec)
}

func (r *instant) StopContainer(context.Context, runtime.RunID, string, int, time.Duration) error {
	return nil
}

func (r *instant) StopPod(_ context.Context, id runtime.RunID, _ time.Duration) error {
	r.mu.Lock()
	delete(r.pods, id)
	r.mu.Unlock()
	r.changed()
	return nil
}

func (r *instant) Pods(context.Context) ([]runtime.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]runtime.Status, 0, len(r.pods))
	for _, s := range r.pods {
		all = append(all, s)
	}
	return all, nil
}

func (r *instant) Usage(context.Context) ([]runtime.PodUsage, error) { return nil, nil }

func (r *instant) Changes() <-chan struct{} { return r.changes }

func (r *instant) Logs(context.Context, runtime.RunID, string, runtime.LogOptions, io.Writer) error {
	return errors.New("no logs here")
}

func (r *instant) Dial(context.Context, runtime.RunID, int) (net.Conn, error) {
	return nil, &runtime.Error{Kind: runtime.Failed, Op: "connect", Err: errors.New("no pod listens here")}
}

func (r *instant) Exec(context.Context, runtime.RunID, string, runtime.ExecOptions) (int, error) {
	return 0, errors.New("no commands here")
}

func (r *instant) Attach(context.Context, runtime.RunID, string, runtime.AttachOptions) error {
	return errors.New("no programs here")
}

func (r *instant) Close() error { return nil }
