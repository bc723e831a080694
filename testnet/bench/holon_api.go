package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// httpAPI speaks to the nodes of a testnet as a user does: HTTPS with the
// kubeconfig's credential over kept-alive connections. It parses next to nothing,
// so that what is measured is the server; the row "overhead" says what is left.
type httpAPI struct {
	servers []string // by member
	size    int      // of a value
	client  *http.Client
}

const configMapsPath = "/api/v1/namespaces/default/configmaps"

// configMap is what a client sends, and what an API server would store in etcd.
func configMap(w write, size int) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s","namespace":"default"},"data":{"value":"%s"}}`,
		keyName(w.key), valueOf(w, size))
}

func newAPI(t *testnet, size int) (*httpAPI, error) {
	text, err := os.ReadFile(filepath.Join(t.dir, "kubeconfig"))
	if err != nil {
		return nil, err
	}
	var config struct {
		Clusters []struct {
			Name    string
			Cluster struct {
				Server string
				CA     []byte `json:"certificate-authority-data"`
			}
		}
		Users []struct {
			User struct {
				Cert []byte `json:"client-certificate-data"`
				Key  []byte `json:"client-key-data"`
			}
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	a := &httpAPI{size: size, servers: make([]string, len(t.nodes))}
	roots := x509.NewCertPool()
	for _, c := range config.Clusters {
		for i, node := range t.nodes {
			if c.Name == node {
				a.servers[i] = c.Cluster.Server
			}
		}
		roots.AppendCertsFromPEM(c.Cluster.CA)
	}
	if len(config.Users) == 0 {
		return nil, errors.New("the kubeconfig has no user")
	}
	cert, err := tls.X509KeyPair(config.Users[0].User.Cert, config.Users[0].User.Key)
	if err != nil {
		return nil, err
	}
	a.client = httpsClient(roots, cert)
	return a, nil
}

// httpsClient keeps one connection per worker and server. It speaks HTTP/1.1,
// which costs a client less than HTTP/2.
func httpsClient(roots *x509.CertPool, certs ...tls.Certificate) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots, Certificates: certs},
		MaxIdleConnsPerHost: 2 * workers, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}
}

func (a *httpAPI) close() { a.client.CloseIdleConnections() }

func (a *httpAPI) name() string { return "holon" }
func (a *httpAPI) members() int { return len(a.servers) }

func (a *httpAPI) put(ctx context.Context, member int, w write) error {
	return a.send(ctx, http.MethodPut, member, configMapsPath+"/"+keyName(w.key), configMap(w, a.size))
}

func (a *httpAPI) create(ctx context.Context, member int, w write) error {
	return a.send(ctx, http.MethodPost, member, configMapsPath, configMap(w, a.size))
}

// createAll makes keys from to to, with writes of number 0, and waits until
// every member shows them.
func (a *httpAPI) createAll(ctx context.Context, from, to int) error {
	err := inParallel(ctx, func(ctx context.Context, worker int) error {
		for key := from + worker; key < to; key += workers {
			if err := a.create(ctx, worker%a.members(), write{key, 0}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for m := range a.members() {
		if err := a.awaitKeys(ctx, m, to); err != nil {
			return err
		}
	}
	return nil
}

// awaitKeys waits until a member shows so many keys. The number of its records is
// cheap to ask for; the list is the proof.
func (a *httpAPI) awaitKeys(ctx context.Context, member, want int) error {
	return await(ctx, func() error {
		var status struct{ Records int }
		body, err := a.open(ctx, http.MethodGet, member, "/apis/holon.dev/v1/status", nil)
		if err != nil {
			return err
		}
		defer body.Close()
		if err := json.NewDecoder(body).Decode(&status); err != nil {
			return err
		}
		count := status.Records
		if count >= want {
			if count, err = a.count(ctx, member); err != nil {
				return err
			}
		}
		if count < want {
			return fmt.Errorf("member %d shows %d of %d keys", member, count, want)
		}
		return nil
	})
}

// count is how many keys are in a member's list.
func (a *httpAPI) count(ctx context.Context, member int) (int, error) {
	body, err := a.open(ctx, http.MethodGet, member, configMapsPath, nil)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	count, tail := 0, []byte(nil)
	buffer := make([]byte, 1<<20)
	for {
		n, err := body.Read(buffer)
		// A marker may lie across two reads: its head is looked for with what came before.
		text := append(tail, buffer[:n]...)
		count += bytes.Count(text, []byte(markerHead))
		tail = append([]byte(nil), text[max(len(text)-len(markerHead)+1, 0):]...)
		if errors.Is(err, io.EOF) {
			return count, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

func (a *httpAPI) send(ctx context.Context, method string, member int, path string, object []byte) error {
	body, err := a.open(ctx, method, member, path, object)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, body)
	return errors.Join(err, body.Close())
}

// open sends a request; an answer that is no success is an error.
func (a *httpAPI) open(ctx context.Context, method string, member int, path string, object []byte) (io.ReadCloser, error) {
	return a.ask(ctx, method, member, path, object, http.Header{"Content-Type": {"application/json"}})
}

// ask is open with headers of its own.
func (a *httpAPI) ask(ctx context.Context, method string, member int, path string, object []byte, header http.Header) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.servers[member]+path, bytes.NewReader(object))
	if err != nil {
		return nil, err
	}
	request.Header = header
	response, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return nil, &refusal{response.StatusCode, fmt.Sprintf("%s %s: %s: %s", method, path, response.Status, text)}
	}
	return response.Body, nil
}

// refusal is an answer that is no success.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string { return r.text }

// follow watches a member. A watch that the server ends, because this client fell
// behind, starts again with the whole state.
func (a *httpAPI) follow(ctx context.Context, member int, began func(), seen func(write)) error {
	for ctx.Err() == nil {
		body, err := a.open(ctx, http.MethodGet, member, configMapsPath+"?watch=1&resourceVersion=0", nil)
		if err != nil {
			return err
		}
		began()
		err = readWatch(bufio.NewReaderSize(body, 256<<10), seen)
		body.Close()
		if err != nil && ctx.Err() == nil && !errors.Is(err, errWatchEnded) {
			return err
		}
	}
	return ctx.Err()
}

var errWatchEnded = errors.New("the server ended the watch")

func readWatch(lines *bufio.Reader, seen func(write)) error {
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				return errWatchEnded
			}
			return err
		}
		w, ok := findMarker(line)
		if ok {
			seen(w)
		} else if bytes.HasPrefix(line, []byte(`{"type":"ERROR"`)) {
			return errWatchEnded
		}
	}
}

// status is what `holon testnet status` says of a node.
type status struct {
	Name  string
	PID   int
	Ready bool
}

func (t *testnet) statuses(ctx context.Context) (map[string]status, error) {
	out, err := t.run(ctx, "testnet", "status", "-o", "json", "--dir", t.dir)
	if err != nil {
		return nil, err
	}
	var list []status
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&list); err != nil {
		return nil, err
	}
	all := map[string]status{}
	for _, s := range list {
		all[s.Name] = s
	}
	return all, nil
}
