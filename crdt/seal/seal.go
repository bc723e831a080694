package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"holon/crdt"
)

// Version is the first byte of a sealed value:
//
//	1  version
//	8  ID of the data key
//	24 nonce: HMAC-SHA256 of place and value, cut
//	n  XChaCha20-Poly1305 of the value, with its tag of 16 bytes
//
// The nonce is synthetic, as in SIV (RFC 5297): it repeats only where place and
// value repeat, so no source of randomness is needed and none can fail. With 24
// bytes two values do not meet in one nonce by chance.
const Version = 1

const (
	headSize = 1 + len(ID{}) + chacha20poly1305.NonceSizeX
	// Overhead is by how much a sealed value is longer than what it holds.
	Overhead = headSize + chacha20poly1305.Overhead
)

// Place is where a value belongs.
type Place struct {
	Key  string // of the record: resource/namespace/name
	UID  crdt.UID
	Path string // of the register
}

// bind is the place as associated data: parts with their lengths, so that no two
// places read alike.
func (p Place) bind() []byte {
	b := []byte{Version}
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.Key)))
	b = append(b, p.Key...)
	b = append(b, p.UID[:]...)
	return append(b, p.Path...)
}

// Why a value does not open.
var (
	ErrMalformed = errors.New("not a sealed value")
	ErrTampered  = errors.New("sealed value does not open here: it was damaged, or moved from another object or field")
)

// LockedError says that a value was sealed with a key that is not at hand.
type LockedError struct{ Key ID }

func (e *LockedError) Error() string {
	return fmt.Sprintf("sealed with data key %s, which this node does not have", e.Key)
}

// Seal makes a value unreadable. It cannot fail.
func Seal(k Key, at Place, value []byte) []byte {
	place := at.bind()
	id, nonce := k.ID(), k.nonce(place, value)
	out := make([]byte, 0, Overhead+len(value))
	out = append(out, Version)
	out = append(out, id[:]...)
	out = append(out, nonce...)
	return k.cipher().Seal(out, nonce, value, place)
}

// Open reads a sealed value; find gives a data key by its ID. It fails with
// ErrMalformed, ErrTampered or *LockedError.
func Open(sealed []byte, at Place, find func(ID) (Key, bool)) ([]byte, error) {
	id, err := KeyOf(sealed)
	if err != nil {
		return nil, err
	}
	k, ok := find(id)
	if !ok {
		return nil, &LockedError{Key: id}
	}
	place := at.bind()
	nonce := sealed[1+len(id) : headSize]
	value, err := k.cipher().Open(nil, nonce, sealed[headSize:], place)
	if err != nil || k.ID() != id || !hmac.Equal(nonce, k.nonce(place, value)) {
		return nil, ErrTampered
	}
	return value, nil
}

// KeyOf tells which key a value is sealed with. It fails with ErrMalformed on
// what is not a sealed value of this version.
func KeyOf(sealed []byte) (ID, error) {
	var id ID
	switch {
	case len(sealed) < Overhead:
		return id, fmt.Errorf("%w: it has %d bytes", ErrMalformed, len(sealed))
	case sealed[0] != Version:
		return id, fmt.Errorf("%w of version %d, but of version %d: upgrade this node if others are newer", ErrMalformed, Version, sealed[0])
	}
	copy(id[:], sealed[1:])
	return id, nil
}

func (k Key) nonce(place, value []byte) []byte {
	mac := hmac.New(sha256.New, k.derive("nonce", sha256.Size))
	_ = binary.Write(mac, binary.BigEndian, uint64(len(place))) // a hash takes all
	mac.Write(place)
	mac.Write(value)
	return mac.Sum(nil)[:chacha20poly1305.NonceSizeX]
}

func (k Key) cipher() interface {
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
} {
	aead, err := chacha20poly1305.NewX(k.derive("cipher", chacha20poly1305.KeySize))
	if err != nil {
		panic(fmt.Sprintf("seal: %v", err)) // the key has the right length
	}
	return aead
}
