package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holon/node/api/rbac"
)

// admit says who sends a request, or refuses it.
func (s *Server) admit(r *http.Request) (user, error) {
	conn, _ := r.Context().Value(connKey{}).(*connection)
	if conn == nil {
		return user{}, apierrors.NewUnauthorized("unknown kind of connection")
	}
	u, err := s.identify(conn, r)
	if err == nil {
		err = s.access.good(u)
	}
	if err != nil {
		return user{}, err
	}
	return u.authenticated(), nil
}

// identify goes by the token of a request, if there is one, else by its connection: the
// owner's socket, or a certificate.
func (s *Server) identify(conn *connection, r *http.Request) (u user, err error) {
	if conn.unix != nil {
		u, err = conn.owner()
	} else {
		err = s.checkHost(r)
	}
	if err != nil {
		return u, err
	}
	switch values := r.Header.Values("Authorization"); {
	case len(values) == 1:
		token, err := bearerToken(values[0])
		if err != nil {
			return user{}, err
		}
		u, _, err = s.issuer.identify(token, []string{apiAudience})
		return u, err
	case len(values) > 1:
		return user{}, apierrors.NewUnauthorized("there is more than one Authorization header")
	case conn.unix != nil:
		return u, nil
	}
	return conn.client(s.config.CA, r.TLS)
}

func bearerToken(header string) (string, error) {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", apierrors.NewUnauthorized("the Authorization header is no bearer token: use the kubeconfig of this cluster (holon kubeconfig)")
	}
	return token, nil
}

type (
	userKey struct{}
	connKey struct{}
)

// user is who sends a request.
type user struct {
	rbac.User
	serial string // of the credential that was shown; empty: the owner's socket
	life   lifetime
	bound  *Bound // nil: the credential is of no ServiceAccount
	by     string // who acts as this user; empty: he himself
}

// bearer is the name of who has shown the credential.
func (u user) bearer() string { return or(u.by, u.Name) }

// authenticatedGroup is of everybody who is let in.
const authenticatedGroup = "system:authenticated"

func (u user) authenticated() user {
	if !slices.Contains(u.Groups, authenticatedGroup) {
		u.Groups = append(slices.Clone(u.Groups), authenticatedGroup)
	}
	return u
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

// clientOf reads a certificate. When it ends is judged with each request, by cluster time
// and not by this node's clock, so here every moment of its life will do.
func clientOf(ca *CA, state *tls.ConnectionState) (user, error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return user{}, apierrors.NewUnauthorized("no client certificate and no bearer token: use the kubeconfig of this cluster (holon kubeconfig)")
	}
	leaf := state.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{Roots: ca.pool, CurrentTime: leaf.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return user{}, apierrors.NewUnauthorized("the client certificate is not of this cluster: " + err.Error())
	}
	if leaf.Subject.CommonName == "" {
		return user{}, apierrors.NewUnauthorized(fmt.Sprintf("the client certificate (serial %v) names no user", leaf.SerialNumber))
	}
	u := user{User: rbac.User{Name: leaf.Subject.CommonName, Groups: leaf.Subject.Organization}, serial: leaf.SerialNumber.Text(16)}
	if leaf.NotAfter.Before(notAfter) {
		u.life = lifetime{from: leaf.NotBefore, until: leaf.NotAfter}
	}
	return u, nil
}
