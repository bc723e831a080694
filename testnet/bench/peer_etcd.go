package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// etcd is three members of Debian's etcd-server on loopback, with their default
// settings: every write is fsynced by a majority before it is acknowledged. The
// values are the JSON that a Kubernetes API server would keep for the ConfigMap.
type etcd struct {
	dir       string
	size      int
	sockets   bool
	nodes     []*child
	args      [][]string
	endpoints []string   // as gRPC names them
	clients   []etcdConn // one per member
}

const etcdMembers = 3

// startEtcd starts a cluster under dir. With sockets, clients are served on unix
// sockets, so that only what members say to each other crosses loopback.
func startEtcd(ctx context.Context, dir string, size int, sockets bool) (_ *etcd, err error) {
	binary, err := exec.LookPath("etcd")
	if err != nil {
		return nil, fmt.Errorf("%w; 'make bench' installs etcd-server", err)
	}
	e := &etcd{dir: dir, size: size, sockets: sockets}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	ports, err := freePorts(2 * etcdMembers)
	if err != nil {
		return nil, err
	}
	var initial []string
	for i := range etcdMembers {
		initial = append(initial, fmt.Sprintf("m%d=http://127.0.0.1:%d", i, ports[i]))
	}
	for i := range etcdMembers {
		client := fmt.Sprintf("http://127.0.0.1:%d", ports[etcdMembers+i])
		if sockets {
			// etcd takes no path here: this is a file of that name where it runs.
			client = fmt.Sprintf("unix://localhost:%d", ports[etcdMembers+i])
		}
		peer := fmt.Sprintf("http://127.0.0.1:%d", ports[i])
		endpoint := strings.TrimPrefix(client, "http://")
		if sockets {
			endpoint = "unix:" + filepath.Join(dir, strings.TrimPrefix(client, "unix://"))
		}
		e.endpoints = append(e.endpoints, endpoint)
		e.args = append(e.args, []string{
			"--name", fmt.Sprintf("m%d", i), "--data-dir", e.memberDir(i),
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-state", "new", "--initial-cluster-token", filepath.Base(dir),
			"--quota-backend-bytes", "8589934592",
		})
		e.nodes = append(e.nodes, nil)
		if err := e.start(binary, i); err != nil {
			return nil, err
		}
	}
	for _, endpoint := range e.endpoints {
		client, err := dialEtcd(endpoint)
		if err != nil {
			return nil, err
		}
		e.clients = append(e.clients, client)
	}
	return e, e.ready(ctx)
}

func (e *etcd) start(binary string, i int) (err error) {
	e.nodes[i], err = startChild(e.dir, binary, e.args[i])
	return err
}

func (e *etcd) memberDir(i int) string { return filepath.Join(e.dir, fmt.Sprintf("m%d", i)) }

// ready waits until every member answers a linearizable read.
func (e *etcd) ready(ctx context.Context) error {
	return await(ctx, func() error {
		for i, c := range e.clients {
			if err := e.nodes[i].ended(); err != nil {
				return err
			}
			try, cancel := context.WithTimeout(ctx, time.Second)
			_, err := c.list(try, etcdPrefix, func([]byte) {})
			cancel()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (e *etcd) close() {
	for _, c := range e.clients {
		_ = c.Close()
	}
	for _, n := range e.nodes {
		if n != nil {
			n.stop()
		}
	}
}

func (e *etcd) name() string { return "etcd" }
func (e *etcd) members() int { return etcdMembers }

const etcdPrefix = "/registry/configmaps/default/"

func (e *etcd) put(ctx context.Context, member int, w write) error {
	return e.clients[member].put(ctx, etcdPrefix+keyName(w.key), configMap(w, e.size))
}

func (e *etcd) follow(ctx context.Context, member int, began func(), seen func(write)) error {
	show := func(kv []byte) {
		if w, ok := findMarker(kv); ok {
			seen(w)
		}
	}
	c := e.clients[member]
	revision, err := c.list(ctx, etcdPrefix, show)
	if err != nil {
		return err
	}
	return c.watch(ctx, etcdPrefix, revision+1, began, show)
}

// leader is the index of the member that leads.
func (e *etcd) leader(ctx context.Context) (int, error) {
	for i, c := range e.clients {
		leads, err := c.leads(ctx)
		if err != nil {
			return 0, err
		}
		if leads {
			return i, nil
		}
	}
	return 0, errors.New("no etcd member leads")
}

// save writes a snapshot to a file, as `etcdctl snapshot save` does: streamed,
// then synced.
func (e *etcd) save(ctx context.Context, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(e.clients[0].snapshot(ctx, f), f.Sync(), f.Close())
}

// freePorts finds ports of loopback that nobody listens on now.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at the end, so that no port comes twice
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
