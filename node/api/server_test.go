package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// fixture is a running server on loopback with clients for it.
type fixture struct {
	t       *testing.T
	cache   *Cache
	backend *memory
	ca      *CA
	server  *Server
	url     string
	config  *rest.Config
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	http    *http.Client
	ctx     context.Context
}

func serve(t *testing.T, change ...func(*Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, cache: NewCache(0x12345, 1000, nil), ctx: t.Context()}
	f.backend = newMemory(f.cache)
	var err error
	f.ca, err = NewCA("test")
	check(t, err)
	config := Config{
		Backend: f.backend, Cache: f.cache, CA: f.ca, Listen: "127.0.0.1:0", Hosts: []string{"n1", "127.77.1.1"},
		SocketPath: filepath.Join(t.TempDir(), "holon.sock"),
	}
	for _, c := range change {
		c(&config)
	}
	f.server, err = New(config)
	check(t, err)
	done := make(chan error, 1)
	go func() { done <- f.server.Run(context.Background()) }()
	t.Cleanup(func() {
		f.server.Close()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	f.url = "https://" + f.server.Addr().String()
	f.connect()
	return f
}

func (f *fixture) kubeconfig() []byte {
	cert, key, err := f.ca.AdminCert()
	check(f.t, err)
	data, err := Kubeconfig(Credential{User: AdminUser, CA: f.ca.CertPEM(), Cert: cert, Key: key}, []Endpoint{{"n1", f.url}}, "n1")
	check(f.t, err)
	return data
}

func (f *fixture) connect() {
	var err error
	f.config, err = clientcmd.RESTConfigFromKubeConfig(f.kubeconfig())
	check(f.t, err)
	f.config.QPS = -1
	f.config.WarningHandler = rest.NoWarnings{}
	f.kube, err = kubernetes.NewForConfig(f.config)
	check(f.t, err)
	f.dynamic, err = dynamic.NewForConfig(f.config)
	check(f.t, err)
	f.http, err = rest.HTTPClientFor(f.config)
	check(f.t, err)
}

// answer is a raw response.
type answer struct {
	code     int
	header   http.Header
	body     string
	warnings string
}

// do sends a raw request; headers come as "Name: value".
func (f *fixture) do(method, path, body string, headers ...string) answer {
	f.t.Helper()
	return f.doWith(f.http, method, path, body, headers...)
}

func (f *fixture) doWith(client *http.Client, method, path, body string, headers ...string) answer {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.ctx, method, f.url+path, strings.NewReader(body))
	check(f.t, err)
	if body != "" {
		r.Header.Set("Content-Type", typeJSON)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	resp, err := client.Do(r)
	check(f.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	check(f.t, err)
	return answer{resp.StatusCode, resp.Header, string(data), strings.Join(resp.Header.Values("Warning"), "\n")}
}

// want checks a status code and that texts appear in the body or the warnings.
func (a answer) want(t *testing.T, code int, texts ...string) answer {
	t.Helper()
	if a.code != code {
		t.Errorf("code %d, want %d: %s", a.code, code, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body+"\n"+a.warnings, text) {
			t.Errorf("%q is not in the answer:\n%s\n%s", text, a.body, a.warnings)
		}
	}
	return a
}

func (a answer) wantNot(t *testing.T, texts ...string) answer {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			t.Errorf("%q is in the answer:\n%s", text, a.body)
		}
	}
	return a
}

func (f *fixture) anonymous() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(f.ca.CertPEM())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	f.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// check ends the test on an error, except on those that it expects.
func check(t testing.TB, err error, expected ...func(error) bool) {
	t.Helper()
	for _, is := range expected {
		if is(err) {
			return
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
