package cert

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"holon/p2p"
	"holon/testnet/golden"
)

func TestGoldenFormats(t *testing.T) {
	for _, f := range []golden.Format{
		{
			Name: "chain.v1",
			Make: func(t *testing.T) []byte { return must(issueTo(t, 2).Encode()) },
			Read: func(b []byte) (string, error) {
				c, err := DecodeChain(b)
				return said(c, errors.Join(err, c.Verify(cluster, pub(0))))
			},
		},
		{
			Name: "welcome.v1",
			Make: func(t *testing.T) []byte { return messages(t)["welcome"] },
			Read: func(b []byte) (string, error) {
				w, err := DecodeWelcome(b)
				return said(w, errors.Join(err, w.Check(token(), PeerIDOf(pub(1)))))
			},
		},
		{
			Name: "joinrequest.v1",
			Make: func(*testing.T) []byte {
				return must(JoinRequest{
					Version: Version, Cluster: cluster, TokenID: "k3x9", Secret: [32]byte{1, 2}, Name: "b", PublicKey: pub(2), Introduce: true, Agent: "holon 0.2",
				}.Encode())
			},
			Read: func(b []byte) (string, error) { return said(DecodeJoinRequest(b)) },
		},
		{
			Name: "grant.v1",
			Make: func(t *testing.T) []byte {
				return must(JoinReply{Grant: &JoinGrant{
					Version: Version, Cluster: cluster, Chain: issueTo(t, 2), ClusterKey: pub(0), CACert: []byte("cert"), CAKey: []byte("key"),
					DataKeys: [][]byte{make([]byte, 32)}, Members: []p2p.Member{{ID: PeerIDOf(pub(1)), Addrs: []string{"/ip4/127.0.0.1/tcp/1"}}},
				}}.Encode())
			},
			Read: func(b []byte) (string, error) {
				r, err := DecodeJoinReply(b)
				if err == nil {
					err = r.Grant.Check(token(), pub(2))
				}
				return said(r, err)
			},
		},
		{
			Name: "refusal.v1",
			Make: func(t *testing.T) []byte { return messages(t)["refusal"] },
			Read: func(b []byte) (string, error) {
				r, err := DecodeJoinReply(b)
				return fmt.Sprint(r.Refused), err
			},
		},
		{
			Name: "token.v1", Text: true,
			Make: func(*testing.T) []byte { return []byte(token().String() + "\n") },
			Read: func(b []byte) (string, error) { return said(ParseToken(string(b))) },
		},
	} {
		golden.Check(t, f)
	}
}

// said is a value as JSON, one fact on each line.
func said(v any, err error) (string, error) {
	text, encodeErr := json.MarshalIndent(v, "", " ")
	return string(text), errors.Join(err, encodeErr)
}

// FuzzPublicKeyOf: an ID gives its key or an error, and no other ID gives it.
func FuzzPublicKeyOf(f *testing.F) {
	f.Add(string(PeerIDOf(pub(1))))
	f.Add("1")
	f.Fuzz(func(t *testing.T, text string) {
		if key, err := PublicKeyOf(p2p.PeerID(text)); err == nil && PeerIDOf(key) != p2p.PeerID(text) {
			t.Fatalf("%q gives the key of %s", text, PeerIDOf(key))
		}
	})
}
