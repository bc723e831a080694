package libp2p

import (
	"net/netip"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
)

// limits are fixed: a Pi and a server bound strangers alike. Strangers live in
// the transient scope, where the gate ends them.
type limits struct {
	conns     int // at once
	transient int // connections whose peer is not known yet
	perPeer   int // connections of one peer
	streams   int // at once, all peers
	memory    int64
	perIP     int     // connections of one address
	rate      float64 // new connections per second of one address
	burst     int
}

// meshLimits allow twice the peers that a mesh dials, in both directions, and
// many nodes behind one address.
var meshLimits = limits{conns: 512, transient: 64, perPeer: 8, streams: 8192, memory: 256 << 20, perIP: 256, rate: 50, burst: 500}

func (l limits) manager() (network.ResourceManager, error) {
	count := func(n int) rcmgr.LimitVal { return rcmgr.LimitVal(n) }
	all := rcmgr.ResourceLimits{
		Conns: count(l.conns), ConnsInbound: count(l.conns), ConnsOutbound: count(l.conns), FD: count(l.conns),
		Streams: count(l.streams), StreamsInbound: count(l.streams), StreamsOutbound: count(l.streams),
		Memory: rcmgr.LimitVal64(l.memory),
	}
	transient := all
	transient.Conns, transient.ConnsInbound, transient.ConnsOutbound = count(l.transient), count(l.transient), count(l.transient)
	transient.FD, transient.Memory = count(l.transient), rcmgr.LimitVal64(l.memory/4)
	one := all
	one.Conns, one.ConnsInbound, one.ConnsOutbound, one.FD = count(l.perPeer), count(l.perPeer), count(l.perPeer), count(l.perPeer)
	one.Streams, one.StreamsInbound, one.StreamsOutbound = count(l.streams/8), count(l.streams/8), count(l.streams/8)
	one.Memory = rcmgr.LimitVal64(l.memory / 4)
	config := rcmgr.PartialLimitConfig{
		System: all, Transient: transient, AllowlistedSystem: all, AllowlistedTransient: transient, PeerDefault: one,
	}.Build(rcmgr.InfiniteLimits)

	perIP := rate.Limit{RPS: l.rate, Burst: l.burst}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(config), rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: l.perIP}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 64, ConnCount: l.perIP}}),
		// Members redial quickly after a partition; libp2p's default of one new
		// connection in five seconds would keep them apart.
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: []rate.PrefixLimit{
				{Prefix: netip.MustParsePrefix("127.0.0.0/8")}, {Prefix: netip.MustParsePrefix("::1/128")},
			},
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: perIP}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 64, Limit: perIP}},
			},
		}))
}
