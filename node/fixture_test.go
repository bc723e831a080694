package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holon/crdt"
	"holon/crdt/seal"
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
	"holon/p2p"
	"holon/p2p/cert"
	"holon/p2p/p2ptest"
	"holon/runtime"
	"holon/runtime/runtimetest"
)

// memory is a disk in memory that can be told to fail.
type memory struct {
	mu    sync.Mutex
	pairs map[string][]byte
	fail  error
	rot   map[string]bool // keys whose pairs do not read back
}

// corrupt is how a store tells of pairs that it has set aside.
type corrupt []string

func (c corrupt) Error() string         { return fmt.Sprint("damaged: ", []string(c)) }
func (c corrupt) CorruptKeys() []string { return c }

func (m *memory) Load(prefix string, f func(string, []byte) error) error {
	m.mu.Lock()
	var set corrupt
	for key := range m.rot {
		if strings.HasPrefix(key, prefix) {
			set = append(set, key)
			delete(m.rot, key)
			delete(m.pairs, key)
			m.pairs[diskDamage] = []byte(key)
		}
	}
	pairs := maps.Clone(m.pairs)
	m.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		if strings.HasPrefix(key, prefix) {
			if err := f(key, pairs[key]); err != nil {
				return err
			}
		}
	}
	if len(set) > 0 {
		return set
	}
	return nil
}

func (m *memory) Commit(batch []crdt.KV) error {
	time.Sleep(time.Millisecond) // a disk takes its time, so batches form
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	for _, kv := range batch {
		if kv.Value == nil {
			delete(m.pairs, kv.Key)
		} else {
			m.pairs[kv.Key] = kv.Value
		}
	}
	return nil
}

func (m *memory) value(key string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pairs[key]
}

func (m *memory) Close() error { return nil }

func (m *memory) breakWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// testMesh adds a door to the mesh in memory; nobody knocks here.
type testMesh struct{ *p2ptest.Mesh }

func (testMesh) OpenDoor(func(context.Context, cert.JoinRequest) (cert.JoinGrant, error)) error {
	return nil
}
func (testMesh) CloseDoor() error                 { return nil }
func (testMesh) DoorAddrs() []string              { return []string{"/ip4/127.0.0.1/tcp/1"} }
func (testMesh) SetBlocked(func(p2p.PeerID) bool) {}

// cluster is real shells in one bubble: virtual time, real goroutines.
type cluster struct {
	t     *testing.T
	net   *p2ptest.Net
	start time.Time
	nodes []*member
	key   ed25519.PrivateKey
	tap   *wiretap
}

// member is one node of a cluster and what survives its daemon.
type member struct {
	*Node
	c     *cluster
	id    Identity
	disk  *memory
	dir   string // its data directory
	host  *runtimetest.Simulated
	image *runtimetest.ImageStore // nil: its runtime has no images
	free  atomic.Uint64           // bytes of its disk for images
	arch  string
	specs specLog
	log   journalText // of all its daemons
	cut   []string    // what it is told to block at its next start

	used    func() (HostUsage, error)  // of its machine; nil: of this one
	spare   func(...string) core.Spare // of its machine; nil: nobody knows
	blocked func(p2p.PeerID) bool      // what its mesh was started with
	end     context.CancelFunc
	done    chan error

	machine Machine
	profile string // of its failure detection; the figures are those of a LAN
}

const testCluster = "0123456789abcdef0123456789abcdef"

func newCluster(t *testing.T, n int) *cluster { return newClusterOf(t, n, func(*member) {}) }

// newClusterOf lets prepare change each node before it starts.
func newClusterOf(t *testing.T, n int, prepare func(*member)) *cluster {
	c := &cluster{t: t, net: p2ptest.NewNet(1), start: time.Now(), key: ed25519.NewKeyFromSeed(make([]byte, 32)), tap: &wiretap{}}
	c.net.SetFaults(p2ptest.Faults{Delay: time.Millisecond})
	for i := range n {
		seed := make([]byte, 32)
		seed[0] = byte(i + 1)
		m := &member{c: c, disk: &memory{pairs: map[string][]byte{}}, dir: t.TempDir(), machine: Machine{"machine-id": "here"}, id: Identity{
			Name: fmt.Sprintf("n%d", i+1), Key: ed25519.NewKeyFromSeed(seed), Cluster: testCluster, ClusterKey: c.key.Public().(ed25519.PublicKey), ClusterPrivate: c.key,
		}}
		chain, err := cert.Issue(c.key, nil, cert.Request{Cluster: testCluster, Name: m.id.Name, PublicKey: m.id.Key.Public().(ed25519.PublicKey), Introducer: true})
		if err != nil {
			t.Fatal(err)
		}
		if m.id.Chain, err = chain.Encode(); err != nil {
			t.Fatal(err)
		}
		m.host = runtimetest.NewSimulated(runtimetest.HostConfig{Node: m.id.Name, StartDelay: 100 * time.Millisecond, Program: program})
		prepare(m)
		c.nodes = append(c.nodes, m)
	}
	c.nodes[0].id.DataKeys = [][]byte{bytes.Repeat([]byte{7}, seal.KeySize)}
	c.nodes[0].up()
	c.admitOthers()
	return c
}

