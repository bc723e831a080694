package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"holon/node/core"
	"holon/runtime"
)

// patientRuntime answers what a probe asks of a runtime.
type patientRuntime struct {
	runtime.Runtime
	exec func(ctx context.Context, o runtime.ExecOptions) (int, error)
	dial func(ctx context.Context, port int) (net.Conn, error)
}

func (r patientRuntime) Exec(ctx context.Context, _ runtime.RunID, _ string, o runtime.ExecOptions) (int, error) {
	return r.exec(ctx, o)
}

func (r patientRuntime) Dial(ctx context.Context, _ runtime.RunID, port int) (net.Conn, error) {
	return r.dial(ctx, port)
}

func probing(rt runtime.Runtime) *Node { return &Node{cfg: Config{Runtime: rt}} }

// wantProbed compares the outcome of an attempt; said: a part of what it says, if it failed.
func wantProbed(t *testing.T, name string, got core.Probed, ok bool, said string) {
	t.Helper()
	if got.OK != ok || got.Void || ok && got.Output != "" || !strings.Contains(got.Output, said) || len(got.Output) > probeSaidMax || !utf8.ValidString(got.Output) {
		t.Errorf("%s: well %v (want %v), void %v, says %q (want %q)", name, got.OK, ok, got.Void, got.Output, said)
	}
}

// portIn is the port of a server's address.
func portIn(t *testing.T, address string) int {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestProbeHTTP asks a real server.
func TestProbeHTTP(t *testing.T) {
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	mux := http.NewServeMux()
	for _, code := range []int{200, 204, 302, 399, 400, 404, 500} {
		mux.HandleFunc(fmt.Sprintf("/code/%d", code), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 4*probeOutputMax)) })
	mux.HandleFunc("/hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/stalls", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/code/404", http.StatusFound) })
	mux.HandleFunc("/around", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/around", http.StatusFound) })
	mux.HandleFunc("/there", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, fmt.Sprintf("http://localhost:%d/", portIn(t, elsewhere.URL)), http.StatusFound)
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "web.example" || r.UserAgent() != "mine" || r.Header.Get("Accept") != "*/*" || fmt.Sprint(r.Header["X-A"]) != "[1 2]" {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	mux.HandleFunc("/usual", func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() != "holon-probe" || r.URL.RawQuery != "a=b" {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	plain, sealed := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	defer plain.Close()
	defer sealed.Close()
	headers := []corev1.HTTPHeader{{Name: "host", Value: "web.example"}, {Name: "user-agent", Value: "mine"}, {Name: "X-A", Value: "1"}, {Name: "X-A", Value: "2"}}
	n := probing(nil)
	for _, c := range []struct {
		path string
		ok   bool
		said string
	}{
		{"/code/200", true, ""}, {"code/204", true, ""}, {"/code/302", true, ""}, {"/code/399", true, ""},
		{"/code/400", false, "statuscode: 400"}, {"/code/404", false, "statuscode: 404"}, {"/code/500", false, "statuscode: 500"},
		{"/long", true, ""}, {"/hangs", false, "deadline exceeded"}, {"/stalls", false, "deadline exceeded"},
		{"/here", false, "statuscode: 404"}, {"/there", true, ""}, {"/around", false, "stopped after 10 redirects"},
		{"/headers", true, ""}, {"/usual?a=b", true, ""}, {"/%zz", false, "statuscode: 404"},
	} {
		for scheme, server := range map[corev1.URIScheme]*httptest.Server{corev1.URISchemeHTTP: plain, corev1.URISchemeHTTPS: sealed} {
			get := &corev1.HTTPGetAction{Path: c.path, Scheme: scheme, Port: intstr.FromString("web")}
			if c.path == "/headers" {
				get.HTTPHeaders = headers
			}
			p := core.Probe{Target: core.Target{IP: "127.0.0.1", Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: int32(portIn(t, server.URL))}}}, Spec: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}}}
			wantProbed(t, string(scheme)+" "+c.path, n.examine(t.Context(), p), c.ok, c.said)
		}
	}
}

