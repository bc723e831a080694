package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/apimachinery/pkg/util/httpstream/spdy"
	"k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/apimachinery/pkg/util/remotecommand"
	tunnel "k8s.io/client-go/tools/portforward"
)

const (
	// forwardsMax bounds the connections that one client has forwarded at once.
	forwardsMax = 256
	// forwardPairTimeout is how long a client may take to open both streams of a
	// connection.
	forwardPairTimeout = 30 * time.Second
)

// portForward carries connections to ports of a pod: SPDY/3.1, by itself or inside a
// WebSocket (KEP-4006). Each connection is a pair of streams, one for what is said in both
// directions and one for an error in words, which belong together by their request ID.
func (s *Server) portForward(w http.ResponseWriter, r *http.Request, t *target) error {
	pod, err := s.findPod(t)
	if err != nil {
		return err
	}
	if pod.Status.Phase != corev1.PodRunning {
		return apierrors.NewBadRequest(fmt.Sprintf("pod %s is %s, so nobody listens in it: wait until it runs", t.name, pod.Status.Phase))
	}
	ctx, cancel := context.WithCancel(r.Context())
	f := &forwarding{server: s, target: t, pod: pod, ctx: ctx, halves: map[string]*forward{}}
	defer f.all.Wait()
	defer cancel()
	open := f.openSPDY
	switch {
	case websocket.IsWebSocketUpgrade(r):
		open = f.openWebSocket
	case !httpstream.IsUpgradeRequest(r):
		return apierrors.NewBadRequest("port-forward needs a connection upgrade to SPDY/3.1, by itself or inside a WebSocket")
	}
	conn, err := open(w, r)
	if err != nil {
		s.log.Debug("port-forward could not be set up", "pod", t.name, "err", err)
		return nil // the library has answered, or there is no longer a connection to answer on
	}
	defer conn.Close()
	conn.SetIdleTimeout(remotecommand.DefaultStreamCreationTimeout + execIdleMax)
	select {
	case <-conn.CloseChan():
	case <-ctx.Done():
	}
	return nil
}

// forwarding is one client's connections to a pod.
type forwarding struct {
	server *Server
	target *target
	pod    *corev1.Pod
	ctx    context.Context
	all    sync.WaitGroup

	mu     sync.Mutex
	count  int
	halves map[string]*forward // by request ID, until both streams are there
}

// forward is one connection.
type forward struct {
	port        int
	data, words httpstream.Stream
	replied     []<-chan struct{} // of both streams: nothing is written before
}

func (f *forwarding) openSPDY(w http.ResponseWriter, r *http.Request) (httpstream.Connection, error) {
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardV1Name}); err != nil {
		return nil, err
	}
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, f.take)
	if conn == nil {
		return nil, errors.New("SPDY upgrade failed")
	}
	return conn, nil
}

func (f *forwarding) openWebSocket(w http.ResponseWriter, r *http.Request) (httpstream.Connection, error) {
	upgrader := websocket.Upgrader{
		Subprotocols: []string{portforward.WebsocketsSPDYTunnelingPortForwardV1},
		CheckOrigin:  httpstreamOrigin,
	}
	if !slices.Contains(websocket.Subprotocols(r), portforward.WebsocketsSPDYTunnelingPortForwardV1) {
		err := fmt.Errorf("the WebSocket's protocol must be %s", portforward.WebsocketsSPDYTunnelingPortForwardV1)
		writeError(w, r, apierrors.NewBadRequest(err.Error()))
		return nil, err
	}
	socket, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil, err
	}
	return spdy.NewServerConnection(tunnel.NewTunnelingConnection("server", socket), f.take)
}

// httpstreamOrigin lets every origin in: a browser has no client certificate of ours to
// lend to a strange page, and the Host header was checked.
func httpstreamOrigin(*http.Request) bool { return true }

// take gets a stream that the client has opened, and begins once it has both of a pair.
func (f *forwarding) take(stream httpstream.Stream, replied <-chan struct{}) error {
	header := stream.Headers()
	port, err := strconv.Atoi(header.Get(corev1.PortHeader))
	if err != nil || port < 1 || port > 65535 {
		return fmt.Errorf("port %q is none", header.Get(corev1.PortHeader))
	}
	id := header.Get(corev1.PortForwardRequestIDHeader)
	f.mu.Lock()
	defer f.mu.Unlock()
	half := f.halves[id]
	if half == nil {
		if f.count == forwardsMax {
			return fmt.Errorf("%d connections are forwarded already", forwardsMax)
		}
		half = &forward{port: port}
		f.count++
		f.halves[id] = half
		time.AfterFunc(forwardPairTimeout, func() { f.giveUp(id, half) })
	}
	switch kind := header.Get(corev1.StreamType); {
	case kind == corev1.StreamTypeData && half.data == nil && half.port == port:
		half.data = stream
	case kind == corev1.StreamTypeError && half.words == nil && half.port == port:
		half.words = stream
	default:
		return fmt.Errorf("unexpected stream %q of connection %q", kind, id)
	}
	half.replied = append(half.replied, replied)
	if half.data != nil && half.words != nil {
		delete(f.halves, id)
		f.all.Go(func() { f.carry(half) })
	}
	return nil
}

// giveUp forgets a connection of which only one stream came.
func (f *forwarding) giveUp(id string, half *forward) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.halves[id] != half {
		return
	}
	delete(f.halves, id)
	f.count--
	for _, stream := range []httpstream.Stream{half.data, half.words} {
		if stream != nil {
			_ = stream.Reset() // its connection may be gone
		}
	}
}

// carry runs one connection to its end.
func (f *forwarding) carry(c *forward) {
	defer func() {
		_, _ = c.data.Close(), c.words.Close() // their connection may be gone
		f.mu.Lock()
		defer f.mu.Unlock()
		f.count--
	}()
	for _, replied := range c.replied {
		select {
		case <-replied:
		case <-f.ctx.Done():
			return
		}
	}
	s, t := f.server, f.target
	err := s.config.Backend.PortForward(f.ctx, t.namespace, t.name, c.port, Stream{Stdin: c.data, Stdout: c.data, Actor: actingOf(f.ctx)})
	if err != nil && f.ctx.Err() == nil {
		fmt.Fprintf(c.words, "port %d of pod %s: %v", c.port, t.name, s.ofOwner(err, t, f.pod))
	}
}