// program stays until SIGTERM, or until it is killed if it is stubborn; one that
// is to crash does so at once.
func program(_ runtime.Spec, c runtime.Container, _ int) (runtimetest.Program, error) {
	if c.Image == "crash" {
		return runtimetest.Program{ExitCode: 7}, nil
	}
	return runtimetest.Program{RunFor: runtimetest.Never, TermCode: 143, IgnoreTerm: c.Image == "stubborn"}, nil
}

// admitOthers lets the other nodes in through the first one, with a token.
func (c *cluster) admitOthers() {
	first := c.nodes[0]
	if err := first.Introduce(c.t.Context(), true, nil); err != nil {
		c.t.Fatal(err)
	}
	for _, m := range c.nodes[1:] {
		text, _, err := first.CreateToken(c.t.Context(), 1, time.Hour)
		if err != nil {
			c.t.Fatal(err)
		}
		token, err := cert.ParseToken(text)
		if err != nil {
			c.t.Fatal(err)
		}
		grant, err := first.admit(c.t.Context(), cert.JoinRequest{
			Version: cert.Version, Cluster: token.Cluster, TokenID: token.ID, Secret: token.Secret, Name: m.id.Name,
			PublicKey: m.id.Key.Public().(ed25519.PublicKey), Introduce: true,
		})
		if err != nil {
			c.t.Fatal(err)
		}
		m.id.Known, m.id.DataKeys = grant.Members, grant.DataKeys
		m.up()
		if err := m.Introduce(c.t.Context(), false, nil); err != nil {
			c.t.Fatal(err)
		}
	}
	c.await("every node sees every node ready", func() bool {
		for _, m := range c.nodes {
			if m.readyNodes() != len(c.nodes) {
				return false
			}
		}
		return true
	})
}

// up starts the daemon of a node on what its disk holds.
func (m *member) up() {
	ctx, end := context.WithCancel(context.Background())
	cfg := Config{
		Identity: m.id, Store: m.disk, DataDir: m.dir, Machine: m.machine, Runtime: m.runtime(),
		Cache: api.NewCache(1, 0, nil), Logger: slog.New(slog.NewTextHandler(&m.log, nil)),
		Introduce: true, Clock: func() core.Instant { return time.Hour + time.Since(m.c.start) },
		Host:    core.Host{HostIP: "10.0.0.1", Arch: m.arch, Allocatable: state.Resources{CPU: 4000, Memory: 1 << 30, Pods: 50}},
		Blocked: m.cut, DiskFree: func(string) (uint64, error) { return m.free.Load(), nil }, HostUsage: m.used,
		NewMesh: func(_ context.Context, members []p2p.Member, blocked func(p2p.PeerID) bool, events p2p.Events) (Mesh, error) {
			m.blocked = blocked
			mesh := m.c.net.Join(m.id.Peer(), events)
			mesh.SetMembers(members)
			return tappedMesh{testMesh{mesh}, m.c.tap}, nil
		},
	}
	if cfg.HostSpare = m.spare; m.spare == nil {
		cfg.HostSpare = func(...string) core.Spare { return core.Spare{} }
	}
	cfg.Core.Swim.Name = m.profile
	var err error
	if m.Node, err = New(cfg); err != nil {
		m.c.t.Fatal(err)
	}
	m.end, m.done = end, make(chan error, 1)
	go func() { m.done <- m.Run(ctx) }()
	if _, err := m.Mesh(ctx); err != nil {
		m.c.t.Fatal(err)
	}
}

func (m *member) runtime() runtime.Runtime {
	rt := talker{m.host.Runtime(), &m.specs}
	if m.image == nil {
		return rt
	}
	return m.image.Runtime(rt)
}

// down ends the daemon; its pods go on.
func (m *member) down() {
	m.end()
	if err := <-m.done; err != nil {
		m.c.t.Errorf("%s: %v", m.id.Name, err)
	}
	m.cfg.Runtime.Close()
}

// journalText keeps what a daemon logs.
type journalText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journalText) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// lines returns the lines that hold every one of some words.
func (j *journalText) lines(words ...string) (found []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			found = append(found, line)
		}
	}
	return found
}

// talker is a runtime whose containers answer: they repeat the command and what
// they are told, and exit with 3.
type talker struct {
	runtime.Runtime
	specs *specLog
}

// specLog keeps the pods that a runtime was told to run.
type specLog struct {
	mu  sync.Mutex
	all []runtime.Spec
}

func (t talker) EnsurePod(ctx context.Context, spec runtime.Spec) error {
	t.specs.mu.Lock()
	t.specs.all = append(t.specs.all, spec)
	t.specs.mu.Unlock()
	return t.Runtime.EnsurePod(ctx, spec)
}

func (m *member) ordered() []runtime.Spec {
	m.specs.mu.Lock()
	defer m.specs.mu.Unlock()
	return slices.Clone(m.specs.all)
}

