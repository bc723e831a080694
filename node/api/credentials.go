package api

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"holon/node/api/rbac"
)

const (
	userNameMax = 253 // bytes
	groupsMax   = 64
	// reservedPrefix begins the names that Kubernetes gives itself.
	reservedPrefix = "system:"
)

// CredentialRequest asks for a client certificate.
type CredentialRequest struct {
	User   string   `json:"user"`
	Groups []string `json:"groups,omitempty"`
}

// Credential is a client certificate with its key, PEM, shown only once. Serial names it
// for a Revocation.
type Credential struct {
	User   string   `json:"user"`
	Groups []string `json:"groups,omitempty"`
	Serial string   `json:"serial"`
	CA     []byte   `json:"ca"`
	Cert   []byte   `json:"cert"`
	Key    []byte   `json:"key"`
}

// ClientCert issues a client certificate for a user.
func (ca *CA) ClientCert(name string, groups []string) (certPEM, keyPEM []byte, serial string, err error) {
	template, err := certTemplate(pkix.Name{CommonName: name, Organization: groups})
	if err != nil {
		return nil, nil, "", err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
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
	c := Credential{User: ask.User, Groups: ask.Groups, CA: s.config.CA.CertPEM()}
	if c.Cert, c.Key, c.Serial, err = s.config.CA.ClientCert(ask.User, ask.Groups); err != nil {
		return apierrors.NewInternalError(err)
	}
	s.log.Info("credential issued", "user", c.User, "groups", c.Groups, "serial", c.Serial, "by", actorOf(r.Context()))
	writeJSON(w, r, http.StatusCreated, c)
	return nil
}

func (c *CredentialRequest) check() error {
	switch {
	case c.User == "" || len(c.User) > userNameMax:
		return apierrors.NewBadRequest(fmt.Sprintf("a user has a name of at most %d bytes", userNameMax))
	case strings.HasPrefix(c.User, reservedPrefix):
		return apierrors.NewBadRequest(fmt.Sprintf("user %q: names that begin with %q are Kubernetes' own", c.User, reservedPrefix))
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
