package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"holon/crdt/badger"
	"holon/crdt/state"
	"holon/node"
	"holon/node/api"
	"holon/node/core"
	"holon/p2p"
	"holon/p2p/cert"
	"holon/p2p/p2ptest"
	"holon/runtime/runtimetest"
)

// loneMesh is a mesh in memory without a door.
type loneMesh struct{ *p2ptest.Mesh }

func (loneMesh) OpenDoor(func(context.Context, cert.JoinRequest) (cert.JoinGrant, error)) error {
	return nil
}
func (loneMesh) CloseDoor() error                 { return nil }
func (loneMesh) DoorAddrs() []string              { return nil }
func (loneMesh) SetBlocked(func(p2p.PeerID) bool) {}

// loneNode runs a node that is alone in its cluster, on a disk.
func loneNode(b *testing.B) (*node.Node, *api.Cache) {
	b.Helper()
	dir := b.TempDir()
	store, err := badger.Open(filepath.Join(dir, node.StateDir), badger.Options{})
	if err != nil {
		b.Fatal(err)
	}
	key, err := node.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	id, err := node.Found("n1", key, true)
	if err != nil {
		b.Fatal(err)
	}
	start, reserve, err := node.RVBlock(store)
	if err != nil {
		b.Fatal(err)
	}
	mesh := p2ptest.NewNet(1)
	cache := api.NewCache(1, start, reserve)
	n, err := node.New(node.Config{
		Identity: id, Store: store, DataDir: dir, Cache: cache, Logger: slog.New(slog.DiscardHandler), Introduce: true,
		Runtime: runtimetest.NewSimulated(runtimetest.HostConfig{Node: "n1"}).Runtime(),
		Host:    core.Host{HostIP: "10.0.0.1", Allocatable: state.Resources{CPU: 4000, Memory: 1 << 30, Pods: 50}},
		NewMesh: func(_ context.Context, members []p2p.Member, _ func(p2p.PeerID) bool, events p2p.Events) (node.Mesh, error) {
			joined := mesh.Join(cert.PeerIDOf(key.Public().(ed25519.PublicKey)), events)
			joined.SetMembers(members)
			return loneMesh{joined}, nil
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	b.Cleanup(func() {
		end()
		if err := <-done; err != nil {
			b.Error(err)
		}
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	if err := n.Introduce(ctx, true, nil); err != nil {
		b.Fatal(err)
	}
	return n, cache
}

// BenchmarkWrites measures acknowledged writes of ConfigMaps of 1 KB through one
// node, each on disk before it counts, from 1 client and from 64.
func BenchmarkWrites(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			n, _ := loneNode(b)
			value := strings.Repeat("x", 1000)
			var next atomic.Int64
			failed := make(chan error, clients)
			b.ResetTimer()
			for range clients {
				go func() {
					for {
						i := next.Add(1)
						if i > int64(b.N) {
							failed <- nil
							return
						}
						_, err := n.Mutate(b.Context(), api.Mutation{
							Key: api.Key{Resource: state.ConfigMaps, Namespace: "default", Name: fmt.Sprint("c", i)},
							New: map[string]any{"data": map[string]any{"k": value}},
						})
						if err != nil {
							failed <- err
							return
						}
					}
				}()
			}
			for range clients {
				if err := <-failed; err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}

// BenchmarkFsync is what there is to gain: a loop of 1 KB and a sync.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1024)
	for i := 0; b.Loop(); i++ {
		if _, err := f.WriteAt(block, int64(i%1024)*1024); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "syncs/s")
}

// BenchmarkUpdates is the processor time for one update of a ConfigMap of 1 KB
// through the API of a node, from 64 clients. That of the clients is in it, but no
// TLS.
func BenchmarkUpdates(b *testing.B) {
	const clients = 64
	n, cache := loneNode(b)
	socket := filepath.Join(b.TempDir(), "s")
	server, err := api.New(api.Config{Backend: n, Cache: cache, SocketPath: socket})
	if err != nil {
		b.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	b.Cleanup(func() { end(); <-done })
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: clients,
		DialContext:         func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) },
	}}
	const maps = "http://node/api/v1/namespaces/default/configmaps"
	value := strings.Repeat("x", 1000)
	send := func(method, url, name string, i int64) error {
		body := fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":"default"},"data":{"k":"%016d%s"}}`, name, i, value)
		r, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			return err
		}
		answer, err := client.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err == nil && answer.StatusCode >= 300 {
			err = fmt.Errorf("%s: %s", answer.Status, text)
		}
		return err
	}
	for c := range clients {
		if err := send(http.MethodPost, maps, fmt.Sprint("c", c), 0); err != nil {
			b.Fatal(err)
		}
	}
	var next atomic.Int64
	failed := make(chan error, clients)
	b.ReportAllocs()
	b.ResetTimer()
	began := processorTime(b)
	for c := range clients {
		go func() {
			name := fmt.Sprint("c", c)
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := send(http.MethodPut, maps+"/"+name, name, i); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range clients {
		if err := <-failed; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(processorTime(b)-began)/float64(b.N), "cpu-ns/op")
}

func processorTime(b *testing.B) int64 {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}
