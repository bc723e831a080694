package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"holon/crdt/badger"
	"holon/node"
	"holon/node/api"
	"holon/node/core"
	"holon/p2p"
	"holon/p2p/cert"
	"holon/p2p/libp2p"
	"holon/runtime"
)

// daemon is a node and what it is wired to.
type daemon struct {
	options  nodeOptions
	words    io.Writer
	log      *slog.Logger
	store    *badger.Store
	identity node.Identity
	founder  bool
	left     atomic.Bool // the cluster, for good
	runtime  runtime.Runtime
	node     *node.Node
	api      *api.Server
	profiled bool // this process may be profiled, see profile.go
}

// say tells the person at the terminal what is going on.
func (d *daemon) say(format string, args ...any) {
	fmt.Fprintf(d.words, format+"\n", args...) //nolint:errcheck // nobody listens then
}

// patiently runs one step of the start, and says which if that takes long.
func (d *daemon) patiently(what string, step func() error) error {
	progress := newProgress(d.words, "%s", what)
	defer progress.stop()
	return step()
}

func (d *daemon) openStore() (err error) {
	d.store, err = badger.Open(filepath.Join(d.options.dataDir, node.StateDir), badger.Options{Log: d.log})
	return err
}

// closeStore ends the use of the data directory. One whose node has left is
// free for another life then.
func (d *daemon) closeStore() {
	if err := d.store.Close(); err != nil {
		d.log.Error("close the store", "error", err)
	}
	if !d.left.Load() {
		return
	}
	if err := node.Retire(d.options.dataDir); err != nil {
		d.log.Error("set the old identity aside", "error", err)
	}
}

// meshOf adapts the mesh to the function type that the node uses.
type meshOf struct{ *libp2p.Mesh }

func (m meshOf) OpenDoor(admit func(context.Context, cert.JoinRequest) (cert.JoinGrant, error)) error {
	return m.Mesh.OpenDoor(admit)
}

func (d *daemon) newMesh(ctx context.Context, members []p2p.Member, blocked func(p2p.PeerID) bool, events p2p.Events) (node.Mesh, error) {
	chain, err := cert.DecodeChain(d.identity.Chain)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(d.options.dataDir, "mesh")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	m, err := libp2p.New(ctx, libp2p.Config{
		Key: d.identity.Key, Cluster: d.identity.Cluster, Listen: d.options.listen, Dir: dir,
		Members: members, ClusterKey: d.identity.ClusterKey, Chain: chain, Blocked: blocked, MDNS: !d.options.local(), Logger: d.log,
	}, events)
	if err != nil {
		return nil, err
	}
	return meshOf{m}, nil
}

// run is the daemon until a signal, or until it has left the cluster.
func (d *daemon) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go paceGarbage(ctx)
	cache, err := d.newCache()
	if err != nil {
		return err
	}
	d.node, err = node.New(node.Config{
		Identity: d.identity, Store: d.store, DataDir: d.options.dataDir, Runtime: d.runtime, NewMesh: d.newMesh, Cache: cache, Logger: d.log,
		Core: core.Config{Swim: profiles[d.options.profile]()}, Host: hostFacts(d.options), Introduce: !d.options.noIntroduce, Blocked: d.options.blocked,
		SaveDataKeys: func(keys [][]byte) error {
			identity := d.identity
			identity.DataKeys = keys
			return identity.Save(d.options.dataDir)
		},
		Left: func() { d.left.Store(true); stop(nil) },
	})
	if err != nil {
		return err
	}
	if err := d.newAPI(cache); err != nil {
		return err
	}
	defer d.api.Close()
	if err := d.publish(); err != nil {
		return err
	}
	defer d.unpublish()
	return d.serve(ctx)
}

