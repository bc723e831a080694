package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"holon/node/api/rbac"
)

func TestStrangersGetWords(t *testing.T) {
	f := serve(t)
	f.doWith(f.anonymous(), "GET", "/api/v1/pods", "").want(t, 401, `"kind":"Status"`, "holon kubeconfig")
	f.doWith(f.anonymous(), "GET", "/healthz", "").want(t, 401)
	withCert := func(ca *CA, serving bool) *http.Client {
		var pair tls.Certificate
		if serving {
			p, err := ca.servingCert([]string{"n1"})
			check(t, err)
			pair = *p
		} else {
			cert, key, err := ca.AdminCert()
			check(t, err)
			pair, err = tls.X509KeyPair(cert, key)
			check(t, err)
		}
		client := f.anonymous()
		client.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &pair, nil
		}
		return client
	}
	forged, err := NewCA("test")
	check(t, err)
	f.doWith(withCert(forged, false), "GET", "/api/v1/pods", "").want(t, 401, "not of this cluster")
	f.doWith(withCert(f.ca, true), "GET", "/api/v1/pods", "").want(t, 401, "not of this cluster")
	f.doWith(withCert(f.ca, false), "GET", "/api/v1/pods", "").want(t, 200)
}

func TestHostHeader(t *testing.T) {
	f := serve(t)
	for host, code := range map[string]int{
		"localhost": 200, "localhost:6443": 200, "127.0.0.1": 200, "127.9.9.9:1": 200, "[::1]:6443": 200, "N1": 200, "n1:6443": 200,
		"127.77.1.1": 200, "evil.example": 403, "n1.evil.example:6443": 403, "192.0.2.1": 403,
	} {
		a := f.do("GET", "/api/v1/pods", "", "Host: "+host).want(t, code)
		if code == 403 && !strings.Contains(a.body, "which is not this node") {
			t.Errorf("%s: %s", host, a.body)
		}
	}
	check(t, f.server.SetHosts([]string{"n9", "192.0.2.1"}))
	f.do("GET", "/api/v1/pods", "", "Host: 192.0.2.1").want(t, 200)
	f.do("GET", "/api/v1/pods", "", "Host: n1").want(t, 403)
	conn, err := tls.Dial("tcp", f.server.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	check(t, err)
	defer conn.Close()
	check(t, conn.ConnectionState().PeerCertificates[0].VerifyHostname("192.0.2.1"))
	check(t, conn.ConnectionState().PeerCertificates[0].VerifyHostname("localhost"))
}

func TestCertificatesSurviveAnyClock(t *testing.T) {
	ca, err := NewCA("test")
	check(t, err)
	cert, key, err := ca.PEM()
	check(t, err)
	ca, err = LoadCA(cert, key)
	check(t, err)
	pair, err := ca.servingCert([]string{"n1", "10.0.0.1"})
	check(t, err)
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	check(t, err)
	for _, year := range []int{1970, 2026, 2099, 9999} {
		_, err := leaf.Verify(x509.VerifyOptions{
			Roots: ca.pool, CurrentTime: time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC), DNSName: "n1",
		})
		if err != nil {
			t.Errorf("in %d: %v", year, err)
		}
	}
	if _, err := LoadCA(cert, cert); err == nil || !strings.Contains(err.Error(), "the API's CA cannot be read") {
		t.Errorf("broken CA: %v", err)
	}
}

