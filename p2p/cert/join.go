package cert

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"holon/p2p"
)

// JoinBytesMax bounds each message of the join protocol.
const JoinBytesMax = 64 << 10

// Welcome is the first word of the join protocol, spoken by the member: who the
// cluster is and why the member may speak for it. It holds no secret.
type Welcome struct {
	_          struct{} `cbor:",toarray"`
	Version    int
	Cluster    string
	ClusterKey []byte // ed25519 public key
	Chain      Chain  // of the member that speaks
}

// ErrImpostor says that the peer behind a door cannot speak for the cluster of
// the token. The secret was not sent.
var ErrImpostor = errors.New("the peer that answered is not a member of the token's cluster; the token's secret was not sent")

// Check is what a joiner does before it sends the secret: the key is the one of
// the token, and the chain leads from it to the peer at the other end.
func (w Welcome) Check(t Token, peer p2p.PeerID) error {
	switch {
	case w.Version != Version:
		return fmt.Errorf("member speaks version %d of the join protocol, this node %d: upgrade the older one", w.Version, Version)
	case len(w.ClusterKey) != ed25519.PublicKeySize || KeyHash(w.ClusterKey) != t.KeyHash:
		return fmt.Errorf("%w: its cluster key is not the one of the token", ErrImpostor)
	case w.Cluster != t.Cluster:
		return fmt.Errorf("%w: it is of cluster %s, the token of %s", ErrImpostor, w.Cluster, t.Cluster)
	}
	if err := w.Chain.VerifyPeer(t.Cluster, w.ClusterKey, peer); err != nil {
		return fmt.Errorf("%w: %w", ErrImpostor, err)
	}
	return nil
}

// JoinRequest asks for a certificate. The connection proves that the sender owns
// PublicKey: whoever answers has to compare it with the peer at the other end.
type JoinRequest struct {
	_         struct{} `cbor:",toarray"`
	Version   int
	Cluster   string
	TokenID   string
	Secret    [32]byte
	Name      string // wanted node name
	PublicKey []byte // ed25519, the newcomer's peer identity
	Introduce bool   // the newcomer is willing to introduce others
	Agent     string // holon version, for logs
}

// JoinGrant makes the newcomer a member. Every member can serve the API and sign
// credentials for it, so the grant carries the CA's key; and every member can
// read Secrets, so it carries the data keys.
type JoinGrant struct {
	_          struct{} `cbor:",toarray"`
	Version    int
	Cluster    string
	Chain      Chain // of the newcomer
	ClusterKey []byte
	CACert     []byte // PEM
	CAKey      []byte // PEM
	DataKeys   [][]byte
	Members    []p2p.Member
}

// Check is what a joiner does with a grant before it believes it.
func (g JoinGrant) Check(t Token, self ed25519.PublicKey) error {
	if g.Version != Version || g.Cluster != t.Cluster || len(g.ClusterKey) != ed25519.PublicKeySize || KeyHash(g.ClusterKey) != t.KeyHash {
		return fmt.Errorf("%w: the grant is for another cluster", ErrImpostor)
	}
	return g.Chain.VerifyPeer(t.Cluster, g.ClusterKey, PeerIDOf(self))
}

// Reason says why a join was refused.
type Reason string

// Reasons of a refusal.
const (
	TokenUnknown  Reason = "TokenUnknown"
	TokenUsedUp   Reason = "TokenUsedUp"
	TokenRevoked  Reason = "TokenRevoked"
	TokenExpired  Reason = "TokenExpired"
	WrongCluster  Reason = "WrongCluster"
	NameTaken     Reason = "NameTaken"
	NotIntroducer Reason = "NotIntroducer"
	NotServing    Reason = "NotServing"
)

