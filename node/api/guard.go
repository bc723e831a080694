package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holon/node/api/rbac"
)

const (
	// answerTimeout is how long a short request may take, its answer included.
	answerTimeout = time.Minute
)

// inFlight counts requests until the server closes, and says when the last has ended.
type inFlight struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed when closed and n is 0
}

func (f *inFlight) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.n++
	}
	return !f.closed
}

func (f *inFlight) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n--; f.closed && f.n == 0 {
		close(f.idle)
	}
}

// drain takes no more requests and returns what is closed when none are left. It
// is called once.
func (f *inFlight) drain() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed, f.idle = true, make(chan struct{})
	if f.n == 0 {
		close(f.idle)
	}
	return f.idle
}

// serveHTTP is the way in for every request: bounds, who it is, where it thinks
// it is talking to; then the routes.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.requests.begin() {
		writeError(w, r, apierrors.NewServiceUnavailable("this node is stopping"))
		return
	}
	defer s.requests.end()
	seen := &statusRecorder{ResponseWriter: w}
	start := time.Now()
	defer s.finish(seen, r, start)
	user, err := s.admit(r)
	if err == nil {
		err = s.authorize(user, r)
	}
	if err != nil {
		writeError(seen, r, err)
		return
	}
	pool := s.short
	long := longRunning(r)
	if long {
		pool = s.long
	}
	if err := pool.take(user); err != nil {
		writeError(seen, r, err)
		return
	}
	defer pool.release(user)
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), userKey{}, user))
	defer cancel()
	if long {
		// Nobody waits for these when the server closes.
		defer context.AfterFunc(s.life, cancel)()
	} else {
		ctx, cancel = context.WithTimeout(ctx, answerTimeout)
		defer cancel()
		control := http.NewResponseController(w)
		// Not every connection can set deadlines; those that cannot are tests' recorders.
		_ = control.SetWriteDeadline(start.Add(answerTimeout))
		defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
	}
	s.noteStaleness(seen, r)
	s.handler.ServeHTTP(seen, r.WithContext(ctx))
}

// finish logs a request and turns a panic of a handler into an answer.
func (s *Server) finish(seen *statusRecorder, r *http.Request, start time.Time) {
	p := recover()
	if p != nil && p != http.ErrAbortHandler {
		s.log.Error("API request failed", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
		if seen.code == 0 {
			writeError(seen, r, apierrors.NewInternalError(errors.New("this node has a bug, see its log")))
			p = nil
		} else {
			p = http.ErrAbortHandler
		}
	}
	s.log.Debug("API request", "method", r.Method, "uri", r.URL.RequestURI(), "code", seen.code,
		"took", time.Since(start), "agent", r.UserAgent())
	if p != nil {
		panic(p) // half an answer must not look like a whole one
	}
}

// statusRecorder remembers the status code; the rest passes through Unwrap.
type statusRecorder struct {
	http.ResponseWriter
	code int
}

func (w *statusRecorder) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *statusRecorder) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusRecorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack is looked for by the stream libraries, which do not unwrap.
func (w *statusRecorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.code = http.StatusSwitchingProtocols
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// longRunning tells requests that last as long as the client wants.
func longRunning(r *http.Request) bool {
	path := r.URL.Path
	return isTrue(r, "watch") || isTrue(r, "follow") || strings.HasSuffix(path, "/exec") || strings.HasSuffix(path, "/attach") || strings.HasSuffix(path, "/portforward") || strings.HasSuffix(path, "/log") ||
		path == holonPath+"drain" || path == holonPath+"leave" || path == holonPath+"snapshot" ||
		r.Method == http.MethodPost && strings.HasPrefix(path, holonPath+"images") || strings.HasPrefix(path, "/testnet/")
}

// admit says who sends a request, or refuses it.
func (s *Server) admit(r *http.Request) (user, error) {
	conn, _ := r.Context().Value(connKey{}).(*connection)
	if conn == nil {
		return user{}, apierrors.NewUnauthorized("unknown kind of connection")
	}
	if conn.unix != nil {
		return conn.owner()
	}
	if err := s.checkHost(r); err != nil {
		return user{}, err
	}
	return conn.client(s.config.CA, r.TLS)
}

// checkHost refuses requests that were sent to some other name: a web page whose
// name resolves to this node's address must not reach it (DNS rebinding).
func (s *Server) checkHost(r *http.Request) error {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if ip := net.ParseIP(host); ip != nil {
		host = ip.String()
		if ip.IsLoopback() {
			return nil
		}
	}
	if host == "localhost" || slices.Contains(s.hosts.Load().names, host) {
		return nil
	}
	return statusError(http.StatusForbidden, metav1.StatusReasonForbidden,
		"the Host header names %q, which is not this node: use one of %s", r.Host,
		strings.Join(append([]string{"localhost"}, s.hosts.Load().names...), ", "))
}

type (
	userKey struct{}
	connKey struct{}
)

// user is who sends a request, with the serial of his credential.
type user struct {
	rbac.User
	serial string
}

// admin is the owner of a node.
var admin = user{User: rbac.User{Name: AdminUser, Groups: []string{AdminGroup}}}

func userOfContext(ctx context.Context) user {
	u, _ := ctx.Value(userKey{}).(user)
	return u
}

// actorOf is the name of the user of a request.
func actorOf(ctx context.Context) string { return userOfContext(ctx).Name }

// connection is what is known of a client's connection; it is judged once.
type connection struct {
	unix *net.UnixConn
	once sync.Once
	user user
	err  error
}

func connContext(ctx context.Context, c net.Conn) context.Context {
	conn := &connection{}
	conn.unix, _ = c.(*net.UnixConn)
	return context.WithValue(ctx, connKey{}, conn)
}

// owner admits the user who runs this daemon, and root.
func (c *connection) owner() (user, error) {
	c.once.Do(func() {
		uid, err := peerUID(c.unix)
		switch {
		case err != nil:
			c.err = apierrors.NewUnauthorized("the peer of the socket is unknown: " + err.Error())
		case uid != 0 && int(uid) != os.Getuid():
			c.err = statusError(http.StatusForbidden, metav1.StatusReasonForbidden,
				"this socket is for the owner of the node (uid %d) and root, not for uid %d", os.Getuid(), uid)
		default:
			c.user = admin
		}
	})
	return c.user, c.err
}

func peerUID(c *net.UnixConn) (uid uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, credErr); err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// client admits whoever holds a certificate of the cluster. The handshake has proven
// possession of its key.
func (c *connection) client(ca *CA, state *tls.ConnectionState) (user, error) {
	c.once.Do(func() { c.user, c.err = clientOf(ca, state) })
	return c.user, c.err
}

func clientOf(ca *CA, state *tls.ConnectionState) (user, error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return user{}, apierrors.NewUnauthorized("no client certificate: use the kubeconfig of this cluster (holon kubeconfig)")
	}
	leaf := state.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{Roots: ca.pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return user{}, apierrors.NewUnauthorized("the client certificate is not of this cluster: " + err.Error())
	}
	if leaf.Subject.CommonName == "" {
		return user{}, apierrors.NewUnauthorized(fmt.Sprintf("the client certificate (serial %v) names no user", leaf.SerialNumber))
	}
	return user{rbac.User{Name: leaf.Subject.CommonName, Groups: leaf.Subject.Organization}, leaf.SerialNumber.Text(16)}, nil
}
