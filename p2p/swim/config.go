package swim

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Bounds that hold in every profile.
const (
	MembersMax        = 4096    // members watched; further joins are refused and counted
	PiggybackBytesMax = 1200    // claims in one packet
	PacketBytesMax    = 1600    // a larger packet is malformed
	IDBytesMax        = 128     // longest peer ID on the wire
	IncarnationMax    = 1 << 48 // a larger incarnation or epoch is malformed
	HealthAccuseMax   = 4       // with a worse health score nobody may accuse

	RestartHoldMax = 5 * time.Minute // longest hold that an announced restart can ask for

	outstandingMax = 64               // urgent probes under way at once; the rest waits its turn
	relayWaitMax   = 10 * time.Second // longest that a helper waits for an ack
	relaysMax      = 256              // probes under way for others; further requests are dropped and counted
	queueMax       = 1024             // claims waiting to be gossiped; the most often sent goes first
	backgroundMax  = 2                // claims per packet that repeat the table, which repairs lost gossip
	announceMax    = 64               // members told directly of a leave or restart
	witnessesMax   = 32               // members (expected) that probe a suspect in answer to an accusation
	healthLimit    = 64               // largest HealthMax
)

// Config holds the figures of a profile. A zero field takes the value of LAN.
type Config struct {
	// Name is what people call it; the machine does not look at it. LAN: lan.
	Name string
	// ProbeInterval is the time between rounds of probes and the time after
	// which an unanswered probe becomes an accusation. LAN: 300 ms.
	ProbeInterval time.Duration
	// ProbeTimeout is how long a direct ping may take before helpers are
	// asked; less than ProbeInterval. LAN: 200 ms.
	ProbeTimeout time.Duration
	// SlowInterval is the time between probes of a member whose other traffic
	// is fresh, that is, heard of within SlowInterval. LAN: 1 s.
	SlowInterval time.Duration
	// SuspicionMin is how long a suspect at least has to refute. LAN: 800 ms.
	SuspicionMin time.Duration
	// SuspicionMax is how long it has if nobody confirms. LAN: 1.8 s.
	SuspicionMax time.Duration
	// GossipInterval is the least time between rounds of gossip, which only
	// happen while there is news. LAN: 100 ms.
	GossipInterval time.Duration
	// IndirectProbes is how many helpers are asked, at most N-2. LAN: 3.
	IndirectProbes int
	// Confirmations is how many accusers beyond the first shorten a suspicion
	// to SuspicionMin. LAN: 3.
	Confirmations int
	// GossipFanout is how many members one round of gossip reaches. LAN: 3.
	GossipFanout int
	// ProbesMax is how many members are probed per interval in large clusters;
	// small ones need fewer, see Machine.probesPerInterval. LAN: 4.
	ProbesMax int
	// RetransmitFactor is lambda: a machine sends a claim lambda*log2(n+1)
	// times. LAN: 3.
	RetransmitFactor int
	// HealthMax is the worst health score, 1 to 64. LAN: 8.
	HealthMax int
}

// LAN finds a dead member within 2.8 s in clusters of 2 to 64.
func LAN() Config {
	return Config{
		Name:             "lan",
		ProbeInterval:    300 * time.Millisecond,
		ProbeTimeout:     200 * time.Millisecond,
		SlowInterval:     time.Second,
		SuspicionMin:     800 * time.Millisecond,
		SuspicionMax:     1800 * time.Millisecond,
		GossipInterval:   100 * time.Millisecond,
		IndirectProbes:   3,
		Confirmations:    3,
		GossipFanout:     3,
		ProbesMax:        4,
		RetransmitFactor: 3,
		HealthMax:        8,
	}
}

// Edge finds a dead member within 30 s, over slow and lossy links.
func Edge() Config {
	c := LAN()
	c.Name = "edge"
	c.ProbeInterval = 3 * time.Second
	c.ProbeTimeout = 2 * time.Second
	c.SlowInterval = 5 * time.Second
	c.SuspicionMin = 8 * time.Second
	c.SuspicionMax = 14 * time.Second
	c.GossipInterval = time.Second
	return c
}

// Complete takes zero fields from LAN and says what is wrong with a profile, which New
// must not see then.
func (c Config) Complete() (Config, error) {
	d := LAN()
	c.Name = cmp.Or(c.Name, d.Name)
	for _, f := range []struct{ have, lan *time.Duration }{
		{&c.ProbeInterval, &d.ProbeInterval}, {&c.ProbeTimeout, &d.ProbeTimeout}, {&c.SlowInterval, &d.SlowInterval},
		{&c.SuspicionMin, &d.SuspicionMin}, {&c.SuspicionMax, &d.SuspicionMax}, {&c.GossipInterval, &d.GossipInterval},
	} {
		if *f.have == 0 {
			*f.have = *f.lan
		}
	}
	for _, f := range []struct{ have, lan *int }{
		{&c.IndirectProbes, &d.IndirectProbes}, {&c.Confirmations, &d.Confirmations}, {&c.GossipFanout, &d.GossipFanout},
		{&c.ProbesMax, &d.ProbesMax}, {&c.RetransmitFactor, &d.RetransmitFactor}, {&c.HealthMax, &d.HealthMax},
	} {
		if *f.have == 0 {
			*f.have = *f.lan
		}
	}
	return c, c.validate()
}

func (c Config) validate() error {
	const least, most = 10 * time.Millisecond, time.Hour
	for _, f := range []struct {
		name string
		have time.Duration
	}{
		{"ProbeInterval", c.ProbeInterval}, {"ProbeTimeout", c.ProbeTimeout}, {"SlowInterval", c.SlowInterval},
		{"SuspicionMin", c.SuspicionMin}, {"SuspicionMax", c.SuspicionMax}, {"GossipInterval", c.GossipInterval},
	} {
		if f.have < least || f.have > most {
			return fmt.Errorf("swim: %s is %v; it must lie between %v and %v", f.name, f.have, least, most)
		}
	}
	for _, f := range []struct {
		name       string
		have, most int
	}{
		{"IndirectProbes", c.IndirectProbes, 16}, {"Confirmations", c.Confirmations, 16}, {"GossipFanout", c.GossipFanout, 64},
		{"ProbesMax", c.ProbesMax, 64}, {"RetransmitFactor", c.RetransmitFactor, 16}, {"HealthMax", c.HealthMax, healthLimit},
	} {
		if f.have < 1 || f.have > f.most {
			return fmt.Errorf("swim: %s is %d; it must lie between 1 and %d", f.name, f.have, f.most)
		}
	}
	if c.ProbeTimeout >= c.ProbeInterval {
		return errors.New("swim: ProbeTimeout must be less than ProbeInterval, so that helpers have time to answer")
	}
	if c.SuspicionMin > c.SuspicionMax {
		return errors.New("swim: SuspicionMin must not exceed SuspicionMax")
	}
	if c.SlowInterval < c.ProbeInterval {
		return errors.New("swim: SlowInterval must not be less than ProbeInterval")
	}
	return nil
}
