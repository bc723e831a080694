package core

import (
	"maps"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
	"holon/scheduler"
)

// booking is the scheduler's view, kept from plan to plan, so that a plan costs
// what has changed. It is made anew when a node or its liveness changes. After each
// plan, and until the next change:
//
//   - view.Nodes are this node and the members that have not left; live are those
//     of them who are there; both sorted by name
//   - every wanted slot is booked once: on the node that runs it in this view, or
//     else on the one that was chosen for it when it was planned last, if any
//   - of says what is booked, for exactly the workloads of which something is
//
// AuditPlan compares it with one made from nothing.
type booking struct {
	view   *scheduler.View // nil before the first plan
	live   []string
	of     map[crdt.UID]booked
	awake  Instant // members.awake when the majority was counted
	unsure bool    // somebody live was not heard since then; his word alone may change the majority
}

// booked is what is booked of one workload, by node, once per slot.
type booked struct {
	workload *state.Workload // as it was: its demand is what was booked
	runs     []string        // of slots that somebody runs
	chosen   []string        // of slots for which a node was chosen
}

// renewView makes the view anew if something has changed that concerns every
// workload, and reports whether it has.
func (c *Core) renewView() bool {
	b := &c.sched.booking
	if b.view != nil && !c.index.dirtyAll && !c.majorityMoved() {
		b.view.Now = c.now
		return false
	}
	c.index.dirtyAll = true // what runs here follows from the view, too
	c.noteTroubles()
	c.sched.booking = c.freshBooking()
	return true
}

// majorityMoved counts again where time or words alone may have changed the
// majority: after this node slept. A word touches nothing, so each Step asks (seed
// 2668 of the histories).
func (c *Core) majorityMoved() bool {
	b := &c.sched.booking
	if b.view == nil || !b.unsure && b.awake == c.members.awake && !c.members.swim.Slow() {
		return false
	}
	if b.view.Majority != c.majority() {
		return true // until the view is made anew
	}
	b.awake, b.unsure = c.members.awake, c.unheard()
	return false
}

// unheard reports whether a live member was not heard since this node slept, or may have
// to be heard because it is slow.
func (c *Core) unheard() bool {
	if c.members.swim.Slow() {
		return true
	}
	for _, m := range c.members.byName {
		if m.live && m.word < c.members.awake {
			return true
		}
	}
	return false
}

// freshBooking gathers what the scheduler may know, with every wanted slot booked
// on the node that runs it. Bookings are sums: their order does not matter.
func (c *Core) freshBooking() booking {
	b := booking{
		view: c.emptyView(),
		live: c.liveNodes(), of: make(map[crdt.UID]booked, len(c.index.workloads)), awake: c.members.awake, unsure: c.unheard(),
	}
	b.bookAll(c)
	return b
}

// emptyView is the scheduler's view with nothing booked.
func (c *Core) emptyView() *scheduler.View {
	v := &scheduler.View{
		Majority: c.majority(), Held: c.homesHeld(), Refused: c.refusedBy, Pin: c.pinOf, Now: c.now, LostAfter: c.cfg.LostAfter,
		AloneSince: c.sched.troubles.alone, TogetherSince: c.sched.troubles.together,
	}
	for _, name := range c.nodeNames() {
		v.Nodes = append(v.Nodes, c.viewNode(name))
	}
	return v
}

func (b *booking) bookAll(c *Core) {
	for _, w := range c.index.workloads {
		b.book(w, c.wantedIn(b.view, w))
	}
}

// copyBooking is a booking of everything, those chosen included, that may be changed.
func (c *Core) copyBooking() booking {
	b := c.freshBooking()
	for uid, kept := range c.sched.booking.of {
		if c.index.workloads[uid] != kept.workload {
			continue // changed since
		}
		for _, node := range kept.chosen {
			b.view.Occupy(kept.workload, node)
		}
	}
	return b
}

