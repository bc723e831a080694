package seal

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// WrapVersion is the first byte of a wrapped data key:
//
//	1  version
//	32 X25519 public key made for this wrap alone
//	48 ChaCha20-Poly1305 of the data key under HKDF-SHA256 of the shared secret
//
// The recipient's X25519 key is its identity key in its other form (RFC 7748
// section 4.1), so that the certificate that proves the one proves the other.
const WrapVersion = 1

const (
	wrapHead = 1 + 32
	wrapSize = wrapHead + KeySize + chacha20poly1305.Overhead
)

// ErrWrap says that a wrapped data key does not open for this member.
var ErrWrap = errors.New("wrapped data key does not open: it was made for another member or key, or is damaged")

// Wrap makes a data key readable to the owner of an ed25519 identity alone.
// Random is 32 bytes of a secure source, for this call alone. It fails if the
// recipient's key is not a point of the curve.
func Wrap(k Key, to ed25519.PublicKey, random []byte) ([]byte, error) {
	point, err := montgomery(to)
	if err != nil {
		return nil, err
	}
	once, err := ecdh.X25519().NewPrivateKey(random)
	if err != nil {
		return nil, err
	}
	out := append([]byte{WrapVersion}, once.PublicKey().Bytes()...)
	key, err := wrapKey(once, point, out, point.Bytes(), k.ID())
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return nil, err
	}
	// The key is used once, so its nonce may be zero.
	return aead.Seal(out, make([]byte, aead.NonceSize()), k[:], out), nil
}

// Unwrap reads a data key with the private half of the identity that it was
// wrapped for, and checks that it is the key called id. It fails with ErrWrap.
func Unwrap(wrapped []byte, id ID, own ed25519.PrivateKey) (Key, error) {
	var k Key
	switch {
	case len(own) != ed25519.PrivateKeySize:
		return k, fmt.Errorf("%w: this is not an identity key", ErrWrap)
	case len(wrapped) != wrapSize || wrapped[0] != WrapVersion:
		return k, fmt.Errorf("%w: it is not a wrap of version %d", ErrWrap, WrapVersion)
	}
	digest := sha512.Sum512(own.Seed())
	scalar, err := ecdh.X25519().NewPrivateKey(digest[:32]) // clamped by X25519 itself
	if err != nil {
		return k, err
	}
	once, err := ecdh.X25519().NewPublicKey(wrapped[1:wrapHead])
	if err != nil {
		return k, fmt.Errorf("%w: %w", ErrWrap, err)
	}
	key, err := wrapKey(scalar, once, wrapped[:wrapHead], scalar.PublicKey().Bytes(), id)
	if err != nil {
		return k, fmt.Errorf("%w: %w", ErrWrap, err)
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return k, err
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), wrapped[wrapHead:], wrapped[:wrapHead])
	if err != nil {
		return k, ErrWrap
	}
	copy(k[:], plain)
	if k.ID() != id {
		return Key{}, ErrWrap
	}
	return k, nil
}

// wrapKey derives the key of one wrap from the shared secret, both public keys
// and the data key's ID.
func wrapKey(private *ecdh.PrivateKey, public *ecdh.PublicKey, head, recipient []byte, id ID) ([]byte, error) {
	shared, err := private.ECDH(public)
	if err != nil {
		return nil, err // a point of small order
	}
	salt := append(append(append([]byte(nil), head...), recipient...), id[:]...)
	return hkdf.Key(sha256.New, shared, salt, "holon data key wrap v1", chacha20poly1305.KeySize)
}

// fieldPrime is 2^255 - 19.
var fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))

// montgomery is the X25519 form of an ed25519 public key: u = (1 + y) / (1 - y),
// RFC 7748 section 4.1. Nothing here is secret, so it need not take constant time.
func montgomery(public ed25519.PublicKey) (*ecdh.PublicKey, error) {
	if len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("identity key of the recipient has %d bytes, not %d", len(public), ed25519.PublicKeySize)
	}
	y := slices.Clone(public)
	slices.Reverse(y)
	y[0] &= 0x7f // the sign of x
	one, v := big.NewInt(1), new(big.Int).SetBytes(y)
	below := new(big.Int).Sub(one, v)
	below.Mod(below, fieldPrime)
	if below.Sign() == 0 {
		return nil, errors.New("identity key of the recipient is the neutral element, which is nobody's")
	}
	u := new(big.Int).Add(one, v)
	u.Mul(u, below.ModInverse(below, fieldPrime)).Mod(u, fieldPrime)
	out := u.FillBytes(make([]byte, 32))
	slices.Reverse(out)
	return ecdh.X25519().NewPublicKey(out)
}