func TestSocketIsItsOwners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "holon.sock")
	f := serve(t, func(c *Config) { c.SocketPath = path })
	info, err := os.Stat(path)
	check(t, err)
	if info.Mode().Perm() != socketMode {
		t.Errorf("mode %v", info.Mode())
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	f.url = "http://anything"
	f.doWith(client, "POST", "/api/v1/namespaces/default/configmaps", `{"metadata":{"name":"x"}}`).want(t, 201)
	if got := f.backend.mutated[len(f.backend.mutated)-1].Actor; got != AdminUser {
		t.Errorf("actor %q", got)
	}
	_, err = New(Config{Backend: f.backend, Cache: f.cache, SocketPath: path})
	if err == nil || !strings.Contains(err.Error(), "another daemon answers on "+path) {
		t.Errorf("second daemon: %v", err)
	}
	// A socket that a dead daemon left is replaced.
	left := filepath.Join(t.TempDir(), "left.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	check(t, err)
	l.SetUnlinkOnClose(false)
	check(t, l.Close())
	s, err := New(Config{Backend: f.backend, Cache: f.cache, SocketPath: left})
	check(t, err)
	s.Close()
	check(t, s.Run(t.Context()))
}

func TestATakenAddressIsNamed(t *testing.T) {
	f := serve(t)
	_, err := New(Config{Backend: f.backend, Cache: f.cache, CA: f.ca, Listen: f.server.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), f.server.Addr().String()+" is in use") || !strings.Contains(err.Error(), "--api-listen") {
		t.Errorf("got %v", err)
	}
}

func TestTooManyRequests(t *testing.T) {
	f := serve(t)
	short, others := f.server.short, user{User: rbac.User{Name: "others"}}
	fill := func(u user, count int) {
		t.Helper()
		for range count {
			check(t, short.take(u))
		}
	}
	fill(others, shortRequestsMax/shareMax)
	if err := short.take(others); err == nil || !strings.Contains(err.Error(), `of user "others" already`) {
		t.Errorf("one user takes more than his share: %v", err)
	}
	f.do("GET", "/api/v1/pods", "").want(t, 200) // there is room for others
	fill(user{User: rbac.User{Name: "more"}}, shortRequestsMax/shareMax)
	a := f.do("GET", "/api/v1/pods", "").want(t, 429, "TooManyRequests")
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("headers %v", a.header)
	}
	f.do("GET", "/api/v1/pods?watch=1&timeoutSeconds=1", "").want(t, 200) // has slots of its own
	for range shortRequestsMax / shareMax {
		short.release(others)
	}
	f.do("GET", "/api/v1/pods", "").want(t, 200)
	if _, kept := short.of[others.Name]; kept {
		t.Error("who has ended his requests is remembered")
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	f := serve(t, func(c *Config) {
		c.Review = func(string, map[string]any) []string { panic("bug") }
	})
	f.do("POST", "/api/v1/namespaces/default/configmaps", `{"metadata":{"name":"x"}}`).want(t, 500, "this node has a bug")
	f.do("GET", "/api/v1/pods", "").want(t, 200)
}

func TestTestControlIsMountedOnlyWhenGiven(t *testing.T) {
	f := serve(t, func(c *Config) {
		c.TestControl = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "control ", r.URL.Path) })
	})
	f.do("POST", "/testnet/partition", "").want(t, 200, "control /partition")
	f.doWith(f.anonymous(), "POST", "/testnet/partition", "").want(t, 401)
}

func TestCloseEndsWatches(t *testing.T) {
	f := serve(t)
	w, err := f.kube.CoreV1().Pods("").Watch(f.ctx, list)
	check(t, err)
	f.server.Close()
	for range w.ResultChan() {
		t.Error("unexpected event")
	}
}

func TestHTTP2(t *testing.T) {
	f := serve(t)
	r, err := http.NewRequestWithContext(f.ctx, "GET", f.url+"/version", nil)
	check(t, err)
	resp, err := f.http.Do(r)
	check(t, err)
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("protocol %s", resp.Proto)
	}
}

func TestKubeconfig(t *testing.T) {
	data, err := Kubeconfig(Credential{User: AdminUser, CA: []byte("ca"), Cert: []byte("cert"), Key: []byte("key")}, []Endpoint{{"n1", "https://a:1"}, {"n2", "https://b:2"}}, "n2")
	check(t, err)
	config, err := clientcmd.Load(data)
	check(t, err)
	if config.CurrentContext != "n2" || len(config.Contexts) != 2 || config.Clusters["n1"].Server != "https://a:1" ||
		string(config.Clusters["n2"].CertificateAuthorityData) != "ca" || string(config.AuthInfos[AdminUser].ClientKeyData) != "key" {
		t.Errorf("%s", data)
	}
	if _, err := Kubeconfig(Credential{User: AdminUser}, []Endpoint{{"n1", "x"}}, "n3"); err == nil {
		t.Error("an unknown current context is accepted")
	}
}
