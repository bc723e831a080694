package core

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p/swim"
	"holon/scheduler"
)

// schedule turns the view into writes. Every node computes the same plan; the
// first in the workload's rendezvous order writes it at once, the one of rank k
// only if it is still undone after k rank delays. That covers dead, slow and
// half-broken schedulers alike.
type schedule struct {
	view     *scheduler.View
	reasons  map[crdt.UID][]scheduler.Reason
	undone   map[crdt.UID]undone
	refusals map[refusal]*refused
	next     Instant // when to plan again although nothing changed
}

type undone struct {
	what  string // the writes that are due, to notice progress
	since Instant
}

func newSchedule() schedule {
	return schedule{reasons: map[crdt.UID][]scheduler.Reason{}, undone: map[crdt.UID]undone{}, refusals: map[refusal]*refused{}}
}

// deed is one write that a plan asks for.
type deed struct {
	what string
	do   func() error
}

// plan computes what is to be written for every workload that may need it, and
// writes it if it is this node's turn.
func (c *Core) plan() {
	if c.cfg.Passive {
		return
	}
	x := &c.index
	if !x.dirtyAll && len(x.touched) == 0 && (c.sched.next == 0 || c.now < c.sched.next) {
		if c.sched.next != 0 {
			c.wake(c.sched.next)
		}
		return
	}
	c.sched.next = 0
	c.noteRefusals()
	c.sched.view = c.buildView()
	c.runner.dirty, c.derived.dirty = true, true
	for uid := range x.touched {
		c.derived.workloads[uid] = true
	}
	if x.dirtyAll {
		c.derived.all = true
	}
	x.dirtyAll = false
	clear(x.touched)
	settled := c.settled()
	if due := c.booted + c.cfg.BootGrace; !settled && c.now < due {
		c.sched.again(due) // though nothing may happen until then
	}
	live := c.liveNodes()
	for _, uid := range c.sortedWorkloads() {
		w := x.workloads[uid]
		deeds := c.planWorkload(w)
		if settled {
			c.perform(uid, deeds, live)
		}
	}
	for _, uid := range c.gone() {
		if settled {
			c.perform(uid, c.burials(uid), live)
		}
	}
	if c.sched.next != 0 {
		c.wake(c.sched.next)
	}
}

// again asks for another plan at t although nothing may have changed.
func (s *schedule) again(t Instant) {
	if s.next == 0 || t < s.next {
		s.next = t
	}
}

// perform does the deeds of a workload if it is this node's turn, or remembers
// since when they are undone.
func (c *Core) perform(uid crdt.UID, deeds []deed, live []string) {
	if len(deeds) == 0 {
		delete(c.sched.undone, uid)
		return
	}
	what := ""
	for _, d := range deeds {
		what += d.what + ";"
	}
	due, ok := c.sched.undone[uid]
	if !ok || due.what != what {
		due = undone{what: what, since: c.now}
		c.sched.undone[uid] = due
	}
	rank := scheduler.Rank(uid, live, c.cfg.Node)
	turn := due.since + time.Duration(rank)*c.cfg.RankDelay
	if c.now < turn {
		c.sched.again(turn)
		return
	}
	for _, d := range deeds {
		if err := d.do(); err != nil {
			c.fact(true, "", "PlanNotWritten", "%s: %v", d.what, err)
		}
	}
	delete(c.sched.undone, uid)
}

func (c *Core) sortedWorkloads() []crdt.UID {
	return slices.SortedFunc(maps.Keys(c.index.workloads), crdt.UID.Compare)
}

// gone lists retired workloads that still own slots or revisions, or were not
// deleted.
func (c *Core) gone() []crdt.UID {
	found := map[crdt.UID]bool{}
	for uid := range c.index.losers {
		found[uid] = true
	}
	for uid := range c.index.slots {
		c.orphaned(uid)
		found[uid] = c.index.retired[uid]
	}
	for uid := range c.index.revisions {
		c.orphaned(uid)
		found[uid] = c.index.retired[uid]
	}
	maps.DeleteFunc(found, func(_ crdt.UID, retired bool) bool { return !retired })
	return slices.SortedFunc(maps.Keys(found), crdt.UID.Compare)
}

// orphaned retires a workload of which slots or revisions are left, but not even
// a tombstone: one that the context says this node has had. By I2 it was deleted
// and purged since. What is left was written by a node that did not know.
func (c *Core) orphaned(uid crdt.UID) {
	x := &c.index
	if x.retired[uid] || x.workloads[uid] != nil || c.cfg.Ablate == OrphanRule {
		return
	}
	gone := func(owner state.Key, birth crdt.Dot) bool {
		if owner == "" || !c.store.context.Has(birth) {
			return false
		}
		rec := c.store.record(owner)
		return rec == nil || rec.Objects[uid] == nil
	}
	for _, s := range x.slots[uid] {
		x.retired[uid] = x.retired[uid] || gone(s.Owner, s.OwnerBirth)
	}
	for _, r := range x.revisions[uid] {
		x.retired[uid] = x.retired[uid] || gone(r.owner, r.birth)
	}
	if x.retired[uid] {
		c.store.count.Orphans++
	}
}

