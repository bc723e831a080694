package cert

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Bounds of a token.
const (
	TokenBytesMax   = 4 << 10 // its text form
	TokenIDBytesMax = 16
	TokenAddrsMax   = 16

	tokenPrefix   = "holon"
	tokenVersion  = "1"
	tokenHead     = 2 // bytes that hold the length of the body
	tokenChecksum = 4 // bytes
)

// Errors of ParseToken.
var (
	ErrTokenNone      = errors.New("this is not a join token: it has to start with \"holon1.\"; print one with `holon token create` on a member")
	ErrTokenVersion   = errors.New("join token is of another version: print a new one with `holon token create` on a member of the same holon version, or upgrade this node")
	ErrTokenTruncated = errors.New("join token is cut off: copy the whole line")
	ErrTokenGarbled   = errors.New("join token is garbled: a character was changed on the way, copy it again")
)

// Token lets one newcomer in. Its holder can prove itself to the cluster (Secret)
// and recognise the cluster (KeyHash) before it says anything.
type Token struct {
	Cluster string   // cluster ID
	KeyHash [32]byte // KeyHash of the cluster's public key
	ID      string   // names the token's record; short
	Secret  [32]byte
	Addrs   []string // multiaddrs of open doors, /p2p/<id> at their end; may be stale
}

type tokenBody struct {
	_       struct{} `cbor:",toarray"`
	Cluster string
	KeyHash [32]byte
	ID      string
	Secret  [32]byte
	Addrs   []string
}

// KeyHash is what a token says about the cluster's public key.
func KeyHash(clusterKey ed25519.PublicKey) [32]byte { return sha256.Sum256(clusterKey) }

// SecretHash is the form in which a token's secret is stored.
func SecretHash(secret [32]byte) [32]byte {
	return sha256.Sum256(append([]byte("holon token"), secret[:]...))
}

// SecretMatches compares a secret with its stored form in constant time.
func SecretMatches(secret [32]byte, stored [32]byte) bool {
	h := SecretHash(secret)
	return subtle.ConstantTimeCompare(h[:], stored[:]) == 1
}

// String is one line to copy: holon1.<base64url of length, body, checksum>.
func (t Token) String() string {
	body := mustEncode(tokenBody{Cluster: t.Cluster, KeyHash: t.KeyHash, ID: t.ID, Secret: t.Secret, Addrs: t.Addrs})
	b := binary.BigEndian.AppendUint16(nil, uint16(len(body)))
	b = append(b, body...)
	sum := tokenSum(b)
	return tokenPrefix + tokenVersion + "." + base64.RawURLEncoding.EncodeToString(append(b, sum[:]...))
}

func tokenSum(b []byte) (sum [tokenChecksum]byte) {
	h := sha256.Sum256(append([]byte("holon token checksum"), b...))
	copy(sum[:], h[:])
	return sum
}

// ParseToken reads a token as a person pasted it: white space and line breaks
// inside it do no harm. It fails with one of the ErrToken errors.
func ParseToken(s string) (Token, error) {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
	rest, ok := strings.CutPrefix(s, tokenPrefix)
	version, text, dot := strings.Cut(rest, ".")
	switch {
	case !ok || len(version) > 3 || strings.Trim(version, "0123456789") != "":
		return Token{}, ErrTokenNone
	case !dot:
		return Token{}, ErrTokenTruncated
	case version != tokenVersion:
		return Token{}, fmt.Errorf("%w (found version %q, want %q)", ErrTokenVersion, version, tokenVersion)
	case len(s) > TokenBytesMax:
		return Token{}, ErrTokenGarbled
	}
	body, err := openToken(text)
	if err != nil {
		return Token{}, err
	}
	var b tokenBody
	if err := decodeBounded(body, &b, TokenBytesMax); err != nil {
		return Token{}, fmt.Errorf("%w (%w)", ErrTokenGarbled, err)
	}
	if !ValidClusterID(b.Cluster) || b.ID == "" || len(b.ID) > TokenIDBytesMax || len(b.Addrs) > TokenAddrsMax {
		return Token{}, ErrTokenGarbled
	}
	return Token{Cluster: b.Cluster, KeyHash: b.KeyHash, ID: b.ID, Secret: b.Secret, Addrs: b.Addrs}, nil
}

// openToken checks length and checksum. A text that ends early may end inside a
// base64 group, so the whole groups are decoded before the text is judged.
func openToken(text string) ([]byte, error) {
	if strings.ContainsFunc(text, func(r rune) bool { return !isBase64URL(r) }) {
		return nil, ErrTokenGarbled
	}
	whole := text
	if len(text)%4 == 1 { // no encoding has this length
		whole = text[:len(text)-1]
	}
	b, err := base64.RawURLEncoding.DecodeString(whole)
	if err != nil {
		return nil, ErrTokenGarbled
	}
	if len(b) < tokenHead {
		return nil, ErrTokenTruncated
	}
	want := tokenHead + int(binary.BigEndian.Uint16(b)) + tokenChecksum
	if want <= TokenBytesMax && len(b) < want {
		return nil, ErrTokenTruncated
	}
	if len(b) != want || whole != text {
		return nil, ErrTokenGarbled
	}
	sum := tokenSum(b[:want-tokenChecksum])
	if !bytes.Equal(sum[:], b[want-tokenChecksum:]) || base64.RawURLEncoding.EncodeToString(b) != text {
		return nil, ErrTokenGarbled
	}
	return b[tokenHead : want-tokenChecksum], nil
}

func isBase64URL(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}