// TestProbePorts: a port is a number or a name, on the pod, on the host that the probe
// names, or where only the runtime gets.
func TestProbePorts(t *testing.T) {
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	port, nobody := open.Addr().(*net.TCPAddr).Port, closed.Addr().(*net.TCPAddr).Port
	through := patientRuntime{dial: func(ctx context.Context, at int) (net.Conn, error) {
		if at != port {
			return nil, fmt.Errorf("dialled %d", at)
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", open.Addr().String())
	}}
	named := []corev1.ContainerPort{{Name: "db", ContainerPort: int32(port)}}
	for _, c := range []struct {
		name, ip, host string
		port           intstr.IntOrString
		ok             bool
		said           string
	}{
		{"a number", "127.0.0.1", "", intstr.FromInt32(int32(port)), true, ""},
		{"a name", "127.0.0.1", "", intstr.FromString("db"), true, ""},
		{"no such name", "127.0.0.1", "", intstr.FromString("web"), false, `no port named "web"`},
		{"nobody listens", "127.0.0.1", "", intstr.FromInt32(int32(nobody)), false, "refused"},
		{"a host", "192.0.2.1", "127.0.0.1", intstr.FromInt32(int32(port)), true, ""},
		{"through the runtime", "", "", intstr.FromString("db"), true, ""},
		{"not through the runtime", "", "", intstr.FromInt32(int32(nobody)), false, "dialled"},
	} {
		tcp := corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: c.port, Host: c.host}}
		p := core.Probe{Target: core.Target{IP: c.ip, Ports: named}, Spec: &corev1.Probe{ProbeHandler: tcp, TimeoutSeconds: 5}}
		wantProbed(t, c.name, probing(through).examine(t.Context(), p), c.ok, c.said)
	}
}

// TestProbeExec: the exit code decides; a command that hangs has failed when its time
// is up; and what the runtime cannot ask says nothing.
func TestProbeExec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name string
			exec func(ctx context.Context, o runtime.ExecOptions) (int, error)
			ok   bool
			void bool
			said string
		}{
			{"well", func(context.Context, runtime.ExecOptions) (int, error) { return 0, nil }, true, false, ""},
			{"a code", func(_ context.Context, o runtime.ExecOptions) (int, error) {
				fmt.Fprintf(o.Stderr, "%s failed", o.Command)
				return 3, nil
			}, false, false, "code 3: [check -x] failed"},
			{"much output", func(_ context.Context, o runtime.ExecOptions) (int, error) {
				fmt.Fprint(o.Stdout, strings.Repeat("ü", 2*probeOutputMax))
				return 1, nil
			}, false, false, "code 1: üü"},
			{"hangs", func(ctx context.Context, _ runtime.ExecOptions) (int, error) {
				<-ctx.Done()
				return 137, nil
			}, false, false, "timed out"},
			{"it is gone", func(context.Context, runtime.ExecOptions) (int, error) {
				return 0, &runtime.Error{Kind: runtime.NotFound, Err: errors.New("no such container")}
			}, false, false, "no such container"},
			{"no runtime", func(context.Context, runtime.ExecOptions) (int, error) {
				return 0, &runtime.Error{Kind: runtime.Unavailable, Err: errors.New("not there")}
			}, false, true, "not there"},
		} {
			began := time.Now()
			command := corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"check", "-x"}}}
			got := probing(patientRuntime{exec: c.exec}).examine(t.Context(), core.Probe{Spec: &corev1.Probe{ProbeHandler: command, TimeoutSeconds: 3}})
			if got.Void != c.void {
				t.Errorf("%s: void %v", c.name, got.Void)
			}
			got.Void = false
			wantProbed(t, c.name, got, c.ok, c.said)
			if took := time.Since(began); c.name == "hangs" && took != 3*time.Second || took > 3*time.Second {
				t.Errorf("%s: took %v of virtual time", c.name, took)
			}
		}
	})
}