// burials removes what a retired workload left behind. One that lost its name is
// deleted itself, and first: its slots cannot be made again, so it must not come
// back when the winner is deleted (seed 42 of the histories).
func (c *Core) burials(uid crdt.UID) []deed {
	var deeds []deed
	if key, ok := c.index.losers[uid]; ok {
		deeds = append(deeds, deed{fmt.Sprintf("delete the younger %s %s", key, uid), func() error {
			return c.buryLoser(key, uid)
		}})
	}
	for _, i := range slices.Sorted(maps.Keys(c.index.slots[uid])) {
		s := c.index.slots[uid][i]
		key := state.SlotKey(s.Namespace, s.ID)
		deeds = append(deeds, deed{"bury " + string(key), func() error { return c.bury(key) }})
	}
	for _, hash := range slices.Sorted(maps.Keys(c.index.revisions[uid])) {
		key := c.index.revisions[uid][hash].key
		deeds = append(deeds, deed{"bury " + string(key), func() error { return c.bury(key) }})
	}
	return deeds
}

// buryLoser deletes an object that lost its name, and keeps in the winner what it
// said, if that was something else.
func (c *Core) buryLoser(key state.Key, uid crdt.UID) error {
	rec := c.store.record(key)
	kept := state.KeepLoser(rec, uid)
	if err := c.write(key, func(rec *crdt.Record, at crdt.Write) (*crdt.Record, error) { return rec.Delete(uid, at) }); err != nil {
		return err
	}
	if kept == nil {
		return nil // nobody has to decide anything
	}
	c.fact(true, key, "NameConflict", "two objects were created under this name; the older one stays, %s is deleted; see holon conflicts", uid)
	if err := c.set(key, rec.Live().UID, map[string][]byte{state.ConflictPath(uid): kept}); err != nil {
		c.fact(true, key, "NameConflict", "what %s said is lost: %v", uid, err)
	}
	return nil
}

// rivals removes the objects of slots that lost to the one made on the other side
// of a partition.
func (c *Core) rivals(uid crdt.UID) []deed {
	var deeds []deed
	for _, i := range slices.Sorted(maps.Keys(c.index.slots[uid])) {
		s := c.index.slots[uid][i]
		for _, rival := range s.Rivals {
			key := state.SlotKey(s.Namespace, s.ID)
			deeds = append(deeds, deed{fmt.Sprintf("bury the rival %s of %s", rival, key), func() error {
				return c.write(key, func(rec *crdt.Record, at crdt.Write) (*crdt.Record, error) { return rec.Delete(rival, at) })
			}})
		}
	}
	return deeds
}

// planWorkload says what is to be written for one workload now.
func (c *Core) planWorkload(w *state.Workload) []deed {
	var deeds []deed
	if !w.Bare() && c.index.revisions[w.UID][w.Revision].template == nil {
		deeds = append(deeds, c.newRevision(w))
	}
	deeds = append(deeds, c.rivals(w.UID)...)
	slots := c.index.wanted(w)
	plan := scheduler.Place(c.sched.view, w, slots)
	c.sched.reasons[w.UID] = plan.Reasons
	for i := range plan.Decisions {
		deeds = append(deeds, c.placement(w, plan.Decisions[i]))
	}
	if !w.Bare() {
		deeds = append(deeds, c.rollout(w, slots)...)
		deeds = append(deeds, c.forgetRevisions(w)...)
	}
	return deeds
}

// newRevision stores the present template under its hash, so that any node can
// run it after the workload has moved on. Both sides of a partition may do so:
// the contents are equal.
func (c *Core) newRevision(w *state.Workload) deed {
	key := revisionKey(w.Namespace, w.UID, w.Revision)
	number := int64(1)
	for _, r := range c.index.revisions[w.UID] {
		number = max(number, r.number+1)
	}
	return deed{"store " + string(key), func() error {
		return c.write(key, func(rec *crdt.Record, at crdt.Write) (*crdt.Record, error) {
			uid := state.DerivedUID("revision", string(key), at.Dot.String())
			return rec.Set(uid, at, map[string][]byte{
				state.RevisionTemplate:   state.EncodeRegister(w.Template),
				state.RevisionNumber:     state.EncodeRegister(number),
				state.RevisionCreated:    state.EncodeRegister(c.host.WallClockHint),
				state.RevisionOwner:      state.EncodeRegister(w.Key),
				state.RevisionOwnerBirth: state.EncodeRegister(w.Birth),
			})
		})
	}}
}

