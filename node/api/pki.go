package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"

	"holon/node/api/rbac"
)

// Nodes may have any clock, so certificates are valid whatever it says, unless somebody
// asked for an end; that is judged by cluster time.
var (
	notBefore = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// The user that every node's owner is.
const (
	AdminUser  = "holon-admin"
	AdminGroup = rbac.MastersGroup
)

// serialBits is the length of random serial numbers (RFC 5280 allows 20 octets).
const serialBits = 127

// CA is the cluster's certificate authority for the API. It has nothing to do
// with the identities of the mesh.
type CA struct {
	cert        *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
	tokenHeader string
}

// NewCA makes the authority of a new cluster.
func NewCA(cluster string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key of the API's CA: %w", err)
	}
	template, err := certTemplate(pkix.Name{CommonName: "holon " + cluster})
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	template.MaxPathLenZero = true
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("certificate of the API's CA: %w", err)
	}
	return newCA(der, key)
}

// LoadCA reads what PEM wrote.
func LoadCA(certPEM, keyPEM []byte) (*CA, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("the API's CA cannot be read: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the API's CA cannot be read: its key is not ECDSA")
	}
	return newCA(pair.Certificate[0], key)
}

func newCA(der []byte, key *ecdsa.PrivateKey) (*CA, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("the API's CA cannot be read: %w", err)
	}
	if !cert.IsCA {
		return nil, errors.New("the API's CA cannot be read: the certificate is not an authority's")
	}
	if key.Curve != elliptic.P256() {
		return nil, errors.New("the API's CA cannot be read: its key is not of the curve P-256")
	}
	header, err := tokenHeader(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	ca := &CA{cert: cert, key: key, pool: x509.NewCertPool(), tokenHeader: header}
	ca.pool.AddCert(cert)
	return ca, nil
}

// PEM is the certificate and its private key; the key is the cluster's secret.
func (ca *CA) PEM() (certPEM, keyPEM []byte, err error) {
	keyPEM, err = encodeKey(ca.key)
	return ca.CertPEM(), keyPEM, err
}

// CertPEM is the certificate that clients trust.
func (ca *CA) CertPEM() []byte { return encodeCert(ca.cert.Raw) }

// AdminCert issues a client certificate with all rights.
func (ca *CA) AdminCert() (certPEM, keyPEM []byte, err error) {
	certPEM, keyPEM, _, err = ca.ClientCert(AdminUser, []string{AdminGroup})
	return certPEM, keyPEM, err
}

// servingCert issues a certificate for the names and addresses of a node.
func (ca *CA) servingCert(hosts []string) (*tls.Certificate, error) {
	template, err := certTemplate(pkix.Name{CommonName: "holon node"})
	if err != nil {
		return nil, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, key, err := ca.issue(template)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key}, nil
}

func (ca *CA) issue(template *x509.Certificate) (der []byte, key *ecdsa.PrivateKey, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err == nil {
		template.KeyUsage = x509.KeyUsageDigitalSignature
		der, err = x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("certificate for %s: %w", template.Subject.CommonName, err)
	}
	return der, key, nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("serial number: %w", err)
	}
	return serial, nil
}

func certTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{SerialNumber: serial, Subject: subject, NotBefore: notBefore, NotAfter: notAfter}, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// hostList is where this node may be called, with the certificate that says so.
type hostList struct {
	names []string // lower case; addresses in canonical form
	cert  *tls.Certificate
}

// loopback are the names that every node answers to.
var loopback = []string{"localhost", "127.0.0.1", "::1"}

// SetHosts replaces the names and addresses under which this node may be called
// and issues a certificate for them, used from the next connection on.
func (s *Server) SetHosts(hosts []string) error {
	list := &hostList{}
	for _, h := range hosts {
		h = strings.ToLower(h)
		if ip := net.ParseIP(h); ip != nil {
			h = ip.String()
		}
		if h != "" && !slices.Contains(list.names, h) {
			list.names = append(list.names, h)
		}
	}
	if old := s.hosts.Load(); old != nil && slices.Equal(old.names, list.names) {
		return nil
	}
	if s.config.CA != nil {
		cert, err := s.config.CA.servingCert(slices.Concat(list.names, loopback))
		if err != nil {
			return err
		}
		list.cert = cert
	}
	s.hosts.Store(list)
	return nil
}
