package core

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
	"holon/runtime"
	"holon/scheduler"
)

// AuditPlan compares what planning and running keep from Step to Step with what
// they would have if they began from nothing, and says what differs. Between a
// change and the Step that follows it, nothing is promised.
func (c *Core) AuditPlan() (bad []string) {
	if c.cfg.Passive || c.members.evicted || c.index.dirtyAll || len(c.index.touched) > 0 || c.sched.booking.view == nil {
		return nil
	}
	say := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	if next := c.sched.next; next != 0 && next <= c.now {
		say("a plan was due at %v", next)
	}
	c.auditIndex(say)
	c.auditBooking(say)
	if len(bad) == 0 { // or what follows is nothing but its consequence
		c.auditPlans(say)
		c.auditRuns(say)
		c.auditBudgets(say)
		c.auditServices(say)
	}
	return bad
}

type sayer func(format string, args ...any)

// auditIndex compares the sets of the index and of the statuses with a scan.
func (c *Core) auditIndex(say sayer) {
	x, strays, here := &c.index, map[crdt.UID]bool{}, map[crdt.UID]map[int]bool{}
	for uid := range c.everything() {
		if x.stray(uid) {
			strays[uid] = true
		}
	}
	for uid, slots := range x.slots {
		for i, s := range slots {
			if s.Home.Node == c.cfg.Node || s.HasStandIn() && s.StandIn.Node == c.cfg.Node {
				setPart(here, uid, i, true)
			}
		}
	}
	if !maps.Equal(strays, x.strays) {
		say("workloads that only left something behind are %v, kept is %v", strays, x.strays)
	}
	if !reflect.DeepEqual(here, x.here) {
		say("slots here are %v, kept is %v", here, x.here)
	}
	fresh := newStatuses()
	for node, s := range c.status.byNode {
		fresh.move(node, nil, s)
	}
	fresh.move(c.cfg.Node, nil, c.status.own)
	if !reflect.DeepEqual(fresh.runs, c.status.runs) {
		say("runs of all nodes are not those of their statuses")
	}
}

// auditBooking compares the kept view with a fresh one in which the same nodes are
// chosen.
func (c *Core) auditBooking(say sayer) {
	kept, fresh := &c.sched.booking, c.freshBooking()
	if kept.view.Majority != fresh.view.Majority && !kept.unsure && kept.awake == fresh.awake {
		say("the majority is kept as %v", kept.view.Majority)
	}
	if !slices.Equal(kept.live, fresh.live) {
		say("live are %v, kept is %v", fresh.live, kept.live)
	}
	for uid, b := range kept.of {
		if w := c.index.workloads[uid]; w != b.workload || !slices.Equal(b.runs, fresh.of[uid].runs) {
			say("of workload %s %v run, kept is %v; the same object: %v", uid, fresh.of[uid].runs, b.runs, w == b.workload)
			return
		}
		for _, node := range b.chosen {
			fresh.view.Occupy(b.workload, node)
		}
	}
	if len(kept.view.Nodes) != len(fresh.view.Nodes) {
		say("the kept view has %d nodes of %d", len(kept.view.Nodes), len(fresh.view.Nodes))
		return
	}
	for i := range kept.view.Nodes {
		if a, b := plainNode(kept.view.Nodes[i]), plainNode(fresh.view.Nodes[i]); !reflect.DeepEqual(a, b) {
			say("node %+v is kept as %+v", b, a)
		}
	}
}

// plainNode is a node with its ports in order.
func plainNode(n *scheduler.Node) scheduler.Node {
	plain := *n
	plain.Ports = slices.SortedFunc(slices.Values(n.Ports), func(a, b state.HostPort) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.IP, b.IP), cmp.Compare(a.Protocol, b.Protocol))
	})
	return plain
}

// auditPlans looks for a workload that needs something and that no plan is about.
func (c *Core) auditPlans(say sayer) {
	s, waiting, heeding := &c.sched, map[crdt.UID]bool{}, map[crdt.UID]bool{}
	if !s.settled {
		return
	}
	full := c.copyBooking()
	for _, uid := range sortedUIDs(c.everything()) {
		if u, ok := s.undone[uid]; ok {
			if u.turn <= c.now || s.turn > u.turn {
				say("the turn of %s was at %v", uid, u.turn)
			}
			continue
		}
		var plan scheduler.Plan
		var deeds []deed
		if w := c.index.workloads[uid]; w != nil {
			plan, deeds = c.planIn(full.view, w)
		}
		if j := c.index.crons[uid]; j != nil {
			deeds, _ = c.cronDeeds(j)
		}
		deeds = append(deeds, c.lifeDeeds(uid)...)
		if c.gone(uid) {
			deeds = append(deeds, c.burials(uid)...)
		}
		if len(deeds) > 0 {
			say("no plan is about %s, which needs: %s", uid, deeds[0].what)
			return
		}
		if plan.Waits {
			waiting[uid], heeding[uid] = true, plan.Heeds
		}
	}
	for uid := range waiting {
		if !s.waiting[uid] || s.heeding[uid] != heeding[uid] {
			say("%s waits for room, and it is not noted", uid)
		}
	}
}

// auditRuns compares the sets of the runner with a scan, and what is wanted with
// what is if everything is judged again.
func (c *Core) auditRuns(say sayer) {
	n := &c.runner
	if n.dirty {
		return
	}
	for id, r := range n.runs {
		_, here := n.seen[id]
		waits := n.stirred[id] || n.blocked[id] || r.busy || r.pauses()
		switch {
		case n.of[r.slot.ID.Workload][id] != r:
			say("run %s is not listed with its workload", id)
		case n.outside[id] == r.admitted:
			say("run %s is admitted: %v, and outside: %v", id, r.admitted, n.outside[id])
		case r.pauses() && !n.pausing[id]:
			say("run %s pauses and nobody looks when it is over", id)
		case !waits && (!r.wanted || r.admitted && !here):
			say("run %s is wanted: %v, here: %v, and nobody looks at it", id, r.wanted, here)
		}
	}
	c.auditProbes(say)
	for id := range n.seen {
		if n.strangers[id] != (n.runs[id] == nil) {
			say("pod %s is a stranger: %v", id, n.strangers[id])
		}
	}
	wanted := map[state.RunID]bool{}
	for id, r := range n.runs {
		wanted[id] = r.wanted
	}
	n.unsureAll = true
	c.wantRuns()
	for id, r := range n.runs {
		if was, ok := wanted[id]; !ok || was != r.wanted {
			say("run %s is wanted: %v, kept was %v (%v)", id, r.wanted, was, ok)
		}
	}
}

// auditProbes looks for a container that runs and is not probed, and for an attempt
// that is due and that nobody makes.
func (c *Core) auditProbes(say sayer) {
	n := &c.runner
	for id, r := range n.runs {
		watches := false
		for _, spec := range r.containers() {
			seen, w := n.sees(r, spec.Name), r.watched[spec.Name]
			runs := isWatched(&spec) && r.wanted && seen != nil && seen.State == runtime.Running
			if watches = watches || runs; !n.stirred[id] && runs != (w != nil && w.running && w.attempt == seen.Attempt) {
				say("container %s of run %s is to be probed: %v", spec.Name, id, runs)
			}
		}
		if !n.stirred[id] && n.probing[id] != watches {
			say("run %s is probed: %v, and has a container that is to be: %v", id, n.probing[id], watches)
		}
		for _, t := range r.turns() {
			if n.probes < probesMax && (n.probeAt == 0 || n.probeAt > t.due) {
				say("a probe of run %s is due at %v, and nobody looks before %v", id, t.due, n.probeAt)
			}
		}
	}
}
