package core

import (
	"slices"
	"time"

	"holon/crdt/state"
)

// Cluster time is the median of the wall clocks of the members in reach, each as it
// was told last and moved on by this node's own Instant since. It decides nothing that
// has to be agreed on: two sides of a split may have two.
const (
	// clockSlack is how far a clock may go off course before anybody is told, and
	// before what goes by cluster time is planned anew: more than a frame's way.
	clockSlack = 500 * time.Millisecond
	// clockShown is how far a node's clock is off when a person is told.
	clockShown = 2 * time.Second
)

// firstWall is a time before which nobody ran this program, in milliseconds since 1970:
// a clock that says an earlier one was never set.
var firstWall = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

// clock is what a wall clock said, in milliseconds since 1970, and when that was heard.
type clock struct {
	wall int64
	at   Instant
}

// reads is what the clock says now, if it goes as ours does.
func (k clock) reads(now Instant) int64 { return k.wall + (now - k.at).Milliseconds() }

// clocks are those of the members.
type clocks struct {
	of    map[string]clock // by node; none for a node that has not told
	moved bool             // one may have changed since keepTime
	// kept is how far cluster time is ahead of Instant, as of keepTime; known
	// tells whether there is a cluster time.
	kept  time.Duration
	known bool
}

// lastWall is a time after which nobody runs this program; what is later is no time.
var lastWall = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

// hear notes what a node says of its wall clock; 0: nothing.
func (s *statuses) hear(node string, wall int64, now Instant) {
	s.clocks.moved = true
	if wall <= 0 || wall > lastWall {
		delete(s.clocks.of, node)
		return
	}
	s.clocks.of[node] = clock{wall, now}
}

// hearOwn notes what this node's own wall clock says, and tells the others soon if
// somebody has set it.
func (c *Core) hearOwn(wall int64) {
	before, had := c.status.clocks.of[c.cfg.Node]
	c.status.hear(c.cfg.Node, wall, c.now)
	if had && offCourse(wall, before.reads(c.now)) {
		c.status.dirty = true
	}
}

func offCourse(a, b int64) bool {
	return (time.Duration(max(a-b, b-a)) * time.Millisecond) > clockSlack
}

// ownWall is what this node's wall clock says now; 0: it has none.
func (c *Core) ownWall() int64 {
	k, ok := c.status.clocks.of[c.cfg.Node]
	if !ok {
		return 0
	}
	return k.reads(c.now)
}

// ClusterTime is the time of day in this node's view; ok is false as long as no clock
// is known.
func (c *Core) ClusterTime(now Instant) (t time.Time, ok bool) {
	var walls []int64
	for node, k := range c.status.clocks.of { // sorted below
		if node == c.cfg.Node || c.live(node) && c.status.fresh[node] {
			walls = append(walls, k.reads(now))
		}
	}
	wall, ok := median(walls)
	return time.UnixMilli(wall).UTC(), ok
}

// ClusterTime is the time of day as of this view, for what must not be taken in by a clock
// that was never set; ok is false if there is no better one.
func (v *View) ClusterTime(now Instant) (t time.Time, ok bool) {
	t = time.Unix(0, int64(v.timeAhead+now)).UTC()
	return t, v.timeKnown && t.UnixMilli() >= firstWall
}

// median is what most clocks say. Those that were never set do not count where one was;
// of an even number the earlier of the two in the middle, as time that has come too
// early cannot be taken back.
func median(walls []int64) (wall int64, ok bool) {
	if len(walls) == 0 {
		return 0, false
	}
	slices.Sort(walls)
	set, _ := slices.BinarySearch(walls, firstWall)
	if set < len(walls) {
		walls = walls[set:]
	}
	return walls[(len(walls)-1)/2], true
}

// clockOff is how far this node's wall clock is ahead of cluster time; 0 if nobody has
// to be told.
func (c *Core) clockOff() time.Duration {
	t, ok := c.ClusterTime(c.now)
	own := c.ownWall()
	if !ok || own == 0 {
		return 0
	}
	off := time.UnixMilli(own).Sub(t)
	if off.Abs() <= clockShown {
		return 0
	}
	return off.Round(time.Second)
}

// sameClock reports whether two statuses, so long apart, say the same of a clock.
func sameClock(later, earlier *state.NodeStatus, apart time.Duration) bool {
	return !offCourse(later.Wall, clock{wall: earlier.Wall}.reads(apart))
}

// display is this node's wall clock as objects show it (RFC 3339); empty: it has none.
func (c *Core) display() string {
	wall := c.ownWall()
	if wall == 0 {
		return ""
	}
	return time.UnixMilli(wall).UTC().Format(time.RFC3339)
}
