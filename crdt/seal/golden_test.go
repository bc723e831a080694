package seal

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"testing"

	"holon/crdt"
	"holon/testnet/golden"
)

func TestGoldenFormats(t *testing.T) {
	k, at := Key{1, 2, 3}, Place{Key: "secrets/default/db", UID: crdt.UID{4, 5}, Path: "/data/password"}
	own := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	golden.Check(t, golden.Format{
		Name: "sealed.v1",
		Make: func(*testing.T) []byte { return Seal(k, at, []byte("correct horse")) },
		Read: func(b []byte) (string, error) {
			value, err := Open(b, at, ring(k))
			return fmt.Sprintf("under data key %s at %s of %s: %q", k.ID(), at.Path, at.Key, value), err
		},
		Again: func(b []byte) ([]byte, error) {
			value, err := Open(b, at, ring(k))
			return Seal(k, at, value), err
		},
	})
	golden.Check(t, golden.Format{
		Name: "wrappedkey.v1",
		Make: func(t *testing.T) []byte {
			b, err := Wrap(k, own.Public().(ed25519.PublicKey), bytes.Repeat([]byte{3}, 32))
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
		Read: func(b []byte) (string, error) {
			got, err := Unwrap(b, k.ID(), own)
			return fmt.Sprintf("%s, wrapped for %x", got, own.Public()), err
		},
	})
}