func (c *Core) viewNode(name string) *scheduler.Node {
	n := &scheduler.Node{Name: name, Health: c.health(name), Silent: !c.live(name), Unknown: true, Daemon: state.DaemonIndex(name), Unsteady: c.unsteady(name), Slots: map[crdt.UID]int{}}
	if s := c.statusOf(name); s != nil {
		n.Allocatable, n.HostPortsOnly, n.Unknown = s.Allocatable, s.HostPortsOnly, s.Runtime == ""
	}
	stored := c.index.nodes[name]
	n.Taints, n.Unschedulable = slices.Concat(stored.Taints, c.statusOf(name).Taints()), stored.Unschedulable
	n.Labels = nodeLabels(name, stored.Labels, c.statusOf(name))
	c.troubled(n)
	return n
}

// book books the wanted slots of a workload of which nothing is booked on those
// who run them.
func (b *booking) book(w *state.Workload, slots []state.Slot) {
	var runs []string
	for i := range slots {
		if node := b.view.Assigned(w, &slots[i]); node != "" {
			b.view.Occupy(w, node)
			runs = append(runs, node)
		}
	}
	if len(runs) > 0 {
		b.of[w.UID] = booked{workload: w, runs: runs}
	}
}

// choose remembers what Place has booked for a workload beside its runners.
func (b *booking) choose(w *state.Workload, nodes []string) {
	if len(nodes) > 0 {
		b.of[w.UID] = booked{workload: w, runs: b.of[w.UID].runs, chosen: nodes}
	}
}

// release takes back what is booked of a workload; false: the view has to be made
// anew.
func (b *booking) release(uid crdt.UID) bool {
	old := b.of[uid]
	delete(b.of, uid)
	for _, node := range old.all() {
		if !b.view.Release(old.workload, node) {
			return false
		}
	}
	return true
}

// rebook books anew who runs the workloads that are due, before any of them is
// planned, and gives what was booked. Where that leaves room behind, those that wait
// for room are due, too. A booking that is added lets in only who heeds others; see
// plan.
func (c *Core) rebook(due map[crdt.UID]bool) (before map[crdt.UID]booked) {
	before = make(map[crdt.UID]booked, len(due))
	freed, known := c.rebookEach(due, before)
	if freed && known {
		_, known = c.rebookEach(c.sched.waiting, before)
		maps.Copy(due, c.sched.waiting)
	}
	if !known {
		c.sched.booking = c.freshBooking()
		maps.Copy(due, c.everything())
	}
	return before
}

// grown reports whether something is booked of those who are due where it was not
// before.
func (c *Core) grown(due map[crdt.UID]bool, before map[crdt.UID]booked) bool {
	for uid := range due {
		if now := c.sched.booking.of[uid]; !contained(now.all(), before[uid].all()) {
			return true
		}
	}
	return false
}

func (b booked) all() []string { return slices.Concat(b.runs, b.chosen) }

// rebookEach reports whether it made room somewhere; known is false if what is
// booked cannot be known any more.
func (c *Core) rebookEach(uids map[crdt.UID]bool, before map[crdt.UID]booked) (freed, known bool) {
	b := &c.sched.booking
	for uid := range uids {
		old, w := b.of[uid], c.index.workloads[uid]
		if _, again := before[uid]; !again {
			before[uid] = old
		}
		if !b.release(uid) {
			return freed, false
		}
		if w != nil {
			b.book(w, c.wantedIn(b.view, w))
		}
		resized := old.workload != nil && old.workload != w
		freed = freed || resized || !contained(old.all(), b.of[uid].runs)
	}
	return freed, true
}

// contained reports whether every element of part, as often as it is there, is in
// whole.
func contained(part, whole []string) bool {
	if len(part) > len(whole) {
		return false
	}
	count := make(map[string]int, len(whole))
	for _, s := range whole {
		count[s]++
	}
	for _, s := range part {
		if count[s]--; count[s] < 0 {
			return false
		}
	}
	return true
}
