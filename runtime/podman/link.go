//go:build remote

package podman

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/bindings"
	"holon/runtime"
)

const (
	// retryAfter is how long a failed connection answers for all callers:
	// connecting to a dead socket blocks for 0.6 s.
	retryAfter = time.Second
	// dialLimit bounds the first look at a socket.
	dialLimit = 2 * time.Second
)

// A link is a connection to a Podman service that comes and goes. It is made
// when first needed, dropped when the transport fails, and made anew at most
// once per retryAfter.
type link struct {
	configured string        // URL or empty
	turn       chan struct{} // holds one token; whoever has it may use the fields below
	conn       context.Context
	down       *runtime.Error // why the last attempt failed
	downAt     time.Time
}

func newLink(url string) *link {
	l := &link{configured: url, turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}

// session is a caller's context with the connection among its values.
type session struct {
	context.Context
	conn context.Context
}

func (s session) Value(key any) any {
	if v := s.Context.Value(key); v != nil {
		return v
	}
	return s.conn.Value(key)
}

// open returns ctx with the connection in it.
func (l *link) open(ctx context.Context) (session, error) {
	select {
	case <-l.turn:
	case <-ctx.Done():
		return session{}, &runtime.Error{Kind: runtime.Unavailable, Op: "connect to Podman", Err: ctx.Err()}
	}
	defer func() { l.turn <- struct{}{} }()
	if l.conn != nil {
		return session{ctx, l.conn}, nil
	}
	if l.down != nil && time.Since(l.downAt) < retryAfter {
		return session{}, l.down
	}
	conn, err := connect(l.url())
	if err != nil {
		l.down, l.downAt = unavailable(l.url(), err), time.Now()
		return session{}, l.down
	}
	l.conn, l.down = conn, nil
	return session{ctx, conn}, nil
}

// drop forgets the connection that s used, unless it has been replaced.
func (l *link) drop(s session, cause error) *runtime.Error {
	<-l.turn
	defer func() { l.turn <- struct{}{} }()
	if l.conn == s.conn {
		closeIdle(l.conn)
		l.conn, l.downAt = nil, time.Now()
		l.down = unavailable(l.url(), cause)
	}
	return unavailable(l.url(), cause)
}

func (l *link) close() {
	<-l.turn
	defer func() { l.turn <- struct{}{} }()
	if l.conn != nil {
		closeIdle(l.conn)
	}
}

func (l *link) url() string {
	if l.configured != "" {
		return l.configured
	}
	return FindURL()
}

// connect makes a connection whose life is not bound to any caller.
func connect(uri string) (context.Context, error) {
	if path, ok := strings.CutPrefix(uri, "unix://"); ok {
		// Knocking first: the bindings sleep between three tries.
		c, err := net.DialTimeout("unix", path, dialLimit)
		if err != nil {
			return nil, err
		}
		_ = c.Close()
	}
	return bindings.NewConnection(context.Background(), uri)
}

func closeIdle(conn context.Context) {
	if c, err := bindings.GetClient(conn); err == nil {
		c.Client.CloseIdleConnections()
	}
}

func unavailable(uri string, cause error) *runtime.Error {
	return &runtime.Error{
		Kind: runtime.Unavailable,
		Op:   "talk to Podman at " + uri,
		Err:  cause,
		Next: "start it with `systemctl start podman.socket` (or `podman system service --time=0 " + uri + "`) or point CONTAINER_HOST at it",
	}
}

// call runs f with a connection and at most limit of time, and turns its
// failure into a typed error.
func (l *link) call(ctx context.Context, limit time.Duration, op string, f func(context.Context) error) error {
	s, err := l.open(ctx)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(s, limit)
	defer cancel()
	err = f(bounded)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: ctx.Err()}
	case bounded.Err() != nil:
		return l.drop(s, fmt.Errorf("%s: no answer within %v", op, limit))
	case isTransport(err):
		return l.drop(s, err)
	}
	return classify(op, err)
}

// isTransport reports whether err is of the connection, not of Podman.
func isTransport(err error) bool {
	var u *url.Error
	var n net.Error
	var c bindings.ConnectError
	return errors.As(err, &u) || errors.As(err, &n) || errors.As(err, &c) ||
		errors.Is(err, http.ErrServerClosed) || strings.Contains(err.Error(), "unable to process API response")
}

// isLocal reports whether the service of ctx runs on this host, so that its
// process IDs are ours.
func isLocal(ctx context.Context) bool {
	c, err := bindings.GetClient(ctx)
	return err == nil && c.URI.Scheme == "unix"
}
