package api

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
)

// tokenBytesMax bounds a token that is looked at; one with groupsMax groups has room.
const tokenBytesMax = 32 << 10

// apiAudience is the issuer of all tokens, and whom those are for that name nobody else:
// any node's API.
const apiAudience = "https://kubernetes.default.svc"

// claims are what a token says (RFC 7519), of a user, or of a ServiceAccount as Kubernetes
// writes it. Who signs them is a member, so they are believed.
type claims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience []string `json:"aud"`
	IssuedAt int64    `json:"iat,omitempty"`
	Expires  int64    `json:"exp,omitempty"` // 0: never
	Serial   string   `json:"jti"`           // as of a certificate, see Revocation
	Groups   []string `json:"groups,omitempty"`
	Account  *Bound   `json:"kubernetes.io,omitempty"`
}

// Bound are the objects that a ServiceAccount's token is bound to: it is good as long as they
// are there.
type Bound struct {
	Namespace string     `json:"namespace"`
	Account   BoundName  `json:"serviceaccount"`
	Pod       *BoundName `json:"pod,omitempty"`
}

func (b *Bound) accountKey() Key { return Key{ServiceAccounts, b.Namespace, b.Account.Name} }
func (b *Bound) podKey() Key     { return Key{Pods, b.Namespace, b.Pod.Name} }

// BoundName is one object and no other of that name.
type BoundName struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

var errNotOurs = errors.New("the bearer token is none of this cluster")

// encoding is that of JWS (RFC 7515), with one text for each value.
var encoding = base64.RawURLEncoding.Strict()

// tokenHeader is the first part of every token of this cluster. There is one algorithm and
// one key, so it is compared and never read: nobody is told by a token how to judge it.
func tokenHeader(key *ecdsa.PublicKey) (string, error) {
	point, err := key.Bytes()
	if err != nil {
		return "", fmt.Errorf("the API's CA has no key for tokens: %w", err)
	}
	sum := sha256.Sum256(point)
	return encoding.EncodeToString([]byte(`{"alg":"ES256","kid":"` + hex.EncodeToString(sum[:8]) + `","typ":"JWT"}`)), nil
}

// sign makes a token. What certificates sign begins otherwise (with a DER sequence), so no
// token is the signature of one, nor the other way.
func (ca *CA) sign(c *claims) (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	text := ca.tokenHeader + "." + encoding.EncodeToString(body)
	if len(text) > tokenBytesMax-128 {
		return "", fmt.Errorf("%w: the names of these groups are too long for a token, take a certificate", ErrInvalid)
	}
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, ca.key, sum[:])
	if err != nil {
		return "", fmt.Errorf("token for %s: %w", c.Subject, err)
	}
	signature := make([]byte, 2*tokenNumber)
	r.FillBytes(signature[:tokenNumber])
	s.FillBytes(signature[tokenNumber:])
	return text + "." + encoding.EncodeToString(signature), nil
}

// tokenNumber is the length of each of the two numbers of a signature (RFC 7518, 3.4).
const tokenNumber = 32

// open gives the claims of a token that somebody with the CA's key has signed. Nothing in
// a token is looked at before its signature, but for its length.
func (ca *CA) open(token string) (*claims, error) {
	if len(token) > tokenBytesMax || strings.ContainsAny(token, "\r\n") { // which base64 passes over
		return nil, errNotOurs
	}
	text, signature, ok := cutLast(token, ".")
	body, ours := strings.CutPrefix(text, ca.tokenHeader+".")
	if !ok || !ours {
		return nil, errNotOurs
	}
	numbers, err := encoding.DecodeString(signature)
	if err != nil || len(numbers) != 2*tokenNumber {
		return nil, errNotOurs
	}
	r, s := new(big.Int).SetBytes(numbers[:tokenNumber]), new(big.Int).SetBytes(numbers[tokenNumber:])
	if sum := sha256.Sum256([]byte(text)); !ecdsa.Verify(&ca.key.PublicKey, sum[:], r, s) {
		return nil, errNotOurs
	}
	return readClaims(body)
}

// readClaims reads what is signed. A claim that is not known may bound the others, so it is
// refused.
func readClaims(body string) (*claims, error) {
	data, err := encoding.DecodeString(body)
	if err != nil {
		return nil, errNotOurs
	}
	c := &claims{}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(c); err != nil {
		return nil, fmt.Errorf("the bearer token says what this version of holon does not know: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF || c.Issuer != apiAudience || c.Subject == "" || c.Serial == "" {
		return nil, errNotOurs
	}
	return c, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
