package core

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p/cert"
)

// Token is a join token as the cluster stores it: never its secret.
type Token struct {
	ID         string
	SecretHash [32]byte
	UsesLeft   int
	TTL        time.Duration // on the issuer's clock; only the issuer can tell that it is over
	Issuer     string
	Revoked    bool
	Expired    bool
}

// TokensMax bounds the join tokens that a cluster keeps.
const TokensMax = 1000

// The registers of a token record.
const (
	tokenHash    = "/secretHash"
	tokenUses    = "/usesLeft"
	tokenTTL     = "/ttlNanoseconds"
	tokenIssuer  = "/issuer"
	tokenRevoked = "/revoked"
	tokenExpired = "/expired"
)

func tokenKey(id string) state.Key { return state.MakeKey(state.Tokens, "", id) }
func tokenUID(id string) crdt.UID  { return state.DerivedUID("token", id) }

func decodeToken(key state.Key, rec *crdt.Record) (t Token, ok bool, err error) {
	live := rec.Live()
	if live == nil {
		return Token{}, false, nil
	}
	_, _, t.ID = key.Split()
	err = state.DecodeRegisters(key, live, map[string]any{
		tokenHash: &t.SecretHash, tokenUses: &t.UsesLeft, tokenTTL: &t.TTL,
		tokenIssuer: &t.Issuer, tokenRevoked: &t.Revoked, tokenExpired: &t.Expired,
	})
	if err != nil {
		return Token{}, false, err
	}
	return t, true, nil
}

// DecodeToken reads a token from a change that Ready told of.
func DecodeToken(change Change) (Token, bool, error) { return decodeToken(change.Key, change.Record) }

func (c *Core) tokens() []state.Key {
	var keys []state.Key
	for _, key := range c.store.keys() {
		if key.Resource() == state.Tokens {
			keys = append(keys, key)
		}
	}
	return keys
}

func (c *Core) putToken(t Token) error {
	if len(c.tokens()) >= TokensMax {
		return fmt.Errorf("there are %d join tokens already: revoke some with `holon token revoke`", TokensMax)
	}
	return c.set(tokenKey(t.ID), tokenUID(t.ID), map[string][]byte{
		tokenHash: state.EncodeRegister(t.SecretHash), tokenUses: state.EncodeRegister(t.UsesLeft), tokenTTL: state.EncodeRegister(t.TTL), tokenIssuer: state.EncodeRegister(t.Issuer),
	})
}

func (c *Core) revokeToken(op RevokeToken) error {
	if c.store.record(tokenKey(op.ID)).Live() == nil {
		return ErrNotFound
	}
	register := tokenRevoked
	if op.Expired {
		register = tokenExpired
	}
	return c.set(tokenKey(op.ID), tokenUID(op.ID), map[string][]byte{register: []byte("true")})
}

// admitMember checks a token and makes its bearer a member. The token is used up
// in the same batch, so a crash cannot give it away twice.
func (c *Core) admitMember(op Admit) error {
	t, ok, err := decodeToken(tokenKey(op.Token), c.store.record(tokenKey(op.Token)))
	switch {
	case err != nil:
		return err
	case !ok:
		return cert.Refuse(cert.TokenUnknown, "")
	case t.SecretHash != op.SecretHash:
		return cert.Refuse(cert.TokenUnknown, "its secret does not match")
	case t.Revoked:
		return cert.Refuse(cert.TokenRevoked, "")
	case t.Expired:
		return cert.Refuse(cert.TokenExpired, "")
	}
	key := state.MakeKey(state.Members, "", string(op.Peer))
	if b := c.members.byPeer[op.Peer]; b != nil && !b.Left && b.Name == op.Name {
		return nil // it was admitted before and lost the answer
	}
	if t.UsesLeft <= 0 {
		return cert.Refuse(cert.TokenUsedUp, "")
	}
	if b := c.members.byName[op.Name]; op.Name == c.cfg.Node || b != nil && !b.Left && c.live(op.Name) {
		return cert.Refuse(cert.NameTaken, fmt.Sprintf("%s is a live member; choose another --name", op.Name))
	}
	if err := c.set(tokenKey(op.Token), tokenUID(op.Token), map[string][]byte{tokenUses: state.EncodeRegister(t.UsesLeft - 1)}); err != nil {
		return err
	}
	c.fact(false, "", "Admitted", "%s joins with token %s", op.Name, op.Token)
	if c.store.record(key).Live() != nil {
		return c.putMember(key, op, nil) // under another name; it counts as it did
	}
	return c.putMember(key, op, map[string][]byte{state.MemberAwaited: []byte("true")})
}

func (c *Core) putMember(key state.Key, op Admit, more map[string][]byte) error {
	values := map[string][]byte{
		state.MemberName: state.EncodeRegister(op.Name), state.MemberChain: state.EncodeRegister(op.Chain), state.MemberAddrs: state.EncodeRegister(op.Addrs),
	}
	maps.Copy(values, more)
	return c.set(key, state.MemberUID(string(op.Peer)), values)
}

// FirstMember is the operation with which the creator of a cluster admits itself
// and makes what every cluster has.
type FirstMember struct {
	Admit
	Objects []Mutate
}

func (c *Core) firstMember(op FirstMember) error {
	if err := c.putMember(state.MakeKey(state.Members, "", string(op.Peer)), op.Admit, nil); err != nil {
		return err
	}
	return c.createAll(op.Objects)
}

// createAll makes objects and leaves alone those that are there already.
func (c *Core) createAll(objects []Mutate) error {
	for _, m := range objects {
		if _, err := c.mutate(m); err != nil && !errors.Is(err, ErrExists) {
			return fmt.Errorf("%s: %w", m.Key, err)
		}
	}
	return nil
}
