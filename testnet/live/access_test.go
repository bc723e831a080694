package live

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestAccess knocks at a node's doors without a right to come in.
func TestAccess(t *testing.T) {
	t.Parallel()
	n := up(t, 2, "process")
	for _, file := range []string{"net/kubeconfig", "net/n1/kubeconfig", "net/n1/holon.sock"} {
		if info, err := os.Stat(n.at(file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, mode %v, want 0600", file, err, info.Mode())
		}
	}
	server := n.node("n1").Server

	stranger := http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for _, path := range []string{"/api/v1/nodes", "/api/v1/namespaces/default/configmaps", "/apis/holon.dev/v1/tokens", "/testnet/block"} {
		answer, err := stranger.Get(server + path)
		if err != nil {
			continue // refused in the handshake
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized && answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s without a certificate: %s: %s", path, answer.Status, body)
		}
	}
	if answer, err := http.Get(strings.Replace(server, "https:", "http:", 1) + "/api/v1/nodes"); err == nil {
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			t.Error("the API answers without TLS")
		}
	}
	n.checksHost(server)
	n.strangerAtTheMesh(strings.TrimSuffix(strings.TrimPrefix(server, "https://"), ":6443"))
}

// checksHost asks with the right certificate for some other host, as a page in a
// browser would whose name was made to resolve to this node.
func (n *network) checksHost(server string) {
	n.t.Helper()
	config := n.on("n1", "version") // the credential works at all
	if config == "" {
		n.t.Error("no answer with the credential")
	}
	cert := n.adminCertificate()
	admin := http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}},
	}}
	for host, want := range map[string]int{"": http.StatusOK, "evil.example": http.StatusForbidden} {
		request, err := http.NewRequest(http.MethodGet, server+"/api/v1/nodes", nil)
		if err != nil {
			n.t.Fatal(err)
		}
		request.Host = host
		answer, err := admin.Do(request)
		if err != nil {
			n.t.Errorf("host %q: %v", host, err)
			continue
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			n.t.Errorf("host %q: %s, want %d", host, answer.Status, want)
		}
	}
}

// adminCertificate takes the client certificate out of the node's kubeconfig.
func (n *network) adminCertificate() tls.Certificate {
	n.t.Helper()
	data, err := os.ReadFile(n.at("net", "n1", "kubeconfig"))
	if err != nil {
		n.t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(yamlField(n.t, string(data), "client-certificate-data"), yamlField(n.t, string(data), "client-key-data"))
	if err != nil {
		n.t.Fatal(err)
	}
	return cert
}

// strangerAtTheMesh speaks nonsense and plain HTTP to the mesh port: it learns
// nothing of the cluster, and is cut off.
func (n *network) strangerAtTheMesh(ip string) {
	n.t.Helper()
	for _, hello := range []string{"GET / HTTP/1.1\r\nHost: n1\r\n\r\n", "\x13/multistream/1.0.0\n\x0d/holon/sync/1\n", strings.Repeat("\xff", 4096)} {
		c, err := net.DialTimeout("tcp", ip+":7946", patience)
		if err != nil {
			n.t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(c, hello)
		said, err := io.ReadAll(io.LimitReader(c, 1<<16))
		c.Close()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			n.t.Errorf("a stranger who said %.20q is not cut off within %v", hello, patience)
		}
		for _, secret := range []string{"n1", "n2", "web", "default", "configmaps"} {
			if strings.Contains(string(said), secret) {
				n.t.Errorf("a stranger was told %q", said)
			}
		}
	}
	n.on("n1", "get", "nodes")
}

// yamlField decodes one base64 field of a kubeconfig.
func yamlField(t testing.TB, text, name string) []byte {
	t.Helper()
	_, rest, found := strings.Cut(text, name+": ")
	line, _, _ := strings.Cut(rest, "\n")
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
	if !found || err != nil {
		t.Fatalf("kubeconfig has no %s: %v", name, err)
	}
	return b
}
