package libp2p

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/zeroconf/v2"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"holon/p2p"
	"holon/p2p/cert"
)

// One service type serves every cluster, so that a node without a cluster can
// see which there are; the cluster's ID is in the TXT record. libp2p's own mDNS
// package can say neither that nor that an address changed.
const (
	lanService  = "_holon._udp"
	lanDomain   = "local"
	lanPort     = 4001 // mDNS wants one; the addresses in the TXT record count
	lanTTL      = 120  // seconds
	lanRetry    = 5 * time.Second
	lanAddrsMax = 8   // of each kind: the announcement has to fit in a packet
	lanTextMax  = 255 // bytes, of DNS
)

// Keys of the TXT record.
const (
	lanVersion = "v=" // 1; missing is 1, any other is not read
	lanCluster = "c="
	lanPeer    = "p="
	lanAddr    = "a="
	lanDoor    = "d="
)

// announcement is what a node says of itself on the LAN. Nobody signs it, so it
// is only a hint of where to dial.
type announcement struct {
	cluster string
	peer    peer.ID
	addrs   []ma.Multiaddr
	door    []ma.Multiaddr
}

func (a announcement) text() []string {
	txt := []string{lanVersion + "1", lanCluster + a.cluster, lanPeer + a.peer.String()}
	for _, x := range a.addrs[:min(len(a.addrs), lanAddrsMax)] {
		txt = append(txt, lanAddr+x.String())
	}
	for _, x := range a.door[:min(len(a.door), lanAddrsMax)] {
		txt = append(txt, lanDoor+x.String())
	}
	return slices.DeleteFunc(txt, func(s string) bool { return len(s) > lanTextMax })
}

func parseAnnouncement(txt []string) (a announcement, ok bool) {
	var addrs, door []string
	version := "1"
	for _, s := range txt {
		switch {
		case strings.HasPrefix(s, lanVersion):
			version = s[len(lanVersion):]
		case strings.HasPrefix(s, lanCluster):
			a.cluster = s[len(lanCluster):]
		case strings.HasPrefix(s, lanPeer):
			a.peer, _ = peer.Decode(s[len(lanPeer):])
		case strings.HasPrefix(s, lanAddr):
			addrs = append(addrs, s[len(lanAddr):])
		case strings.HasPrefix(s, lanDoor):
			door = append(door, s[len(lanDoor):])
		}
	}
	a.addrs, a.door = parseAddrs(addrs), parseAddrs(door)
	return a, version == "1" && cert.ValidClusterID(a.cluster) && a.peer != ""
}

// ips are the IP addresses among the announced ones; mDNS wants some.
func (a announcement) ips() []string {
	var out []string
	for _, x := range a.addrs {
		if ip, err := manet.ToIP(x); err == nil && !slices.Contains(out, ip.String()) {
			out = append(out, ip.String())
		}
	}
	return out
}

// publish announces until the returned function is called. The instance has a
// new name each time, because listeners look at a name only once.
func (a announcement) publish() (stop func(), err error) {
	name := strings.ToLower(rand.Text())
	server, err := zeroconf.RegisterProxy(name, lanService, lanDomain, lanPort, name, a.ips(), a.text(), nil, zeroconf.TTL(lanTTL))
	if err != nil {
		return nil, fmt.Errorf("announce on the LAN: %w", err)
	}
	return server.Shutdown, nil
}

// listenLAN calls found for each announcement until ctx ends.
func listenLAN(ctx context.Context, found func(announcement)) error {
	entries := make(chan *zeroconf.ServiceEntry, 64)
	done := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			select {
			case e := <-entries:
				if e == nil { // zeroconf closed it
					return
				}
				if a, ok := parseAnnouncement(e.Text); ok {
					found(a)
				}
			case <-done:
				return
			}
		}
	})
	err := zeroconf.Browse(ctx, lanService, lanDomain, entries)
	close(done)
	reading.Wait()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("listen on the LAN: %w", err)
	}
	return nil
}

// announce lets the LAN know what changed.
func (m *Mesh) announce() {
	select {
	case m.lan <- struct{}{}:
	default:
	}
}

// keepOnLAN announces this node and dials the members that announce themselves.
// It starts again whenever something changed, the network's interfaces included.
func (m *Mesh) keepOnLAN() {
	for m.ctx.Err() == nil {
		err := m.lanSession()
		if err == nil {
			continue
		}
		m.log.Warn("nodes on the LAN are not found by multicast; addresses that are known still work", "error", err)
		select {
		case <-m.ctx.Done():
		case <-m.lan:
		case <-time.After(lanRetry):
		}
	}
}

func (m *Mesh) lanSession() error {
	a := announcement{cluster: m.cfg.Cluster, peer: m.self, addrs: parseAddrs(m.ownAddrs()), door: parseAddrs(m.DoorAddrs())}
	stop, err := a.publish()
	if err != nil {
		return err
	}
	defer stop()
	ctx, cancel := context.WithCancel(m.ctx)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	failed := make(chan error, 1)
	listening.Go(func() { failed <- listenLAN(ctx, m.sighted) })
	select {
	case <-m.ctx.Done():
		return nil
	case <-m.lan:
		return nil
	case err := <-failed:
		return err
	}
}

// sighted takes note of a member on the LAN.
func (m *Mesh) sighted(a announcement) {
	if a.cluster != m.cfg.Cluster {
		return
	}
	m.mu.Lock()
	if r := m.peers[a.peer]; r != nil && r.member {
		r.seen = a.addrs
		r.soon()
	}
	m.mu.Unlock()
	m.allow(a.peer)
	m.wake()
}

// LANCluster is a cluster that was seen on the LAN.
type LANCluster struct {
	ID    string
	Peers []p2p.PeerID // that announce themselves
	Doors int          // of them, that let newcomers in now
}

// Browse listens for clusters on the LAN until ctx ends, for a node that has none.
func Browse(ctx context.Context) ([]LANCluster, error) {
	found := map[string]map[peer.ID]bool{} // whether the peer's door is open
	if err := listenLAN(ctx, func(a announcement) {
		if found[a.cluster] == nil {
			found[a.cluster] = map[peer.ID]bool{}
		}
		found[a.cluster][a.peer] = len(a.door) > 0
	}); err != nil {
		return nil, err
	}
	var out []LANCluster
	for id, peers := range found {
		c := LANCluster{ID: id}
		for p, open := range peers {
			c.Peers = append(c.Peers, p2pID(p))
			if open {
				c.Doors++
			}
		}
		slices.Sort(c.Peers)
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b LANCluster) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}
