package node

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"holon/crdt"
	"holon/node/api"
	"holon/node/core"
	"holon/p2p"
	"holon/p2p/cert"
)

// tokenBook follows the join tokens that the cluster holds, and the deadlines of
// those that this node issued: only the issuer's clock can tell that one is over.
type tokenBook struct {
	mu        sync.Mutex
	known     map[string]core.Token
	deadlines map[string]core.Instant
	changed   chan struct{}
}

func (b *tokenBook) load(s Store) {
	b.known, b.deadlines, b.changed = map[string]core.Token{}, map[string]core.Instant{}, make(chan struct{}, 1)
	_ = s.Load(diskTokens, func(key string, value []byte) error {
		if len(value) == 8 {
			b.deadlines[strings.TrimPrefix(key, diskTokens)] = core.Instant(binary.BigEndian.Uint64(value))
		}
		return nil
	})
}

func (b *tokenBook) follow(n *Node, c core.Change) {
	t, ok, err := core.DecodeToken(c)
	if err != nil {
		n.log.Warn("token record is not understood", "key", c.Key, "error", err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok {
		b.known[t.ID] = t
	} else {
		_, _, id := c.Key.Split()
		delete(b.known, id)
	}
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// outstanding reports whether somebody may still join with a token.
func (b *tokenBook) outstanding() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.known {
		if t.UsesLeft > 0 && !t.Revoked && !t.Expired {
			return true
		}
	}
	return false
}

// due lists tokens of this node whose time is over, and when the next one is.
func (b *tokenBook) due(now core.Instant) (expired []string, next core.Instant) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, deadline := range b.deadlines {
		t, known := b.known[id]
		switch {
		case !known || t.Expired || t.Revoked:
		case now >= deadline:
			expired = append(expired, id)
		case next == 0 || deadline < next:
			next = deadline
		}
	}
	slices.Sort(expired)
	return expired, next
}

const (
	tokensEvery = time.Minute // without a change
	// doorLinger keeps the door open after the last token is used up: the one who
	// used it waits for the answer, and may have lost it and ask again.
	doorLinger = 20 * time.Second
)

// watchTokens opens the door while tokens are outstanding and ends those whose
// time is over.
func (n *Node) watchTokens(ctx context.Context) {
	defer n.setDoor(false)
	var closing core.Instant // when the door closes, if no new token comes
	for {
		expired, next := n.tokens.due(n.now())
		for _, id := range expired {
			if _, err := n.ask(ctx, core.RevokeToken{ID: id, Expired: true}); err != nil {
				n.log.Warn("token could not be ended", "token", id, "error", err)
			}
		}
		wait := tokensEvery
		switch {
		case n.cfg.Introduce && n.tokens.outstanding():
			closing = n.now() + doorLinger
			n.setDoor(true)
		case n.now() < closing:
			wait = closing - n.now()
		default:
			n.setDoor(false)
		}
		if next != 0 {
			wait = min(wait, max(next-n.now(), time.Second))
		}
		select {
		case <-ctx.Done():
			return
		case <-n.tokens.changed:
		case <-time.After(wait):
		}
	}
}

func (n *Node) setDoor(open bool) {
	n.door.Lock()
	defer n.door.Unlock()
	var err error
	if open {
		err = n.mesh.OpenDoor(n.admit)
	} else {
		err = n.mesh.CloseDoor()
	}
	if err != nil {
		n.log.Error("the door for newcomers", "open", open, "error", err)
	}
}

// CreateToken makes a join token: a record with the hash of its secret.
func (n *Node) CreateToken(ctx context.Context, uses int, ttl time.Duration) (string, api.TokenInfo, error) {
	if !n.cfg.Introduce {
		return "", api.TokenInfo{}, fmt.Errorf("%w: this node runs with --no-introduce: create the token on another node", api.ErrInvalid)
	}
	id := n.cfg.Identity
	t := cert.Token{Cluster: id.Cluster, KeyHash: cert.KeyHash(id.ClusterKey)}
	var random [5]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", api.TokenInfo{}, err
	}
	if _, err := rand.Read(t.Secret[:]); err != nil {
		return "", api.TokenInfo{}, err
	}
	t.ID = strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random[:]))
	// The deadline is on disk first: a token must not outlive its issuer's crash.
	deadline := n.now() + ttl
	err := n.cfg.Store.Commit([]crdt.KV{{Key: diskTokens + t.ID, Value: binary.BigEndian.AppendUint64(nil, uint64(deadline))}})
	if err != nil {
		return "", api.TokenInfo{}, fmt.Errorf("%w: %v", api.ErrNotDurable, err)
	}
	n.tokens.mu.Lock()
	n.tokens.deadlines[t.ID] = deadline
	n.tokens.mu.Unlock()
	stored := core.Token{ID: t.ID, SecretHash: cert.SecretHash(t.Secret), UsesLeft: uses, TTL: ttl, Issuer: id.Name}
	if _, err := n.ask(ctx, core.PutToken{Token: stored}); err != nil {
		return "", api.TokenInfo{}, apiError(err)
	}
	n.setDoor(true)
	t.Addrs = n.mesh.DoorAddrs()
	return t.String(), n.tokenInfo(stored), nil
}

