// Package cert holds what makes a peer a member: certificates that lead to the
// cluster key, the tokens that let a newcomer ask for one, and the messages of
// the join protocol.
//
// Everything here is a value or a pure function. Randomness (serials, secrets)
// is an argument; there is no expiry, because no wall clock may decide who is a
// member: membership ends by eviction, which is a record of the cluster.
//
// # Certificates
//
// The cluster key signs members of depth 1. A member whose certificate says
// Introducer signs further ones, to MaxDepth. A Chain starts at the leaf and
// ends at the certificate that the cluster key signed.
package cert

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"

	"holon/p2p"
)

// Bounds of certificates.
const (
	Version       = 1       // of certificates and of every message of this package
	MaxDepth      = 3       // certificates between a member and the cluster key, its own included
	NameBytesMax  = 63      // a node name is a DNS label (RFC 1123)
	ChainBytesMax = 4 << 10 // an encoded chain
	SerialSize    = 16      // bytes
	ClusterIDSize = 16      // bytes; the text form is twice as long, in hex
	signedPrefix  = "holon member certificate\x00"
)

// Errors of Issue and Verify. Each says what to do next.
var (
	ErrTooDeep       = errors.New("this member is too far from the cluster key to introduce others: ask a node nearer the cluster key, such as the one that made the cluster")
	ErrNotIntroducer = errors.New("this member may not introduce others: ask a node nearer the cluster key, one that was not started with --no-introduce")
	ErrBadChain      = errors.New("certificate chain does not lead to the cluster key")
)

// Certificate says that a peer is a member of a cluster. It is signed by the
// cluster key (Depth 1) or by an introducer one step nearer to it.
type Certificate struct {
	_          struct{} `cbor:",toarray"`
	Version    int
	Cluster    string     // cluster ID, 32 hex digits
	Peer       p2p.PeerID // derived from PublicKey; Verify checks that
	Name       string     // node name, a DNS label
	Introducer bool       // may sign certificates of Depth+1
	Depth      int        // 1..MaxDepth
	Serial     [SerialSize]byte
	Issuer     []byte // ed25519 public key
	PublicKey  []byte // ed25519 public key of the member
	Signature  []byte
}

// Chain leads from a member to the cluster key: leaf first, at most MaxDepth long.
type Chain []Certificate

// Request says whom to certify.
type Request struct {
	Cluster    string
	Name       string
	PublicKey  ed25519.PublicKey
	Introducer bool
	Serial     [SerialSize]byte // random; names the certificate for ever
}

// Issue signs a certificate. With an empty issuerChain the issuer is the cluster
// key itself; otherwise issuerKey is the key of the chain's leaf. It fails with
// ErrTooDeep or ErrNotIntroducer when the issuer may not sign.
func Issue(issuerKey ed25519.PrivateKey, issuerChain Chain, req Request) (Chain, error) {
	if len(issuerKey) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("issuer key has %d bytes, want %d", len(issuerKey), ed25519.PrivateKeySize)
	}
	issuer := issuerKey.Public().(ed25519.PublicKey)
	depth := 1
	if len(issuerChain) > 0 {
		leaf := issuerChain[0]
		depth = leaf.Depth + 1
		switch {
		case !issuer.Equal(ed25519.PublicKey(leaf.PublicKey)):
			return nil, errors.New("issuer key is not the key of the issuer's certificate")
		case leaf.Cluster != req.Cluster:
			return nil, fmt.Errorf("issuer belongs to cluster %s, the request to %s", leaf.Cluster, req.Cluster)
		case depth > MaxDepth || depth != len(issuerChain)+1:
			return nil, ErrTooDeep
		case !leaf.Introducer:
			return nil, ErrNotIntroducer
		}
	}
	c := Certificate{
		Version: Version, Cluster: req.Cluster, Peer: PeerIDOf(req.PublicKey), Name: req.Name,
		Introducer: req.Introducer, Depth: depth, Serial: req.Serial,
		Issuer: bytes.Clone(issuer), PublicKey: bytes.Clone(req.PublicKey),
	}
	if err := c.checkForm(); err != nil {
		return nil, err
	}
	c.Signature = ed25519.Sign(issuerKey, c.signed())
	return append(Chain{c}, issuerChain...), nil
}

