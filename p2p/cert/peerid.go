package cert

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"

	"holon/p2p"
)

// publicKeyHeader makes an identity multihash of the libp2p protobuf form of an
// ed25519 public key: 0x00 identity, 36 bytes; field 1 = Ed25519 (1), field 2 =
// 32 bytes. See the libp2p peer ID specification.
var publicKeyHeader = []byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}

// PeerIDOf is the libp2p peer ID of an ed25519 key, in its text form
// (base58btc, "12D3Koo..."). It is empty for a key of the wrong length.
func PeerIDOf(key ed25519.PublicKey) p2p.PeerID {
	if len(key) != ed25519.PublicKeySize {
		return ""
	}
	return p2p.PeerID(base58(slices.Concat(publicKeyHeader, key)))
}

// PublicKeyOf is the inverse of PeerIDOf: the ID of an ed25519 key holds the key.
func PublicKeyOf(peer p2p.PeerID) (ed25519.PublicKey, error) {
	b, ok := unbase58(string(peer), len(publicKeyHeader)+ed25519.PublicKeySize)
	key, header := bytes.CutPrefix(b, publicKeyHeader)
	if !ok || !header || PeerIDOf(key) != peer {
		return nil, fmt.Errorf("peer ID %.80q is not that of an ed25519 key", string(peer))
	}
	return key, nil
}

// unbase58 reads the base58 form of size bytes.
func unbase58(text string, size int) ([]byte, bool) {
	if len(text) > 2*size {
		return nil, false
	}
	out := make([]byte, size)
	for i := range len(text) {
		carry := strings.IndexByte(base58Digits, text[i])
		if carry < 0 {
			return nil, false
		}
		for j := size - 1; j >= 0; j-- {
			carry += 58 * int(out[j])
			out[j] = byte(carry)
			carry >>= 8
		}
		if carry > 0 {
			return nil, false
		}
	}
	return out, true
}

const base58Digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// base58 is the Bitcoin alphabet: a big-endian number in base 58, with one "1"
// for each leading zero byte.
func base58(b []byte) string {
	zeros := 0
	for zeros < len(b) && b[zeros] == 0 {
		zeros++
	}
	var digits []byte // little-endian
	for _, v := range b[zeros:] {
		carry := int(v)
		for i := range digits {
			carry += int(digits[i]) << 8
			digits[i] = byte(carry % 58)
			carry /= 58
		}
		for ; carry > 0; carry /= 58 {
			digits = append(digits, byte(carry%58))
		}
	}
	out := make([]byte, 0, zeros+len(digits))
	for range zeros {
		out = append(out, '1')
	}
	for _, d := range slices.Backward(digits) {
		out = append(out, base58Digits[d])
	}
	return string(out)
}
