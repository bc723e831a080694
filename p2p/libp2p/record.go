package libp2p

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Bounds of address records.
const (
	recordAddrsMax  = 16
	recordAddrBytes = 160
	recordsMax      = 4096 // kept, and in one message
	recordsBytesMax = messageBytesMax - 1

	recordPrefix = "holon address record\x00"
)

// addrRecord is where a peer can be reached, in its own words. Of two records
// the one with the higher (Boot, Seq) is newer: no clock is asked, because a
// node that reboots with a wrong clock still has to announce its new address.
type addrRecord struct {
	_     struct{} `cbor:",toarray"`
	Peer  string   // text form of the peer ID
	Boot  uint64   // rises with each start of the node
	Seq   uint64   // rises with each change within a boot
	Addrs []string // multiaddrs without /p2p
	Sig   []byte
}

func (r addrRecord) newerThan(o addrRecord) bool {
	return r.Boot > o.Boot || r.Boot == o.Boot && r.Seq > o.Seq
}

var (
	recordEnc = must(cbor.CoreDetEncOptions().EncMode())
	recordDec = must(cbor.DecOptions{
		IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		MaxArrayElements: recordsMax, MaxMapPairs: 16, MaxNestedLevels: 4,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// signed is what the signature covers. The cluster is part of it, so a record
// of another cluster means nothing here.
func (r addrRecord) signed(cluster string) ([]byte, error) {
	r.Sig = nil
	b, err := recordEnc.Marshal(r)
	return append([]byte(recordPrefix+cluster+"\x00"), b...), err
}

func (r *addrRecord) sign(cluster string, key ed25519.PrivateKey) error {
	b, err := r.signed(cluster)
	if err != nil {
		return err
	}
	r.Sig = ed25519.Sign(key, b)
	return nil
}

// verify checks form and signature, and returns the peer.
func (r addrRecord) verify(cluster string) (peer.ID, error) {
	if len(r.Addrs) > recordAddrsMax {
		return "", fmt.Errorf("address record of %s has %d addresses", r.Peer, len(r.Addrs))
	}
	for _, a := range r.Addrs {
		if len(a) > recordAddrBytes {
			return "", fmt.Errorf("address record of %s has an address of %d bytes", r.Peer, len(a))
		}
	}
	id, err := peer.Decode(r.Peer)
	if err != nil {
		return "", fmt.Errorf("address record: %w", err)
	}
	key, err := publicKey(id)
	if err != nil {
		return "", fmt.Errorf("address record of %s: %w", r.Peer, err)
	}
	b, err := r.signed(cluster)
	if err != nil {
		return "", err
	}
	if !ed25519.Verify(key, b, r.Sig) {
		return "", fmt.Errorf("address record of %s: signature does not match", r.Peer)
	}
	return id, nil
}

// publicKey takes the ed25519 key out of a peer ID, which holds it whole.
func publicKey(id peer.ID) (ed25519.PublicKey, error) {
	key, err := id.ExtractPublicKey()
	if err != nil {
		return nil, err
	}
	if key.Type() != crypto.Ed25519 {
		return nil, errors.New("key is not ed25519")
	}
	return key.Raw()
}

func encodeRecords(rs []addrRecord) ([]byte, error) { return recordEnc.Marshal(rs) }

func decodeRecords(b []byte) ([]addrRecord, error) {
	var rs []addrRecord
	if len(b) > recordsBytesMax {
		return nil, fmt.Errorf("%w: %d bytes of address records", errMessage, len(b))
	}
	if err := recordDec.Unmarshal(b, &rs); err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	return rs, nil
}

// parseAddrs keeps what can be parsed, /p2p cut off; at most recordAddrsMax.
func parseAddrs(addrs []string) []ma.Multiaddr {
	var out []ma.Multiaddr
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil || len(out) == recordAddrsMax {
			continue
		}
		if a, _ = peer.SplitAddr(a); a != nil {
			out = append(out, a)
		}
	}
	return out
}
