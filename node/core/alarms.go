package core

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt"
	"holon/scheduler"
)

// alarms are when workloads have to be planned again, and what of them runs here
// judged again, although nothing but time has passed. An alarm that is too early does
// no harm: who is looked at says when to look again.
type alarms struct {
	at   map[crdt.UID]Instant
	next Instant // the first of them; 0: none
}

// set asks for a look at a workload at an instant, 0 for none.
func (a *alarms) set(uid crdt.UID, at Instant) {
	if before := a.at[uid]; at == 0 || before != 0 && before <= at {
		return
	}
	a.at[uid] = at
	a.next = sooner(a.next, at)
}

// ring touches the workloads whose time has come.
func (c *Core) ring() {
	a := &c.sched.alarms
	if a.next == 0 || c.now < a.next {
		return
	}
	a.next = 0
	for uid, at := range a.at {
		if at <= c.now {
			delete(a.at, uid)
			c.index.touchWorkload(uid)
		} else {
			a.next = sooner(a.next, at)
		}
	}
}

// troubles remembers since when nodes have been in a state that time makes worse, as
// this node saw it since it booted.
type troubles struct {
	alone    Instant                             // without a majority, suspects included; 0: there is one
	together Instant                             // with one; 0: there is none
	unfit    map[string]Instant                  // alive, and unable to run containers
	expels   map[string]map[corev1.Taint]Instant // with a NoExecute taint
}

// noteTroubles compares with how the nodes are now. It precedes each new view.
func (c *Core) noteTroubles() {
	old := c.sched.troubles
	now := troubles{unfit: map[string]Instant{}, expels: map[string]map[corev1.Taint]Instant{}}
	// Suspects count here: a suspicion that is refuted must not begin anew what waits for
	// minutes.
	if c.most(c.inSight) {
		now.together = firstSeen(old.together, c.now)
	} else {
		now.alone = firstSeen(old.alone, c.now)
	}
	for _, name := range c.nodeNames() {
		if c.health(name) == scheduler.Unfit {
			now.unfit[name] = firstSeen(old.unfit[name], c.now)
		}
		for _, t := range c.index.nodes[name].Taints {
			if t.Effect == corev1.TaintEffectNoExecute {
				t.TimeAdded = nil
				setPart(now.expels, name, t, firstSeen(old.expels[name][t], c.now))
			}
		}
	}
	c.sched.troubles = now
}

func firstSeen(before, now Instant) Instant {
	if before == 0 {
		return max(now, 1)
	}
	return before
}

// nodeNames lists this node and the members that have not left, sorted.
func (c *Core) nodeNames() []string {
	names := map[string]bool{c.cfg.Node: true}
	for name, m := range c.members.byName {
		if !m.Left {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// troubled says since when a node of a view is as it is, and whom it expels.
func (c *Core) troubled(n *scheduler.Node) {
	t := &c.sched.troubles
	switch m := c.members.byName[n.Name]; {
	case n.Health == scheduler.Lost && m != nil:
		n.Since = m.since
	case n.Health == scheduler.Unfit:
		n.Since = t.unfit[n.Name]
	}
	for _, taint := range n.Taints { // in their order
		taint.TimeAdded = nil
		if since := t.expels[n.Name][taint]; since != 0 {
			n.Expels = append(n.Expels, scheduler.Expulsion{Taint: taint, Since: since})
		}
	}
}
