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
//
// A plan goes through the workloads that are due: those that were touched, whose
// turn has come, or that wait for room where some was left behind. All others need
// nothing that they did not need in the plan before: a workload's plan depends on
// its own records and the statuses of its runs (touched), on nodes and their
// liveness (dirtyAll), on refusals (noteRefusals touches), on room, and, for those
// that heed them, on the pods of others.
type schedule struct {
	booking  booking
	reasons  map[crdt.UID][]scheduler.Reason // of every workload, one per wanted slot
	undone   map[crdt.UID]undone
	waiting  map[crdt.UID]bool // a slot of it found no node
	heeding  map[crdt.UID]bool // those of them that another's pod may let in
	refusals map[refusal]*refused
	alarms   alarms
	troubles troubles
	settled  bool    // as of the last plan
	turn     Instant // no turn of an undone one comes before
	next     Instant // when to plan again although nothing changed
}

// undone is what a workload needs and others are to write first.
type undone struct {
	what  string // the writes that are due, to notice progress
	since Instant
	turn  Instant // when this node writes them
}

func newSchedule() schedule {
	return schedule{reasons: map[crdt.UID][]scheduler.Reason{}, undone: map[crdt.UID]undone{}, waiting: map[crdt.UID]bool{}, heeding: map[crdt.UID]bool{}, refusals: map[refusal]*refused{}, alarms: alarms{at: map[crdt.UID]Instant{}}}
}

// deed is one write that a plan asks for.
type deed struct {
	what string
	do   func() error
}

// plan computes what is to be written for every workload that is due, and writes
// it if it is this node's turn.
func (c *Core) plan() {
	if c.cfg.Passive {
		return
	}
	if c.members.evicted {
		c.handOn() // those who come after it have to know what there is to stop
		return
	}
	x, s := &c.index, &c.sched
	if !x.dirtyAll && len(x.touched) == 0 && (s.next == 0 || c.now < s.next) && !c.majorityMoved() {
		if s.next != 0 {
			c.wake(s.next)
		}
		return
	}
	s.next = 0
	c.ring()
	c.noteRefusals()
	renewed, settled := c.renewView(), c.settled()
	all := renewed || settled != s.settled
	s.settled = settled
	due := c.due(c.handOn(), all)
	before := map[crdt.UID]booked{}
	if !renewed {
		before = c.rebook(due)
	}
	for range heedRounds {
		for _, uid := range byUrgency(c, due) {
			c.planOne(uid)
		}
		if len(s.heeding) == 0 || !c.grown(due, before) {
			break
		}
		due = maps.Clone(s.heeding)
		before = c.rebook(due)
	}
	c.planAgain()
}

// heedRounds bounds how often one plan goes through those whom what it has just
// placed may let in. More come to light with the next change.
const heedRounds = 8

// handOn gives what has changed since the last plan to those who come after it, and
// to this one. Sets that are emptied are made anew: one that was large once stays
// slow to go through.
func (c *Core) handOn() (touched map[crdt.UID]bool) {
	x := &c.index
	c.unsettleRuns(x.touched)
	c.runner.unsureAll, c.runner.dirty = c.runner.unsureAll || x.dirtyAll, c.runner.dirty || x.dirtyAll
	c.derived.dirty, c.derived.all = true, c.derived.all || x.dirtyAll
	maps.Copy(c.derived.workloads, x.touched)
	touched, x.touched, x.dirtyAll = x.touched, map[crdt.UID]bool{}, false
	return touched
}

// due lists the workloads to plan now. What is left of some whose own object is
// not here is always looked at: the context alone may say that it is gone.
func (c *Core) due(touched map[crdt.UID]bool, all bool) map[crdt.UID]bool {
	due := touched
	maps.Copy(due, c.index.strays)
	if all {
		c.sched.turn = 0
		maps.Copy(due, c.everything())
		return due
	}
	if s := &c.sched; s.turn != 0 && c.now >= s.turn {
		s.turn = 0
		for uid, u := range s.undone {
			if u.turn <= c.now {
				due[uid] = true
			} else {
				s.turn = sooner(s.turn, u.turn)
			}
		}
	}
	return due
}

// everything lists all that a plan can be about.
func (c *Core) everything() map[crdt.UID]bool {
	x, all := &c.index, map[crdt.UID]bool{}
	for uid := range x.workloads {
		all[uid] = true
	}
	for uid := range x.slots {
		all[uid] = true
	}
	for uid := range x.revisions {
		all[uid] = true
	}
	for uid := range x.losers {
		all[uid] = true
	}
	for uid := range x.crons {
		all[uid] = true
	}
	for uid := range x.owned {
		all[uid] = true
	}
	for uid := range x.lives.at {
		all[uid] = true
	}
	for uid := range c.sched.undone {
		all[uid] = true
	}
	return all
}

// planOne plans one workload, or buries what is left of it.
func (c *Core) planOne(uid crdt.UID) {
	x, s := &c.index, &c.sched
	var deeds []deed
	if w := x.workloads[uid]; w != nil {
		deeds = c.planWorkload(w)
	} else {
		delete(s.reasons, uid)
		delete(s.waiting, uid)
		delete(s.heeding, uid)
	}
	if j := x.crons[uid]; j != nil {
		var again Instant
		deeds, again = c.cronDeeds(j)
		s.alarms.set(uid, again)
	}
	deeds = append(deeds, c.lifeDeeds(uid)...)
	if c.gone(uid) {
		deeds = append(deeds, c.burials(uid)...)
	}
	delete(x.strays, uid)
	if x.stray(uid) {
		x.strays[uid] = true
	}
	if s.settled {
		c.perform(uid, deeds)
	}
}

