package libp2p

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"holon/p2p"
)

const (
	diallingMax   = 16                     // at once
	headStart     = 250 * time.Millisecond // the lower peer ID dials first, so that rarely both do
	backoffMin    = 200 * time.Millisecond
	backoffSmall  = time.Second      // in clusters that are dialled whole, so that a healed partition is noticed at once
	backoffLarge  = 10 * time.Second // in larger ones
	dialQuick     = 2 * time.Second
	dialPatient   = 10 * time.Second // every patientEvery-th try, for links with a long round trip
	patientEvery  = 4
	maintainEvery = time.Second
	duplicateAge  = 3 * time.Second // before a second connection is pruned
	// saveAtOnceMax is up to how many peers the book is written as soon as one is
	// learned: five nodes whose power was cut within a second of their first meeting
	// never found each other again. Larger books are written once a second.
	saveAtOnceMax = 64
	addrTTL       = time.Minute // of addresses in libp2p's own store, which forgets

	// connectionsMax is when connections that were dialled for one errand are
	// closed: beyond what this node and the others keep standing with it.
	connectionsMax = 4 * p2p.PeersDialledMax
)

// admit makes a peer a member; hints are where it may be. Under m.mu.
func (r *remote) admit(hints []ma.Multiaddr) {
	news := !slices.EqualFunc(hints, r.hints, ma.Multiaddr.Equal)
	r.hints = hints
	if !r.member || news {
		r.member = true
		r.soon()
	}
}

// soon lets the dialler try at once: there is news of the peer or the network.
// Under m.mu.
func (r *remote) soon() {
	r.tries = 0
	r.next = time.Now()
	if r.m.self > r.id {
		r.next = r.next.Add(headStart)
	}
}

// wake lets the dialler look.
func (m *Mesh) wake() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// chooseStanding picks the members to stay connected with: all, or the
// p2p.PeersDialledMax that come first in an order of this node's own, so that
// the graph of a large cluster is random and hangs together. Under m.mu.
func (m *Mesh) chooseStanding() {
	var ids []peer.ID
	for id, r := range m.peers {
		r.standing = false
		if r.member {
			ids = append(ids, id)
		}
	}
	if len(ids) > p2p.PeersDialledMax {
		rank := map[peer.ID]uint64{}
		for _, id := range ids {
			h := sha256.Sum256([]byte(m.self + id))
			rank[id] = binary.BigEndian.Uint64(h[:])
		}
		slices.SortFunc(ids, func(a, b peer.ID) int {
			switch {
			case rank[a] < rank[b]:
				return -1
			case rank[a] > rank[b]:
				return 1
			}
			return 0
		})
		ids = ids[:p2p.PeersDialledMax]
	}
	for _, id := range ids {
		m.peers[id].standing = true
	}
}

// dialler keeps the standing connections. It also looks after what is done now
// and then: own addresses, the book, second connections.
func (m *Mesh) dialler() {
	maintain := time.NewTicker(maintainEvery)
	defer maintain.Stop()
	looked := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-maintain.C:
			if time.Since(looked) >= m.cfg.tune.addrPoll {
				looked = time.Now()
				m.lookAround()
			}
			m.pruneDuplicates()
			m.pruneExcess(connectionsMax)
			m.saveBook()
		case <-timer.C:
		case <-m.kick:
			if m.book.size() <= saveAtOnceMax {
				m.saveBook()
			}
		}
		timer.Reset(m.dialDue())
	}
}

// saveBook writes what changed in the book, if anything did.
func (m *Mesh) saveBook() {
	if err := m.book.save(); err != nil {
		m.log.Warn("cannot keep known peers", "error", err)
	}
}

// dialDue starts every dial that is due and says when to look again.
func (m *Mesh) dialDue() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, wait, busy := time.Now(), time.Hour, 0
	for _, r := range m.peers {
		if r.dialling {
			busy++
		}
	}
	for _, r := range m.peers {
		if !r.member || r.dialling || !(r.standing || r.wanted) || !m.gate.admits(r.id) {
			continue
		}
		if r.isConnected() {
			r.wanted = false
			continue
		}
		if d := r.next.Sub(now); d > 0 {
			wait = min(wait, d)
		} else if busy < diallingMax {
			busy++
			r.dialling = m.spawnLocked(r.dialOnce)
		} // else the end of a dial wakes the dialler
	}
	return wait
}