// newCache makes the cache with a tag of this boot.
func (d *daemon) newCache() (*api.Cache, error) {
	start, reserve, err := node.RVBlock(d.store)
	if err != nil {
		return nil, err
	}
	var tag [4]byte
	if _, err := rand.Read(tag[:]); err != nil {
		return nil, err
	}
	return api.NewCache(binary.BigEndian.Uint32(tag[:])>>12, start, reserve), nil
}

func (d *daemon) newAPI(cache *api.Cache) error {
	ca, err := api.LoadCA(d.identity.CACert, d.identity.CAKey)
	if err != nil {
		return err
	}
	config := api.Config{
		Backend: d.node, Cache: cache, Logger: d.log, CA: ca, Hosts: []string{d.options.hostIP, d.identity.Name},
		Listen: d.options.apiListen, SocketPath: filepath.Join(d.options.dataDir, socketName),
	}
	if d.options.runtime == "process" {
		config.Review = reviewForProcesses
	}
	if d.options.control {
		d.profiled = profiling()
		config.TestControl = http.HandlerFunc(d.testControl)
	}
	d.api, err = api.New(config)
	return err
}

// serve runs node and API until ctx ends; then the others are told that this
// node will be back, unless it was emptied.
func (d *daemon) serve(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	all, life := errgroup.WithContext(life)
	all.Go(func() error { return d.node.Run(life) })
	all.Go(func() error { return d.api.Run(life) })
	all.Go(func() error {
		d.node.SetServer(d.server())
		// Without a bound: nobody may be in reach for as long as a partition lasts.
		err := d.patiently("waiting until this node hears from a member of the cluster; until then it is not Ready",
			func() error { return d.node.Introduce(life, d.founder, nil) })
		if err != nil {
			return err
		}
		d.say("%s is up: %s", d.identity.Name, d.server())
		return nil
	})
	all.Go(func() error {
		select {
		case <-ctx.Done():
		case <-life.Done():
			return nil
		}
		d.node.SayRestarting(life)
		end()
		return nil
	})
	err := all.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// server is the URL of the API for other machines.
func (d *daemon) server() string {
	host, port, err := net.SplitHostPort(d.api.Addr().String())
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = d.options.hostIP
	}
	return "https://" + net.JoinHostPort(host, port)
}

// publish writes what the CLI looks for: the daemon's pid and a kubeconfig.
func (d *daemon) publish() error {
	self, err := identify(os.Getpid())
	if err != nil {
		return err
	}
	text, err := json.Marshal(self)
	if err != nil {
		return err
	}
	if err := node.WriteFile(filepath.Join(d.options.dataDir, pidFileName), text, 0o600); err != nil {
		return err
	}
	ca, err := api.LoadCA(d.identity.CACert, d.identity.CAKey)
	if err != nil {
		return err
	}
	clientCert, clientKey, err := ca.AdminCert()
	if err != nil {
		return err
	}
	config, err := api.Kubeconfig(api.Credential{User: api.AdminUser, CA: ca.CertPEM(), Cert: clientCert, Key: clientKey}, []api.Endpoint{{Name: d.identity.Name, URL: d.server()}}, d.identity.Name)
	if err != nil {
		return err
	}
	return node.WriteFile(filepath.Join(d.options.dataDir, kubeconfigName), config, 0o600)
}

func (d *daemon) unpublish() {
	os.Remove(filepath.Join(d.options.dataDir, pidFileName)) //nolint:errcheck // a stale one is recognised by its start time
}

// testControl plays partition: POST block {"peers": [names]}; and if asked for by
// the environment, GET profile/NAME.
func (d *daemon) testControl(w http.ResponseWriter, r *http.Request) {
	if name, found := strings.CutPrefix(r.URL.Path, "/profile/"); found && d.profiled && r.Method == http.MethodGet {
		serveProfile(w, r, name)
		return
	}
	var body struct {
		Peers []string `json:"peers"`
	}
	if r.Method != http.MethodPost || filepath.Base(r.URL.Path) != "block" {
		http.NotFound(w, r)
		return
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := d.node.Block(r.Context(), body.Peers); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}
