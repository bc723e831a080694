package core

import (
	"maps"
	"time"

	"holon/p2p"
)

// brake holds homes where they are when many members vanish at once: then it is more
// likely the network, or this node, than they, and what moved would have to move back.
// Stand-ins are not held; they are bounded by room. After the node lifecycle
// controller of Kubernetes, which stops evicting when a zone is unhealthy.
type brake struct {
	lost         map[p2p.PeerID]Instant // counted members that vanished in the last two suspicion times
	until, began Instant
}

// More than brakePercent of those who count, and at least brakeLeast of them.
const (
	brakePercent = 30
	brakeLeast   = 3
	brakeCalm    = 2 * time.Minute // without a counted member that comes or goes
	brakeMax     = 5               // times brakeCalm: one that comes and goes all the time must not hold homes for ever
)

// reachChanged is told of every member that comes, or goes without a word.
func (c *Core) reachChanged(b *member) {
	k := &c.brake
	if !c.counted.peers[b.peer] {
		return
	}
	if c.homesHeld() {
		k.until = min(c.now+c.cfg.BrakeCalm, k.began+brakeMax*c.cfg.BrakeCalm)
	}
	if delete(k.lost, b.peer); b.live {
		return
	}
	if k.lost == nil {
		k.lost = map[p2p.PeerID]Instant{}
	}
	k.lost[b.peer] = c.now
	maps.DeleteFunc(k.lost, func(_ p2p.PeerID, at Instant) bool { return at < c.now-2*c.cfg.Swim.SuspicionMax })
	if n := len(k.lost); n >= brakeLeast && n*100 > brakePercent*len(c.counted.peers) && !c.homesHeld() {
		k.began, k.until = c.now, c.now+c.cfg.BrakeCalm
		c.fact(true, "", "HomesHeld", "%d of %d members vanished at once: no home moves until nobody has come or gone for %v; stand-ins run", n, len(c.counted.peers), c.cfg.BrakeCalm)
	}
}

// homesHeld reports whether homes are held.
func (c *Core) homesHeld() bool { return c.now < c.brake.until }

// tickBrake has everything planned again when it is off.
func (c *Core) tickBrake() {
	switch k := &c.brake; {
	case c.homesHeld():
		c.wake(k.until)
	case k.until != 0:
		k.until = 0
		c.index.dirtyAll = true
	}
}
