package api

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	control := http.NewResponseController(w)
	// What nobody reads of a body is thrown away after the answer: a stranger's, too, does
	// not take for ever. Tests' recorders cannot set deadlines.
	_ = control.SetReadDeadline(start.Add(answerTimeout))
	bearer, err := s.admit(r)
	if err == nil {
		err = s.pace.take(bearer, start)
	}
	user := bearer
	if err == nil {
		user, err = s.authorize(bearer, r)
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
		_ = control.SetReadDeadline(time.Time{})
		// Nobody waits for these when the server closes.
		defer context.AfterFunc(s.life, cancel)()
		var over func()
		ctx, over, err = s.access.hold(ctx, bearer, func() error {
			_, err := s.authorize(bearer, r)
			return err
		})
		defer over()
		if err != nil {
			writeError(seen, r, err)
			return
		}
	} else {
		ctx, cancel = context.WithTimeout(ctx, answerTimeout)
		defer cancel()
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
		strings.HasPrefix(path, holonPath+"snapshots/") && strings.HasSuffix(path, "/data") ||
		r.Method == http.MethodPost && strings.HasPrefix(path, holonPath+"images") || strings.HasPrefix(path, "/testnet/")
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
