package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/klog/v2"
)

const (
	headerTimeout  = 10 * time.Second // to send the request line and headers
	headerBytesMax = 64 << 10
	idleTimeout    = 2 * time.Minute // of a kept-alive connection between requests
	closeTimeout   = 2 * time.Second // for requests that are being answered when the server closes
	flushTimeout   = 100 * time.Millisecond
	socketMode     = 0o600
)

// Config is what a Server is made of.
type Config struct {
	Backend Backend
	Cache   *Cache
	Logger  *slog.Logger // nil: silent
	CA      *CA          // of the cluster; needed if Listen is set
	// Hosts are the names and addresses under which this node may be called
	// besides loopback; SetHosts changes them later.
	Hosts []string
	// Listen is the TCP address for TLS ("127.0.0.1:6443"); empty: none.
	Listen string
	// SocketPath is the unix socket for this node's owner; empty: none.
	SocketPath string
	// TestControl is served under /testnet/, without that prefix; nil outside tests.
	TestControl http.Handler
	// Review returns advice on an object of a resource that somebody writes, to be
	// sent as warnings: what this node's runtime will ignore. May be nil.
	Review func(resource string, value map[string]any) []string
}

// Server answers the Kubernetes API for one node.
type Server struct {
	config      Config
	log         *slog.Logger
	handler     http.Handler
	hosts       atomic.Pointer[hostList]
	listeners   []net.Listener
	tcp         net.Listener
	http        *http.Server
	life        context.Context // ends when the server shall close
	end         context.CancelFunc
	requests    inFlight
	short, long *slots
	pace        pace
	terminating terminating
	events      eventMirror
	access      *Access
	issuer      *Issuer
}

// New opens the listeners, so that a taken address is known at once. Nothing is
// answered before Run.
func New(config Config) (*Server, error) {
	s := &Server{
		config: config, log: config.Logger,
		short: newSlots(shortRequestsMax), long: newSlots(longRequestsMax), access: NewAccess(config.Cache, config.Backend.ClusterTime),
		issuer: &Issuer{CA: config.CA, Cache: config.Cache, Time: config.Backend.ClusterTime},
	}
	s.life, s.end = context.WithCancel(context.Background())
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	libraryLogs.Do(func() { klog.SetSlogLogger(slog.New(demoted{s.log.Handler()})) })
	s.handler = s.routes()
	s.http = &http.Server{
		Handler: http.HandlerFunc(s.serveHTTP), ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: headerBytesMax,
		IdleTimeout: idleTimeout, ConnContext: connContext, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	if err := s.SetHosts(config.Hosts); err != nil {
		return nil, err
	}
	roles, err := builtInRoles()
	if err != nil {
		return nil, err
	}
	if err := config.Cache.Apply(roles, nil); err != nil {
		return nil, err
	}
	var trusted []byte
	if config.CA != nil {
		trusted = config.CA.CertPEM()
	}
	if err := config.Cache.Give(trusted); err != nil {
		return nil, err
	}
	if err := s.listen(); err != nil {
		s.closeListeners()
		return nil, err
	}
	return s, nil
}

func (s *Server) listen() error {
	if s.config.Listen != "" {
		if s.config.CA == nil {
			return errors.New("API: a TCP listener needs the cluster's CA")
		}
		l, err := net.Listen("tcp", s.config.Listen)
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("API: address %s is in use by another program: choose another with --api-listen, or stop that program: %w",
				s.config.Listen, err)
		}
		if err != nil {
			return fmt.Errorf("API: cannot listen on %s: choose an address of this machine with --api-listen: %w", s.config.Listen, err)
		}
		s.tcp = l
		s.listeners = append(s.listeners, tls.NewListener(newDoorway(l, connectionsMax), s.tlsConfig()))
	}
	if s.config.SocketPath != "" {
		l, err := listenSocket(s.config.SocketPath)
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, l)
	}
	return nil
}

// listenSocket opens the owner's socket. One that a dead daemon left is replaced.
func listenSocket(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("API: socket directory: %w", err)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("API: another daemon answers on %s: stop it, or use another --data-dir", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("API: cannot remove the socket of a former daemon: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("API: cannot listen on socket %s: %w", path, err)
	}
	// Until this line a stranger could at most connect: its credentials are checked.
	if err := os.Chmod(path, socketMode); err != nil {
		l.Close()
		return nil, fmt.Errorf("API: cannot protect socket %s: %w", path, err)
	}
	return l, nil
}

// Addr is the TCP address that is listened on, with the port the system chose; nil without one.
func (s *Server) Addr() net.Addr {
	if s.tcp == nil {
		return nil
	}
	return s.tcp.Addr()
}

// Run serves until ctx ends or Close is called, and returns once every goroutine
// and request of the server has ended.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	var own sync.WaitGroup
	own.Go(func() { s.followEvents(ctx) })
	own.Go(func() { s.access.Follow(ctx) })
	failed := make(chan error, len(s.listeners))
	for _, l := range s.listeners {
		own.Go(func() { failed <- s.http.Serve(l) })
	}
	var err error
	select {
	case <-ctx.Done():
	case <-s.life.Done():
	case err = <-failed:
	}
	s.stop(cancel)
	own.Wait()
	return err
}

// stop ends long-running requests at once and gives the others closeTimeout.
// Idle connections are not waited for: HTTP/2 would take a second to say goodbye.
func (s *Server) stop(cancel context.CancelFunc) {
	s.Close()
	s.closeListeners()
	hurry := time.AfterFunc(closeTimeout, func() { cancel(); _ = s.http.Close() })
	<-s.requests.drain()
	hurry.Stop()
	cancel()
	ctx, done := context.WithTimeout(context.Background(), flushTimeout)
	defer done()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // what is still open is idle
	}
}

// Close asks Run to return. It may be called at any time and more than once.
func (s *Server) Close() { s.end() }

func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		_ = l.Close() // closing twice only says so
	}
}

func (s *Server) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		// Certificates are asked for and judged per request, so that a client without
		// a good one gets an answer in words (401) and not a broken handshake.
		ClientAuth:     tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.hosts.Load().cert, nil },
	}
}

// routes maps paths to handlers. Objects are parsed by their own table.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	s.discoveryRoutes(mux)
	s.openAPIRoutes(mux)
	s.holonRoutes(mux)
	mux.Handle("/", s.answer(s.serveObjects))
	if s.config.TestControl != nil {
		mux.Handle("/testnet/", http.StripPrefix("/testnet", s.config.TestControl))
	}
	return mux
}

// answer turns a function that may fail into a handler.
func (s *Server) answer(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f(w, r); err != nil {
			writeError(w, r, err)
		}
	})
}

// libraryLogs turns the process-wide log of the stream libraries, which call every
// client that goes away an error, into debug lines of the first server.
var libraryLogs sync.Once

// demoted logs everything at debug level.
type demoted struct{ slog.Handler }

func (d demoted) Enabled(ctx context.Context, _ slog.Level) bool {
	return d.Handler.Enabled(ctx, slog.LevelDebug)
}

func (d demoted) Handle(ctx context.Context, r slog.Record) error {
	if !d.Enabled(ctx, slog.LevelDebug) {
		return nil // klog hands over errors without asking
	}
	r.Level = slog.LevelDebug
	return d.Handler.Handle(ctx, r)
}

func (d demoted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return demoted{d.Handler.WithAttrs(attrs)}
}

func (d demoted) WithGroup(name string) slog.Handler { return demoted{d.Handler.WithGroup(name)} }