// dialOnce is one attempt of the dialler.
func (r *remote) dialOnce() {
	m := r.m
	m.mu.Lock()
	tries := r.tries
	m.mu.Unlock()
	timeout := dialQuick
	if tries%patientEvery == patientEvery-1 {
		timeout = dialPatient
	}
	ctx, cancel := context.WithTimeout(m.ctx, timeout)
	defer cancel()
	err := r.connect(ctx)
	if err != nil {
		m.log.Debug("dial failed", "peer", r.name, "try", tries+1, "error", err)
	}
	m.mu.Lock()
	r.dialling = false
	if r.tries == tries { // no news meanwhile
		r.tries++
		r.next = time.Now().Add(m.backoff(r.tries))
	}
	if err != nil && !r.standing && !r.out.waiting() {
		r.wanted = false
	}
	m.mu.Unlock()
	m.wake()
}

// backoff doubles from backoffMin, with a jitter of a quarter either way. Under m.mu.
func (m *Mesh) backoff(tries int) time.Duration {
	most := backoffLarge
	if m.members <= p2p.PeersDialledMax {
		most = backoffSmall
	}
	d := min(backoffMin<<min(tries-1, 10), most)
	return d*3/4 + rand.N(d/2)
}

// connect dials wherever the peer may be.
func (r *remote) connect(ctx context.Context) error {
	m := r.m
	// libp2p has a back-off and a memory of its own: neither should be in the way.
	m.end.store.ClearAddrs(r.id)
	m.end.store.AddAddrs(r.id, m.whereabouts(r.id), addrTTL)
	m.end.net.Backoff().Clear(r.id)
	_, err := m.end.net.DialPeer(ctx, r.id)
	return err
}

// lookAround notices that this node's addresses changed: it tells the others,
// and dials again whoever was out of reach.
func (m *Mesh) lookAround() {
	changed, err := m.refreshOwn()
	if err != nil {
		m.log.Warn("cannot sign own addresses", "error", err)
	}
	if !changed {
		return
	}
	m.log.Info("own addresses changed", "addresses", m.book.ownRecord().Addrs)
	m.tellAll(m.self, "")
	m.announce()
	m.mu.Lock()
	for _, r := range m.peers {
		r.soon()
	}
	m.mu.Unlock()
}

// pruneDuplicates closes all but one connection to a peer. Only the lower peer
// ID does so, and it keeps its oldest own one; a connection that carries streams
// of the owner stays until they end.
func (m *Mesh) pruneDuplicates() {
	for _, id := range m.end.net.Peers() {
		conns := m.end.net.ConnsToPeer(id)
		if len(conns) < 2 || m.self > id {
			continue
		}
		slices.SortStableFunc(conns, func(a, b network.Conn) int {
			if a, b := a.Stat(), b.Stat(); a.Direction != b.Direction {
				return int(b.Direction) - int(a.Direction) // outbound first
			}
			return a.Stat().Opened.Compare(b.Stat().Opened)
		})
		for _, c := range conns[1:] {
			if time.Since(c.Stat().Opened) > duplicateAge && !carriesStreams(c) {
				c.Close()
			}
		}
	}
}

// pruneExcess closes the oldest connections that this node dialled for an errand
// which is over, until no more than most are left.
func (m *Mesh) pruneExcess(most int) {
	conns := m.end.net.Conns()
	excess := len(conns) - most
	if excess <= 0 {
		return
	}
	slices.SortFunc(conns, func(a, b network.Conn) int { return a.Stat().Opened.Compare(b.Stat().Opened) })
	for _, c := range conns {
		if excess > 0 && c.Stat().Direction == network.DirOutbound && m.isIdleErrand(c) {
			excess--
			c.Close()
		}
	}
}

func (m *Mesh) isIdleErrand(c network.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.peers[c.RemotePeer()]
	return r != nil && !r.standing && !r.wanted && !r.out.waiting() && !carriesStreams(c)
}

func carriesStreams(c network.Conn) bool {
	return slices.ContainsFunc(c.GetStreams(), func(s network.Stream) bool {
		return strings.HasPrefix(string(s.Protocol()), streamPrefix)
	})
}
