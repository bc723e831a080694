package cert

import (
	"crypto/ed25519"
	"slices"

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
