package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

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
func loneNode(b *testing.B) *node.Node {
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
	net := p2ptest.NewNet(1)
	n, err := node.New(node.Config{
		Identity: id, Store: store, DataDir: dir, Cache: api.NewCache(1, start, reserve), Logger: slog.New(slog.DiscardHandler), Introduce: true,
		Runtime: runtimetest.NewSimulated(runtimetest.HostConfig{Node: "n1"}).Runtime(),
		Host:    core.Host{HostIP: "10.0.0.1", Allocatable: state.Resources{CPU: 4000, Memory: 1 << 30, Pods: 50}},
		NewMesh: func(_ context.Context, members []p2p.Member, _ func(p2p.PeerID) bool, events p2p.Events) (node.Mesh, error) {
			mesh := net.Join(cert.PeerIDOf(key.Public().(ed25519.PublicKey)), events)
			mesh.SetMembers(members)
			return loneMesh{mesh}, nil
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
	return n
}

// BenchmarkWrites measures acknowledged writes of ConfigMaps of 1 KB through one
// node, each on disk before it counts, from 1 client and from 64.
func BenchmarkWrites(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			n := loneNode(b)
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