// nextStep tells a person, per reason, what is wrong and what to do.
var nextStep = map[Reason]string{
	TokenUnknown:  "this member does not know the token yet: try the next",
	TokenUsedUp:   "the token was used already: print a new one with `holon token create` on any member",
	TokenRevoked:  "the token was revoked: ask for a new one",
	TokenExpired:  "the token has expired: print a new one with `holon token create` on any member",
	WrongCluster:  "the token is for another cluster: check which cluster this node should join",
	NameTaken:     "another node has this name: choose one with `holon up --name`",
	NotIntroducer: "this member may not introduce others: try the next",
	NotServing:    "this member cannot answer now: try the next, or again in a moment",
}

// TryNext reports whether another member may say yes to the same request.
func (r Reason) TryNext() bool {
	return r == TokenUnknown || r == NotIntroducer || r == NotServing
}

// JoinRefused is a member's no.
type JoinRefused struct {
	_      struct{} `cbor:",toarray"`
	Reason Reason
	Detail string // more words, possibly empty; from the member
}

// Refuse makes a refusal; detail may be empty.
func Refuse(r Reason, detail string) *JoinRefused { return &JoinRefused{Reason: r, Detail: detail} }

func (e *JoinRefused) Error() string {
	step, ok := nextStep[e.Reason]
	if !ok {
		step = "the member gave a reason that this version does not know: upgrade this node"
	}
	msg := fmt.Sprintf("join refused (%s): %s", e.Reason, step)
	if e.Detail != "" {
		msg += " (" + e.Detail + ")"
	}
	return msg
}

// Is makes errors.Is compare the reason alone.
func (e *JoinRefused) Is(target error) bool {
	t, ok := target.(*JoinRefused)
	return ok && t.Reason == e.Reason
}

// JoinReply is the last message: exactly one half is set.
type JoinReply struct {
	_       struct{} `cbor:",toarray"`
	Grant   *JoinGrant
	Refused *JoinRefused
}

// Encode returns the wire form, at most JoinBytesMax long.
func (w Welcome) Encode() ([]byte, error) { return encodeBounded(w, JoinBytesMax) }

// Encode returns the wire form, at most JoinBytesMax long.
func (r JoinRequest) Encode() ([]byte, error) { return encodeBounded(r, JoinBytesMax) }

// Encode returns the wire form, at most JoinBytesMax long. A grant whose member
// list is too long is sent with as many members as fit: any one of them knows
// the rest.
func (r JoinReply) Encode() ([]byte, error) {
	for {
		b, err := encodeBounded(r, JoinBytesMax)
		if err == nil || r.Grant == nil || len(r.Grant.Members) == 0 {
			return b, err
		}
		g := *r.Grant
		g.Members = g.Members[:len(g.Members)/2]
		r.Grant = &g
	}
}

// DecodeWelcome reads the wire form. It does not check.
func DecodeWelcome(b []byte) (w Welcome, err error) {
	return w, wrap("welcome", decodeBounded(b, &w, JoinBytesMax))
}

// DecodeJoinRequest reads the wire form and checks its form.
func DecodeJoinRequest(b []byte) (r JoinRequest, err error) {
	if err := decodeBounded(b, &r, JoinBytesMax); err != nil {
		return JoinRequest{}, wrap("join request", err)
	}
	switch {
	case r.Version != Version:
		return JoinRequest{}, fmt.Errorf("join request: version %d is unknown here", r.Version)
	case len(r.PublicKey) != ed25519.PublicKeySize || !ValidName(r.Name) || !ValidClusterID(r.Cluster) ||
		r.TokenID == "" || len(r.TokenID) > TokenIDBytesMax || len(r.Agent) > NameBytesMax:
		return JoinRequest{}, errors.New("join request: a field is malformed")
	}
	return r, nil
}

// DecodeJoinReply reads the wire form. It does not check the grant.
func DecodeJoinReply(b []byte) (r JoinReply, err error) {
	if err := decodeBounded(b, &r, JoinBytesMax); err != nil {
		return JoinReply{}, wrap("join reply", err)
	}
	if (r.Grant == nil) == (r.Refused == nil) {
		return JoinReply{}, errors.New("join reply: it is neither a grant nor a refusal")
	}
	return r, nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