// Verify checks every link from the leaf to clusterKey. The caller still has to
// compare the leaf's Peer with the peer it talks to, or use VerifyPeer.
func (c Chain) Verify(cluster string, clusterKey ed25519.PublicKey) error {
	if len(c) == 0 || len(c) > MaxDepth {
		return fmt.Errorf("%w: it has %d certificates, want 1 to %d", ErrBadChain, len(c), MaxDepth)
	}
	for i := range c {
		if err := c.verifyLink(i, cluster, clusterKey); err != nil {
			return fmt.Errorf("%w: certificate of %q: %w", ErrBadChain, c[i].Name, err)
		}
	}
	return nil
}

// VerifyPeer is Verify for a chain that must belong to peer.
func (c Chain) VerifyPeer(cluster string, clusterKey ed25519.PublicKey, peer p2p.PeerID) error {
	if err := c.Verify(cluster, clusterKey); err != nil {
		return err
	}
	if c[0].Peer != peer {
		return fmt.Errorf("%w: it belongs to %s, not to %s", ErrBadChain, c[0].Peer, peer)
	}
	return nil
}

func (c Chain) verifyLink(i int, cluster string, clusterKey ed25519.PublicKey) error {
	cc := c[i]
	if err := cc.checkForm(); err != nil {
		return err
	}
	issuer := clusterKey
	if i+1 < len(c) {
		issuer = c[i+1].PublicKey
	}
	switch {
	case cc.Cluster != cluster:
		return fmt.Errorf("it is of cluster %s, not %s", cc.Cluster, cluster)
	case cc.Depth != len(c)-i:
		return fmt.Errorf("depth is %d, but it stands at %d", cc.Depth, len(c)-i)
	case i+1 < len(c) && !c[i+1].Introducer:
		return fmt.Errorf("its issuer %q is no introducer", c[i+1].Name)
	case len(issuer) != ed25519.PublicKeySize || !bytes.Equal(cc.Issuer, issuer):
		return errors.New("it names another issuer")
	case !ed25519.Verify(issuer, cc.signed(), cc.Signature):
		return errors.New("signature does not match")
	}
	return nil
}

// checkForm checks what holds for a certificate by itself, signature aside.
func (c Certificate) checkForm() error {
	switch {
	case c.Version != Version:
		return fmt.Errorf("certificate version %d is unknown here: upgrade this node", c.Version)
	case !ValidClusterID(c.Cluster):
		return fmt.Errorf("cluster ID %q is not %d hex digits", c.Cluster, 2*ClusterIDSize)
	case !ValidName(c.Name):
		return fmt.Errorf("node name %q is not a DNS label (a-z, 0-9, '-', at most %d)", c.Name, NameBytesMax)
	case c.Depth < 1 || c.Depth > MaxDepth:
		return fmt.Errorf("depth %d is not 1 to %d", c.Depth, MaxDepth)
	case len(c.PublicKey) != ed25519.PublicKeySize || len(c.Issuer) != ed25519.PublicKeySize:
		return errors.New("public key is not an ed25519 key")
	case c.Peer != PeerIDOf(c.PublicKey):
		return errors.New("peer ID does not belong to the public key")
	}
	return nil
}

// signed is what the signature covers: every field but itself.
func (c Certificate) signed() []byte {
	c.Signature = nil
	return append([]byte(signedPrefix), mustEncode(c)...)
}

// ValidClusterID reports whether s has the form of a cluster ID.
func ValidClusterID(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == ClusterIDSize && hex.EncodeToString(b) == s
}

// ValidName reports whether s can name a node: a DNS label of RFC 1123.
func ValidName(s string) bool {
	if s == "" || len(s) > NameBytesMax || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-') {
			return false
		}
	}
	return true
}

// Encode returns the wire form, at most ChainBytesMax long.
func (c Chain) Encode() ([]byte, error) { return encodeBounded(c, ChainBytesMax) }

// DecodeChain reads the wire form. It does not verify.
func DecodeChain(b []byte) (Chain, error) {
	var c Chain
	if err := decodeBounded(b, &c, ChainBytesMax); err != nil {
		return nil, fmt.Errorf("certificate chain: %w", err)
	}
	return c, nil
}
