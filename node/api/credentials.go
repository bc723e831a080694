package api

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"holon/node/api/rbac"
)

const (
	userNameMax = 253 // bytes
	groupsMax   = 64
	// reservedPrefix begins the names that Kubernetes gives itself.
	reservedPrefix = "system:"
)

// CredentialRequest asks for a client certificate, or for a bearer token.
type CredentialRequest struct {
	User   string   `json:"user"`
	Groups []string `json:"groups,omitempty"`
	// TTLSeconds is how long it is good, by cluster time; 0: for ever.
	TTLSeconds int64 `json:"ttlSeconds,omitempty"`
	Token      bool  `json:"token,omitempty"`
}

// Credential is a client certificate with its key, PEM, or a bearer token, shown only
// once. Serial names it for a Revocation.
type Credential struct {
	User    string   `json:"user"`
	Groups  []string `json:"groups,omitempty"`
	Serial  string   `json:"serial"`
	Expires string   `json:"expires,omitempty"` // RFC 3339; empty: never
	CA      []byte   `json:"ca"`
	Cert    []byte   `json:"cert,omitempty"`
	Key     []byte   `json:"key,omitempty"`
	Token   string   `json:"token,omitempty"`
}

// ClientCert issues a client certificate for a user, without an end.
func (ca *CA) ClientCert(name string, groups []string) (certPEM, keyPEM []byte, serial string, err error) {
	return ca.clientCert(name, groups, lifetime{})
}

func (ca *CA) clientCert(name string, groups []string, life lifetime) (certPEM, keyPEM []byte, serial string, err error) {
	template, err := certTemplate(pkix.Name{CommonName: name, Organization: groups})
	if err != nil {
		return nil, nil, "", err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if life.ends() {
		template.NotBefore, template.NotAfter = life.from, life.until
	}
	der, key, err := ca.issue(template)
	if err != nil {
		return nil, nil, "", err
	}
	keyPEM, err = encodeKey(key)
	return encodeCert(der), keyPEM, template.SerialNumber.Text(16), err
}

// createCredential issues a credential to whoever may do everything: with one he makes
// himself anybody.
func (s *Server) createCredential(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	var ask CredentialRequest
	if err := json.Unmarshal(body, &ask); err != nil {
		return apierrors.NewBadRequest("the body cannot be read as a request for a credential: " + err.Error())
	}
	if err := ask.check(); err != nil {
		return err
	}
	if u := userOfContext(r.Context()); !slices.Contains(u.Groups, rbac.MastersGroup) {
		return forbidden(u.Name, requestOf(r))
	}
	if s.config.CA == nil {
		return apierrors.NewServiceUnavailable("this node has no key to sign credentials with")
	}
	c, err := s.issue(ask)
	if err != nil {
		return err
	}
	s.log.Info("credential issued", "user", c.User, "groups", c.Groups, "serial", c.Serial, "expires", c.Expires, "token", ask.Token, "by", actorOf(r.Context()))
	writeJSON(w, r, http.StatusCreated, c)
	return nil
}

func (s *Server) issue(ask CredentialRequest) (c Credential, err error) {
	var life lifetime
	c = Credential{User: ask.User, Groups: ask.Groups, CA: s.config.CA.CertPEM()}
	if ask.TTLSeconds > 0 {
		now, known := s.issuer.Time()
		if !known {
			return c, apierrors.NewServiceUnavailable(errNoTime.Error())
		}
		life = lifeFrom(now, time.Duration(ask.TTLSeconds)*time.Second)
		c.Expires = shown(life.until)
	}
	if ask.Token {
		c.Token, c.Serial, err = s.issuer.userToken(ask.User, ask.Groups, life)
	} else {
		c.Cert, c.Key, c.Serial, err = s.config.CA.clientCert(ask.User, ask.Groups, life)
	}
	return c, ofBackend(err, holonResource("credentials"), ask.User)
}

func (c *CredentialRequest) check() error {
	switch {
	case c.User == "" || len(c.User) > userNameMax:
		return apierrors.NewBadRequest(fmt.Sprintf("a user has a name of at most %d bytes", userNameMax))
	case strings.HasPrefix(c.User, reservedPrefix):
		return apierrors.NewBadRequest(fmt.Sprintf("user %q: names that begin with %q are Kubernetes' own", c.User, reservedPrefix))
	case c.TTLSeconds < 0 || c.TTLSeconds > int64(credentialLifeMax/time.Second):
		return apierrors.NewBadRequest(fmt.Sprintf("a credential lives for %v at most, or without an end", credentialLifeMax))
	case len(c.Groups) > groupsMax:
		return apierrors.NewBadRequest(fmt.Sprintf("%d groups: a credential has room for %d", len(c.Groups), groupsMax))
	}
	for _, g := range c.Groups {
		if g == "" || len(g) > userNameMax || strings.HasPrefix(g, reservedPrefix) && g != rbac.MastersGroup {
			return apierrors.NewBadRequest(fmt.Sprintf("group %q: the only one that begins with %q and may be asked for is %s", g, reservedPrefix, rbac.MastersGroup))
		}
	}
	return nil
}
