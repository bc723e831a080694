package seal

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// KeySize is the length of a data key in bytes.
const KeySize = 32

// ID names a data key and says nothing else about it.
type ID [8]byte

// String is the ID as 16 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String wrote.
func ParseID(text string) (ID, error) {
	var id ID
	if len(text) != 2*len(id) {
		return id, fmt.Errorf("data key ID %.40q is not %d hexadecimal digits", text, 2*len(id))
	}
	if _, err := hex.Decode(id[:], []byte(text)); err != nil {
		return id, fmt.Errorf("data key ID %q: %w", text, err)
	}
	if id.String() != text {
		return id, fmt.Errorf("data key ID %q is not in lower case", text)
	}
	return id, nil
}

// Key is a data key. It prints as its ID, whatever the verb, so that it cannot
// get into a log by accident.
type Key [KeySize]byte

// MakeKey takes KeySize bytes from a secure random source.
func MakeKey(random []byte) (Key, error) {
	var k Key
	if len(random) != KeySize {
		return k, fmt.Errorf("a data key has %d bytes, not %d", KeySize, len(random))
	}
	copy(k[:], random)
	return k, nil
}

// ID follows from the key: nobody can give another key the same name.
func (k Key) ID() ID {
	var id ID
	copy(id[:], k.derive("id", len(id)))
	return id
}

// Format implements fmt.Formatter.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "data key %s", k.ID()) }

// MarshalText implements encoding.TextMarshaler, for loggers that write JSON:
// what keeps keys takes their bytes.
func (k Key) MarshalText() ([]byte, error) { return []byte("data key " + k.ID().String()), nil }

// derive gives independent keys for each use (HKDF-SHA256, RFC 5869).
func (k Key) derive(use string, size int) []byte {
	out, err := hkdf.Key(sha256.New, k[:], nil, "holon data key v1 "+use, size)
	if err != nil {
		panic(fmt.Sprintf("seal: %d bytes cannot be derived: %v", size, err)) // at most 255 hashes long
	}
	return out
}
