package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"holon/node/api"
)

// fakeUp stands for `holon up` in the scripts of the testnet: a daemon that
// serves the real API and sees as Ready whoever has come up beside it. Nodes
// find each other by files in the directory of n1. A node whose name is
// in $HOLON_FAKE_BROKEN ends with an error instead, one in $HOLON_FAKE_STOPPED
// stops as if by SIGSTOP.
func fakeUp(args []string) int {
	flags := pflag.NewFlagSet("up", pflag.ExitOnError)
	dir := flags.String("data-dir", "", "")
	name := flags.String("name", "", "")
	listen := flags.String("api-listen", "", "")
	join := flags.String("join", "", "")
	for _, ignored := range []string{"host-ip", "pod-subnet", "runtime", "podman-url"} {
		flags.String(ignored, "", "")
	}
	flags.StringArray("listen", nil, "")
	blocked := flags.String("testnet-block", "", "")
	control := flags.Bool("testnet-control", false, "")
	if err := flags.Parse(args); err != nil || !*control {
		say(os.Stderr, "bad command line: %v\n", err)
		return 2
	}
	say(os.Stderr, "%s begins, joining by %q, blocking %q\n", *name, *join, *blocked)
	if *name == os.Getenv("HOLON_FAKE_BROKEN") {
		say(os.Stderr, "the disk of %s is full\n", *name)
		return 1
	}
	if *name == os.Getenv("HOLON_FAKE_STOPPED") {
		if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
			say(os.Stderr, "%v\n", err)
			return 1
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := serveFakeUp(ctx, *dir, *name, *listen); err != nil {
		say(os.Stderr, "%v\n", err)
		return 1
	}
	return 0
}

func serveFakeUp(ctx context.Context, dir, name, listen string) error {
	members := filepath.Join(filepath.Dir(dir), "n1", "members")
	if err := os.MkdirAll(members, 0o700); err != nil {
		return err
	}
	ca, err := sharedCA(members)
	if err != nil {
		return err
	}
	f := &fakeNode{cache: api.NewCache(fakeTag, 1, nil)}
	server, err := api.New(api.Config{
		Backend: f, Cache: f.cache, CA: ca, Listen: listen, SocketPath: filepath.Join(dir, socketName),
		Hosts: []string{strings.Split(listen, ":")[0]},
		TestControl: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if err := os.WriteFile(filepath.Join(dir, "blocked"), body, 0o600); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		}),
	})
	if err != nil {
		return err
	}
	cert, key, err := ca.AdminCert()
	if err != nil {
		return err
	}
	config, err := api.Kubeconfig(api.Credential{User: api.AdminUser, CA: ca.CertPEM(), Cert: cert, Key: key}, []api.Endpoint{{Name: name, URL: "https://" + listen}}, name)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, kubeconfigName), config, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(members, name), nil, 0o600); err != nil {
		return err
	}
	go f.followMembers(ctx, members)
	return server.Run(ctx)
}

// sharedCA is made by the first node and found by the others.
func sharedCA(dir string) (*api.CA, error) {
	path := filepath.Join(dir, ".ca")
	if pem, err := os.ReadFile(path); err == nil {
		key, err := os.ReadFile(path + ".key")
		if err != nil {
			return nil, err
		}
		return api.LoadCA(pem, key)
	}
	ca, err := api.NewCA("testers")
	if err != nil {
		return nil, err
	}
	cert, key, err := ca.PEM()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path+".key", key, 0o600); err != nil {
		return nil, err
	}
	return ca, os.WriteFile(path, cert, 0o600)
}

// followMembers shows every member as a Ready node, until ctx ends.
func (f *fakeNode) followMembers(ctx context.Context, dir string) {
	known := map[string]bool{}
	for {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return // the testnet is being taken down
		}
		for _, e := range entries {
			if e.Name()[0] == '.' || known[e.Name()] {
				continue
			}
			known[e.Name()] = true
			node := f.object("Node", "v1", "", e.Name(), map[string]any{
				"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}},
			})
			if err := f.cache.Apply([]api.Object{{Key: api.Key{Resource: "nodes", Name: e.Name()}, Source: api.Decoded(node)}}, nil); err != nil {
				say(os.Stderr, "%v\n", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond): // files announce nothing
		}
	}
}
