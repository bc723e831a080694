package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"

	"holon/node/api"
)

// apiNode is one whole node that serves the Kubernetes API over TLS, in a process
// of its own so that its memory can be seen. Its containers run at once and do
// nothing, and most of its objects are clones (see crowded): no machine runs 5,000
// pods with a shim each, and no node has the status of so many to report.
type apiNode struct {
	*child
	greeting
	roots *x509.CertPool
	users []tls.Certificate
	lines chan string // of its output
}

// greeting is the first line that an API node prints.
type greeting struct {
	URL   string
	CA    []byte
	Users []struct{ Cert, Key []byte }
	Bare  bareServer
}

// bareServer is net/http with TLS and HTTP/2 in the process of the node, which answers
// everything with the same ConfigMap: what is left of a figure is the API's.
type bareServer struct {
	URL string
	CA  []byte
}

func serveBare() (bareServer, func()) {
	answer := configMap(write{}, largeValue)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	return bareServer{s.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})}, s.Close
}

const (
	// apiUsers have all rights; a node bounds what it does for each.
	apiUsers = 5
	// apiGarbage is GOGC of an API node: the room that a busy daemon gives itself,
	// which sets its own pace.
	apiGarbage = 50
	// filled is the line of an API node that shows all clones, rested of one that has
	// given memory back.
	filled, rested = "filled", "rested"
	// restTurns is how often it collects for that: what a sync.Pool holds outlives one.
	restTurns = 3
)

// serveAPI is the process of an API node with its database below a directory.
func serveAPI(ctx context.Context, job string) error {
	var c crowded
	var dir string
	if _, err := fmt.Sscan(job, &c.deployments, &c.replicas, &c.nodes, &dir); err != nil {
		return err
	}
	debug.SetGCPercent(apiGarbage)
	return withPartsIn(ctx, dir, 1, largeValue, func(p *parts) error {
		ca, err := api.NewCA("bench")
		if err != nil {
			return err
		}
		server, err := api.New(api.Config{Backend: p.nodes[0].Node, Cache: p.nodes[0].cache, CA: ca, Listen: "127.0.0.1:0"})
		if err != nil {
			return err
		}
		bare, close := serveBare()
		defer close()
		hello := greeting{URL: "https://" + server.Addr().String(), CA: ca.CertPEM(), Bare: bare}
		for i := range apiUsers {
			cert, key, _, err := ca.ClientCert(fmt.Sprint("user", i), []string{api.AdminGroup})
			if err != nil {
				return err
			}
			hello.Users = append(hello.Users, struct{ Cert, Key []byte }{cert, key})
		}
		if err := json.NewEncoder(os.Stdout).Encode(hello); err != nil {
			return err
		}
		ctx, cancel := context.WithCancelCause(ctx)
		var served sync.WaitGroup
		served.Go(func() { cancel(server.Run(ctx)) })
		if err := c.multiply(ctx, p.nodes[0].cache); err != nil {
			cancel(err)
		} else {
			fmt.Println(filled)
			restWhenAsked(ctx)
		}
		served.Wait()
		return context.Cause(ctx)
	})
}

// restWhenAsked gives memory back at each SIGUSR1, as a daemon that becomes quiet does.
func restWhenAsked(ctx context.Context) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			for range restTurns {
				debug.FreeOSMemory()
			}
			fmt.Println(rested)
		}
	}
}

// withAPINode runs body beside an API node.
func (b *bench) withAPINode(ctx context.Context, c crowded, body func(*apiNode) error) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return withDir(func(dir string) error {
		args := []string{"-child", fmt.Sprintf("api %d %d %d %s", c.deployments, c.replicas, c.nodes, dir)}
		if b.profile != "" {
			args = append(args, "-cpuprofile", b.profile+".node")
		}
		n := &apiNode{lines: make(chan string, 1), roots: x509.NewCertPool()}
		n.child, err = startTalking("", self, args, &lines{of: func(line string) { n.lines <- line }})
		if err != nil {
			return err
		}
		defer n.stop()
		if err := n.greeted(ctx); err != nil {
			return err
		}
		return body(n)
	})
}

// line is the next one of the node's output.
func (n *apiNode) line(ctx context.Context) (string, error) {
	select {
	case line := <-n.lines:
		return line, nil
	case <-n.done:
		return "", n.ended()
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// says waits until the node says so.
func (n *apiNode) says(ctx context.Context, want string) error {
	line, err := n.line(ctx)
	if err == nil && line != want {
		err = fmt.Errorf("the node said %q, not %q", line, want)
	}
	return err
}

func (n *apiNode) greeted(ctx context.Context) error {
	line, err := n.line(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(line), &n.greeting); err != nil {
		return err
	}
	n.roots.AppendCertsFromPEM(n.CA)
	n.roots.AppendCertsFromPEM(n.Bare.CA)
	for _, u := range n.Users {
		cert, err := tls.X509KeyPair(u.Cert, u.Key)
		if err != nil {
			return err
		}
		n.users = append(n.users, cert)
	}
	return nil
}

// quietMemory is the node's memory in MiB, by line of /proc/PID/status, once it has
// given back what it does not use; the peak (VmHWM) begins anew.
func (n *apiNode) quietMemory(ctx context.Context) (map[string]series, error) {
	if err := n.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return nil, err
	}
	if err := n.says(ctx, rested); err != nil {
		return nil, err
	}
	const resetPeak = "5" // proc(5), clear_refs
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", n.pid()), []byte(resetPeak), 0); err != nil {
		return nil, err
	}
	return n.memory()
}

func (n *apiNode) memory() (map[string]series, error) {
	now := map[string]series{}
	return now, addMemory(n.pid(), now)
}

// client is a connection of a user over HTTP/2, which is there when it returns.
func (n *apiNode) client(ctx context.Context, user int) (*httpAPI, error) {
	a := &httpAPI{servers: []string{n.URL, n.Bare.URL}, size: largeValue, client: &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: n.roots, Certificates: []tls.Certificate{n.users[user]}},
		ForceAttemptHTTP2: true, DisableCompression: true,
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+"/version", nil)
	if err != nil {
		return nil, err
	}
	response, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.ProtoMajor != 2 || response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s over %s, wanted is HTTP/2", request.URL, response.Status, response.Proto)
	}
	return a, errors.Join(err, response.Body.Close())
}

// withClients runs body with so many connections, of the first users in turn.
func (n *apiNode) withClients(ctx context.Context, count, users int, body func([]*httpAPI) error) error {
	clients := make([]*httpAPI, 0, count)
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	for i := range count {
		c, err := n.client(ctx, i%users)
		if err != nil {
			return err
		}
		clients = append(clients, c)
	}
	return body(clients)
}
