package node

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"holon/node/core"
	"holon/runtime"
)

// Bounds of one attempt of a probe.
const (
	probeOutputMax    = 10 << 10 // bytes that are read of an answer
	probeSaidMax      = 1 << 10  // bytes of it that an Event quotes
	probeRedirectsMax = 10
)

// probeAgent is how attempts call themselves.
const probeAgent = "holon-probe"

// attempt makes one attempt of a probe in a goroutine of its own; the core bounds
// how many there are.
func (n *Node) attempt(ctx context.Context, p core.Probe) {
	n.spawn(func() { n.tell(ctx, n.examine(ctx, p)) })
}

// examine makes an attempt and says how it went, at the latest when its time is up.
func (n *Node) examine(ctx context.Context, p core.Probe) core.Probed {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(p.Spec.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	err := n.tryProbe(ctx, p)
	if err == nil { // an answer may end because its asker has gone away, just before that is noticed here
		err = ctx.Err()
	}
	if err == nil {
		return core.Probed{Probe: p, OK: true}
	}
	return core.Probed{Probe: p, Void: errors.Is(err, errNotAsked), Output: saidBy(err)}
}

// errNotAsked is of an attempt that says nothing of the container.
var errNotAsked = errors.New("the container was not asked")

func (n *Node) tryProbe(ctx context.Context, p core.Probe) error {
	switch h := p.Spec.ProbeHandler; {
	case h.HTTPGet != nil:
		return judgeAnswer(n.askHTTP(ctx, p.Target, h.HTTPGet))
	case h.TCPSocket != nil:
		port, err := portOf(h.TCPSocket.Port, p.Ports)
		if err != nil {
			return err
		}
		conn, err := n.dialPod(ctx, p.Target, h.TCPSocket.Host, port)
		if err != nil {
			return err
		}
		return conn.Close()
	case h.GRPC != nil:
		return n.askGRPC(ctx, p.Target, h.GRPC)
	case h.Exec != nil:
		return n.execIn(ctx, p.Target, h.Exec.Command)
	}
	return errNotAsked // what a newer version asks for
}

// portOf resolves a port that may be a name of the container's.
func portOf(port intstr.IntOrString, ports []corev1.ContainerPort) (int, error) {
	if port.Type == intstr.Int {
		return port.IntValue(), nil
	}
	if i := slices.IndexFunc(ports, func(p corev1.ContainerPort) bool { return p.Name == port.StrVal }); i >= 0 {
		return int(ports[i].ContainerPort), nil
	}
	return 0, fmt.Errorf("the container has no port named %q", port.StrVal)
}

// dialPod connects to a port of a pod, or of the host that the asker names.
func (n *Node) dialPod(ctx context.Context, p core.Target, host string, port int) (net.Conn, error) {
	if host == "" && p.IP == "" {
		return n.cfg.Runtime.Dial(ctx, p.Run, port)
	}
	if host == "" {
		host = p.IP
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
}

// askHTTP asks as kubelet does: no proxy, no proof of who answers, no connection
// kept, redirects on the same host only; one to elsewhere is a success.
func (n *Node) askHTTP(ctx context.Context, p core.Target, get *corev1.HTTPGetAction) (*http.Response, error) {
	port, err := portOf(get.Port, p.Ports)
	if err != nil {
		return nil, err
	}
	host := cmp.Or(get.Host, p.IP, "localhost") // which is in the pod's network
	target, err := url.Parse(get.Path)
	if err != nil {
		target = &url.URL{Path: get.Path}
	}
	target.Scheme, target.Host = strings.ToLower(string(cmp.Or(get.Scheme, corev1.URISchemeHTTP))), net.JoinHostPort(host, strconv.Itoa(port))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	setHeaders(r, get.HTTPHeaders)
	client := http.Client{CheckRedirect: sameHost, Transport: &http.Transport{
		DisableKeepAlives: true, DisableCompression: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // as in Kubernetes: it asks whether it serves, not who it is
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			number, err := strconv.Atoi(port)
			if err != nil {
				return nil, err
			}
			return n.dialPod(ctx, p, get.Host, number)
		},
	}}
	return client.Do(r)
}

// setHeaders gives a request the headers that a probe names, over the usual ones.
func setHeaders(r *http.Request, named []corev1.HTTPHeader) {
	for _, h := range named {
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			r.Host = h.Value
			continue
		}
		r.Header.Add(h.Name, h.Value)
	}
	for name, usual := range map[string]string{"User-Agent": probeAgent, "Accept": "*/*"} {
		if len(r.Header[name]) == 0 {
			r.Header.Set(name, usual)
		}
	}
}

func sameHost(r *http.Request, via []*http.Request) error {
	if r.URL.Hostname() != via[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(via) >= probeRedirectsMax {
		return fmt.Errorf("stopped after %d redirects", probeRedirectsMax)
	}
	return nil
}

func judgeAnswer(answer *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, probeOutputMax)); err != nil {
		return err
	}
	if answer.StatusCode < http.StatusOK || answer.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("HTTP probe failed with statuscode: %d", answer.StatusCode)
	}
	return nil
}

func (n *Node) execIn(ctx context.Context, p core.Target, command []string) error {
	out := &cutBuffer{left: probeOutputMax}
	code, err := n.cfg.Runtime.Exec(ctx, p.Run, p.Container, runtime.ExecOptions{Command: command, Stdout: out, Stderr: out})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("command %q timed out", command)
	case err != nil && runtime.KindOf(err) == runtime.Unavailable:
		return fmt.Errorf("%w: %w", errNotAsked, err)
	case err != nil:
		return err
	case code != 0:
		return errors.New(strings.TrimSuffix(fmt.Sprintf("command exited with code %d: %s", code, strings.TrimSpace(out.String())), ": "))
	}
	return nil
}

// cutBuffer keeps the beginning of what is written to it, from several goroutines.
type cutBuffer struct {
	mu   sync.Mutex
	kept bytes.Buffer
	left int
}

func (b *cutBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	keep := min(len(data), b.left)
	b.left -= keep
	b.kept.Write(data[:keep])
	return len(data), nil
}

func (b *cutBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept.String()
}
