package core

import (
	"slices"
	"time"
)

// brake holds homes where they are when many members vanish at once: then it is more
// likely the network, or this node, than they, and what moved would have to move back.
// Stand-ins are not held; they are bounded by room. After the node lifecycle
// controller of Kubernetes, which stops evicting when a zone is unhealthy.
type brake struct {
	lost  []Instant // when counted members vanished, in the last two suspicion times
	until Instant
}

// More than brakePercent of those who count, and at least brakeLeast of them.
const (
	brakePercent = 30
	brakeLeast   = 3
	brakeCalm    = 2 * time.Minute // without a member that comes or goes
)

// reachChanged is told of every member that comes, or goes without a word.
func (c *Core) reachChanged(b *member) {
	k := &c.brake
	if c.homesHeld() {
		k.until = c.now + c.cfg.BrakeCalm
	}
	if b.live || !c.counted.peers[b.peer] {
		return
	}
	since := c.now - 2*c.cfg.Swim.SuspicionMax
	k.lost = append(slices.DeleteFunc(k.lost, func(at Instant) bool { return at < since }), c.now)
	if n := len(k.lost); n >= brakeLeast && n*100 > brakePercent*len(c.counted.peers) && !c.homesHeld() {
		k.until = c.now + c.cfg.BrakeCalm
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