// document is what a node has on its disk, decoded.
func (m *member) document() map[state.Key]*crdt.Record {
	doc := map[state.Key]*crdt.Record{}
	err := m.disk.Load("r/", func(key string, value []byte) error {
		rec, err := crdt.Decode(value)
		doc[state.Key(key[2:])] = rec
		return err
	})
	if err != nil {
		m.c.t.Fatal(err)
	}
	return doc
}

func (talker) Exec(ctx context.Context, id runtime.RunID, container string, opts runtime.ExecOptions) (int, error) {
	if opts.TTY {
		fmt.Fprintf(opts.Stdout, "%dx%d", opts.Size.Width, opts.Size.Height)
		return 3, nil
	}
	fmt.Fprintf(opts.Stdout, "%s %s %v ", id, container, opts.Command)
	if opts.Stdin != nil {
		if err := repeat(ctx, opts.Stdout, opts.Stdin); err != nil {
			return 0, err
		}
	}
	fmt.Fprint(opts.Stderr, "warning")
	return 3, nil
}

// repeat says what it is told, until there is no more or ctx ends.
func repeat(ctx context.Context, to io.Writer, from io.Reader) error {
	end := make(chan error, 1)
	go func() {
		_, err := io.Copy(to, from)
		end <- err
	}()
	select {
	case err := <-end:
		return err
	case <-ctx.Done():
		return nil
	}
}

// Dial: on port 7 of every pod is an echo (RFC 862).
func (t talker) Dial(ctx context.Context, id runtime.RunID, port int) (net.Conn, error) {
	if port != 7 {
		return t.Runtime.Dial(ctx, id, port)
	}
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		_, _ = io.Copy(far, far)
	}()
	return near, nil
}

func (t talker) Attach(ctx context.Context, id runtime.RunID, container string, opts runtime.AttachOptions) error {
	_, err := t.Exec(ctx, id, container, runtime.ExecOptions{
		Command: []string{"attached"}, Stdin: opts.Stdin, Stdout: opts.Stdout, Stderr: opts.Stderr,
		TTY: opts.Size != (runtime.Size{}), Size: opts.Size,
	})
	return err
}

func (c *cluster) close() {
	for _, m := range c.nodes {
		m.down()
	}
}

// await lets virtual time pass until ok.
func (c *cluster) await(what string, ok func() bool) {
	c.t.Helper()
	for range 1200 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
	}
	c.t.Fatalf("a minute has passed, and still not: %s", what)
}

func (m *member) readyNodes() int {
	nodes, _ := m.cfg.Cache.List(state.Nodes, "")
	ready := 0
	for _, n := range nodes {
		status, _ := n.Value()["status"].(map[string]any)
		conditions, _ := status["conditions"].([]any)
		for _, c := range conditions {
			if c := c.(map[string]any); c["type"] == "Ready" && c["status"] == "True" {
				ready++
			}
		}
	}
	return ready
}

// readyPods lists the ready pods that a node shows, as name on node.
func (m *member) readyPods() []string {
	pods, _ := m.cfg.Cache.List(state.Pods, "")
	var ready []string
	for _, p := range pods {
		status, _ := p.Value()["status"].(map[string]any)
		conditions, _ := status["conditions"].([]any)
		for _, c := range conditions {
			if c := c.(map[string]any); c["type"] == "Ready" && c["status"] == "True" {
				spec := p.Value()["spec"].(map[string]any)
				ready = append(ready, fmt.Sprintf("%s on %v", p.Name, spec["nodeName"]))
			}
		}
	}
	return ready
}

func (m *member) create(resource, name string, value map[string]any) error {
	_, err := m.Mutate(m.c.t.Context(), api.Mutation{Key: api.Key{Resource: resource, Namespace: "default", Name: name}, New: value})
	return err
}

// runWeb creates a workload through the first node and waits until all of it is
// ready there.
func (c *cluster) runWeb(replicas int) {
	c.t.Helper()
	first := c.nodes[0]
	if err := first.create(state.Deployments, "web", deployment(replicas)); err != nil {
		c.t.Fatal(err)
	}
	c.await("every replica is ready", func() bool { return len(first.readyPods()) == replicas })
}

func deployment(replicas int) map[string]any { return deploymentOf("web", replicas) }

func deploymentOf(image string, replicas int) map[string]any {
	return map[string]any{"spec": map[string]any{
		"replicas": int64(replicas),
		"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "web"}}, "spec": map[string]any{
			"containers": []any{map[string]any{"name": "app", "image": image, "command": []any{"run"}}},
		}},
	}}
}

var errBroken = errors.New("the disk is full")

func startsOf(m *member) (starts map[runtimetest.Start]int) {
	m.host.Do(func(h *runtimetest.Host, _ time.Duration) { starts = h.Starts() })
	return starts
}

type publicKey = ed25519.PublicKey

func clusterKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, 32)) }

func nodeKey(n byte) ed25519.PrivateKey {
	seed := make([]byte, 32)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}