// placement writes a home or a stand-in; a first home creates the slot.
func (c *Core) placement(w *state.Workload, d scheduler.Decision) deed {
	key := state.SlotKey(w.Namespace, d.Slot)
	slot, exists := c.index.slots[d.Slot.Workload][d.Slot.Index]
	if d.StandIn != nil {
		return deed{fmt.Sprintf("%s stand-in %s@%d", key, d.StandIn.Node, d.StandIn.Basis), func() error {
			c.fact(false, w.Key, "StandIn", "%s stands in for slot %d while its home is out of reach", d.StandIn.Node, d.Slot.Index)
			return c.set(key, slot.UID, map[string][]byte{state.SlotStandIn: state.EncodeRegister(d.StandIn)})
		}}
	}
	return deed{fmt.Sprintf("%s home %s@%d", key, d.Home.Node, d.Home.Term), func() error {
		uid := slot.UID
		if !exists {
			err := c.write(key, func(rec *crdt.Record, at crdt.Write) (*crdt.Record, error) {
				uid = state.SlotUID(d.Slot, at.Dot)
				return rec.Set(uid, at, map[string][]byte{
					state.SlotOwner:      state.EncodeRegister(w.Key),
					state.SlotOwnerBirth: state.EncodeRegister(w.Birth),
					state.SlotRun:        state.EncodeRegister(state.Run{Revision: w.Revision}),
				})
			})
			if err != nil {
				return err
			}
		}
		c.fact(false, w.Key, "Scheduled", "slot %d belongs on %s", d.Slot.Index, d.Home.Node)
		return c.setRanked(key, uid, state.SlotHome, d.Home.Term, state.EncodeRegister(d.Home))
	}}
}

// buildView gathers what the scheduler may know, with every wanted slot booked
// on the node that runs it in this view.
func (c *Core) buildView() *scheduler.View {
	v := &scheduler.View{Majority: c.majority(), Refused: c.refusedBy}
	names := map[string]bool{c.cfg.Node: true}
	for name, b := range c.members.byName {
		if !b.Left {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		v.Nodes = append(v.Nodes, c.viewNode(name))
	}
	for _, uid := range c.sortedWorkloads() {
		w := c.index.workloads[uid]
		for i := range w.Replicas {
			if s, ok := c.index.slots[uid][i]; ok {
				v.Occupy(w, v.Assigned(&s))
			}
		}
	}
	return v
}

func (c *Core) viewNode(name string) *scheduler.Node {
	n := &scheduler.Node{Name: name, Health: c.health(name), Slots: map[crdt.UID]int{}}
	if s := c.statusOf(name); s != nil {
		n.Allocatable, n.HostPortsOnly = s.Allocatable, s.HostPortsOnly
	}
	stored := c.index.nodes[name]
	n.Taints, n.Unschedulable = stored.Taints, stored.Unschedulable
	n.Labels = nodeLabels(name, stored.Labels, c.statusOf(name))
	return n
}

// health judges a node. One that has said nothing yet counts as serving: it keeps
// what it has, and having no known room it gets nothing new.
func (c *Core) health(name string) scheduler.Health {
	if !c.live(name) {
		b := c.members.byName[name]
		switch {
		case b == nil || b.Left:
			return scheduler.Gone
		case b.state == swim.Left: // said that it stops, not that it leaves the cluster
			return scheduler.Draining
		case b.restarting:
			return scheduler.Serving
		case c.now-b.since >= c.cfg.LostAfter:
			return scheduler.LostLong
		}
		c.sched.again(b.since + c.cfg.LostAfter)
		return scheduler.Lost
	}
	s := c.statusOf(name)
	if s == nil {
		return scheduler.Serving
	}
	if s.Draining {
		return scheduler.Draining
	}
	for _, cond := range s.Conditions {
		if cond.Type == "Ready" && !cond.True && cond.Reason != "Starting" {
			return scheduler.Unfit
		}
	}
	return scheduler.Serving
}

// Explain gives the scheduler of a workload, its standbys and the reasons of
// its slots, in words.
func (c *Core) explain(w *state.Workload) Explanation {
	order := scheduler.Order(w.UID, c.liveNodes())
	e := Explanation{Key: w.Key, Scheduler: order[0], Standbys: order[1:], Majority: c.majority()}
	for _, s := range c.index.wanted(w) {
		slot := SlotExplanation{Slot: s, StandIn: c.standsIn(&s)}
		for _, r := range c.sched.reasons[w.UID] {
			if r.Slot == s.ID {
				slot.Reasons = append(slot.Reasons, r.Text)
			}
		}
		e.Slots = append(e.Slots, slot)
	}
	return e
}

// Explanation is why a workload is where it is, from this node's view.
type Explanation struct {
	Key       state.Key
	Scheduler string
	Standbys  []string
	Majority  bool
	Slots     []SlotExplanation
}

// SlotExplanation is one slot of an Explanation.
type SlotExplanation struct {
	Slot    state.Slot
	StandIn string // who stands in now; Slot keeps the name when that is over
	Reasons []string
}

// standsIn is the node that stands in for the home of a slot in this view, until
// the home is ready again and the stand-in stops.
func (c *Core) standsIn(s *state.Slot) string {
	if !s.HasStandIn() {
		return ""
	}
	node := s.StandIn.Node
	if c.sched.view != nil && c.sched.view.Assigned(s) == node {
		return node
	}
	if r := c.statusOf(node).Find(state.MakeRunID(s.ID, s.Run.Revision, node, s.Run.Nonce)); r == nil || r.Stopping || !c.live(node) {
		return ""
	}
	return node
}