// planAgain says when the next plan is due although nothing has changed.
func (c *Core) planAgain() {
	s := &c.sched
	s.next = sooner(sooner(s.next, s.turn), s.alarms.next)
	if grace := c.booted + c.cfg.BootGrace; !s.settled && c.now < grace {
		s.next = sooner(s.next, grace)
	}
	if s.next != 0 {
		c.wake(s.next)
	}
}

// sooner is the earlier of two instants of which 0 means never.
func sooner(a, b Instant) Instant {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// perform does the deeds of a workload if it is this node's turn, or remembers
// since when they are undone.
func (c *Core) perform(uid crdt.UID, deeds []deed) {
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
	}
	rank := scheduler.Rank(uid, c.sched.booking.live, c.cfg.Node)
	due.turn = due.since + time.Duration(rank)*c.cfg.RankDelay
	if c.now < due.turn {
		c.later(uid, due)
		return
	}
	delete(c.sched.undone, uid)
	for _, d := range deeds {
		if err := d.do(); err != nil {
			c.fact(true, "", "PlanNotWritten", "%s: %v", d.what, err)
			c.later(uid, undone{what: what, since: c.now, turn: c.now + c.cfg.RankDelay})
		}
	}
}

func (c *Core) later(uid crdt.UID, u undone) {
	c.sched.undone[uid], c.sched.turn = u, sooner(c.sched.turn, u.turn)
}

func sortedUIDs[V any](m map[crdt.UID]V) []crdt.UID {
	return slices.SortedFunc(maps.Keys(m), crdt.UID.Compare)
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

// planWorkload says what is to be written for one workload now, and books it.
func (c *Core) planWorkload(w *state.Workload) []deed {
	plan, deeds := c.planIn(c.sched.booking.view, w)
	c.sched.booking.choose(w, plan.Booked)
	c.sched.alarms.set(w.UID, plan.Again)
	c.explained(w.UID, &plan)
	return deeds
}

// planIn plans one workload in a view and changes nothing but that.
func (c *Core) planIn(view *scheduler.View, w *state.Workload) (plan scheduler.Plan, deeds []deed) {
	deeds = append(c.revise(w), c.rivals(w.UID)...)
	slots := c.wantedIn(view, w)
	deeds = append(deeds, c.claimDeeds(w, slots)...)
	plan = c.place(view, w, slots)
	for i := range plan.Decisions {
		deeds = append(deeds, c.placement(w, plan.Decisions[i]))
	}
	switch {
	case w.Job != nil:
		deeds = append(deeds, c.jobDeeds(w, slots, &plan)...)
	case !w.Bare():
		deeds = append(deeds, c.rollout(w, slots)...)
		deeds = append(deeds, c.forgetRevisions(w)...)
	}
	return plan, deeds
}

// newRevision stores the present template under its hash, so that any node can
// run it after the workload has moved on. Both sides of a partition may do so:
// the contents are equal.
func (c *Core) newRevision(w *state.Workload, number int64) deed {
	key := revisionKey(w.Namespace, w.UID, w.Revision)
	return deed{"store " + string(key), func() error {
		return c.write(key, func(rec *crdt.Record, at crdt.Write) (*crdt.Record, error) {
			uid := state.DerivedUID("revision", string(key), at.Dot.String())
			return rec.Set(uid, at, map[string][]byte{
				state.RevisionTemplate:   state.EncodeRegister(w.Template),
				state.RevisionNumber:     state.EncodeRegister(number),
				state.RevisionCreated:    state.EncodeRegister(c.display()),
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
					state.SlotRun:        state.EncodeRegister(state.Run{Revision: c.firstRevision(w, d.Slot.Index)}),
				})
			})
			if err != nil {
				return err
			}
		}
		if w.Daemon() {
			c.fact(false, w.Key, "Scheduled", "%s gets a pod", d.Home.Node)
		} else {
			c.fact(false, w.Key, "Scheduled", "slot %d belongs on %s", d.Slot.Index, d.Home.Node)
		}
		return c.setRanked(key, uid, state.SlotHome, d.Home.Term, state.EncodeRegister(d.Home))
	}}
}

// health judges a node. One that has said nothing yet counts as serving: it keeps
// what it has, and having no known room it gets nothing new. Nobody waits for one
// that is drained and out of reach.
func (c *Core) health(name string) scheduler.Health {
	if !c.live(name) {
		b := c.members.byName[name]
		switch {
		case b == nil || b.Left:
			return scheduler.Gone
		case b.state == swim.Left: // said that it stops, not that it leaves the cluster
			return scheduler.Draining
		case c.index.nodes[name].Drain:
			return scheduler.Drained
		case b.restarting:
			return scheduler.Serving
		}
		return scheduler.Lost
	}
	s := c.statusOf(name)
	switch {
	case s != nil && s.Draining:
		return scheduler.Draining
	case c.index.nodes[name].Drain:
		return scheduler.Drained
	case s == nil:
		return scheduler.Serving
	}
	for _, cond := range s.Conditions {
		if cond.Type == "Ready" && !cond.True && cond.Reason != "Starting" {
			return scheduler.Unfit
		}
	}
	return scheduler.Serving
}