func (n *Node) tokenInfo(t core.Token) api.TokenInfo {
	info := api.TokenInfo{ID: t.ID, UsesLeft: t.UsesLeft, Issuer: t.Issuer, Revoked: t.Revoked, Expires: "unknown here"}
	n.tokens.mu.Lock()
	defer n.tokens.mu.Unlock()
	if deadline, ok := n.tokens.deadlines[t.ID]; ok {
		info.Expires = max(deadline-n.now(), 0).Round(time.Second).String()
	}
	if t.Expired {
		info.Expires = "expired"
	}
	return info
}

// Tokens lists the join tokens that this node knows.
func (n *Node) Tokens(context.Context) ([]api.TokenInfo, error) {
	n.tokens.mu.Lock()
	known := make([]core.Token, 0, len(n.tokens.known))
	for _, t := range n.tokens.known {
		known = append(known, t)
	}
	n.tokens.mu.Unlock()
	slices.SortFunc(known, func(a, b core.Token) int { return strings.Compare(a.ID, b.ID) })
	infos := make([]api.TokenInfo, len(known))
	for i, t := range known {
		infos[i] = n.tokenInfo(t)
	}
	return infos, nil
}

// RevokeToken ends a token for good.
func (n *Node) RevokeToken(ctx context.Context, id string) error {
	_, err := n.ask(ctx, core.RevokeToken{ID: id})
	return apiError(err)
}

// admit answers one who knocks with a token: his certificate is signed and his
// member record is durable here before he hears yes.
func (n *Node) admit(ctx context.Context, req cert.JoinRequest) (cert.JoinGrant, error) {
	id := n.cfg.Identity
	if req.Cluster != id.Cluster {
		return cert.JoinGrant{}, cert.Refuse(cert.WrongCluster, "")
	}
	chain, err := n.certify(req)
	if err != nil {
		return cert.JoinGrant{}, err
	}
	encoded, err := chain.Encode()
	if err != nil {
		return cert.JoinGrant{}, err
	}
	_, err = n.ask(ctx, core.Admit{
		Token: req.TokenID, SecretHash: cert.SecretHash(req.Secret), Peer: chain[0].Peer, Name: req.Name, Chain: encoded,
	})
	var refused *cert.JoinRefused
	switch {
	case errors.As(err, &refused):
		return cert.JoinGrant{}, refused
	case err != nil:
		return cert.JoinGrant{}, cert.Refuse(cert.NotServing, err.Error())
	}
	grant := cert.JoinGrant{Version: cert.Version, Cluster: id.Cluster, Chain: chain, ClusterKey: id.ClusterKey, CACert: id.CACert, CAKey: id.CAKey, DataKeys: n.keys.bytes()}
	for _, m := range n.view.Load().Members {
		if m.State == "left" {
			continue
		}
		member := p2p.Member{ID: m.Peer, Addrs: m.Addrs}
		if m.Peer == id.Peer() {
			member.Addrs = n.mesh.Addrs()
		}
		grant.Members = append(grant.Members, member)
	}
	return grant, nil
}

// certify signs with the cluster key where it is, else with this member's own.
func (n *Node) certify(req cert.JoinRequest) (cert.Chain, error) {
	id := n.cfg.Identity
	var serial [cert.SerialSize]byte
	if _, err := rand.Read(serial[:]); err != nil {
		return nil, err
	}
	ask := cert.Request{Cluster: id.Cluster, Name: req.Name, PublicKey: ed25519.PublicKey(req.PublicKey), Introducer: req.Introduce, Serial: serial}
	if len(id.ClusterPrivate) > 0 {
		return cert.Issue(id.ClusterPrivate, nil, ask)
	}
	own, err := cert.DecodeChain(id.Chain)
	if err != nil {
		return nil, err
	}
	chain, err := cert.Issue(id.Key, own, ask)
	if errors.Is(err, cert.ErrTooDeep) || errors.Is(err, cert.ErrNotIntroducer) {
		return nil, cert.Refuse(cert.NotIntroducer, err.Error())
	}
	return chain, err
}
