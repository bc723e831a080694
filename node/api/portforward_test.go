package api

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// dialers are the two ways in which clients ask for ports.
func (f *fixture) dialers(pod string) map[string]httpstream.Dialer {
	at, err := url.Parse(f.url + "/api/v1/namespaces/default/pods/" + pod + "/portforward")
	check(f.t, err)
	transport, upgrader, err := spdy.RoundTripperFor(f.config)
	check(f.t, err)
	tunnel, err := portforward.NewSPDYOverWebsocketDialer(at, f.config)
	check(f.t, err)
	return map[string]httpstream.Dialer{
		"SPDY": spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, at), "WebSocket": tunnel,
	}
}

func TestPortForward(t *testing.T) {
	f := serve(t)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 1), create)
	check(t, err)
	for name, dialer := range f.dialers("web-0-00") {
		t.Run(name, func(t *testing.T) {
			stop, ready := make(chan struct{}), make(chan struct{})
			forwarder, err := portforward.New(dialer, []string{"0:8080", "0:1"}, stop, ready, io.Discard, io.Discard)
			check(t, err)
			done := make(chan error, 1)
			go func() { done <- forwarder.ForwardPorts() }()
			defer close(stop)
			select {
			case <-ready:
			case err := <-done:
				t.Fatal(err)
			}
			ports, err := forwarder.GetPorts()
			check(t, err)
			var all sync.WaitGroup
			for i := range 5 {
				all.Go(func() {
					want := fmt.Sprintf("web-0-00:8080 for %s: %s", AdminUser, strings.Repeat(fmt.Sprint(i), 100_000))
					if got := say(t, ports[0].Local, strings.Repeat(fmt.Sprint(i), 100_000)); got != want {
						t.Errorf("got %d bytes, want %d", len(got), len(want))
					}
				})
			}
			all.Wait()
			// A client-go that is told an error logs it and gives up.
			say(t, ports[1].Local, "x")
			if err := <-done; !errors.Is(err, portforward.ErrLostConnectionToPod) {
				t.Errorf("a port on which nothing listens: %v", err)
			}
		})
	}
}

// say sends a text to a local port and reads the answer.
func say(t *testing.T, port uint16, text string) string {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	check(t, err)
	defer conn.Close()
	go func() {
		_, _ = io.WriteString(conn, text)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	answer, _ := io.ReadAll(conn) // a forwarder that failed resets it
	return string(answer)
}

func TestPortForwardRefusals(t *testing.T) {
	f := serve(t)
	f.do("POST", "/api/v1/namespaces/default/pods/none/portforward", "").want(t, 404)
	_, err := f.kube.AppsV1().Deployments("default").Create(f.ctx, deployment("web", 1), create)
	check(t, err)
	f.do("POST", "/api/v1/namespaces/default/pods/web-0-00/portforward", "").want(t, 400, "SPDY/3.1")
	f.do("GET", "/api/v1/namespaces/default/pods/web-0-00/portforward", "", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==", "Sec-WebSocket-Protocol: v5.channel.k8s.io").want(t, 400)
	f.do("PUT", "/api/v1/namespaces/default/pods/web-0-00/portforward", "").want(t, 405)
}
