package testnet

import (
	"slices"
	"strings"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/core"
	"holon/runtime"
	"holon/testnet/check"
)

// audit shows what a Ready asks for to the rules that hold anytime. What it
// issues is entered in the ledger once it is synced: a dot that a crash takes
// back before that was never anywhere.
func (n *Node) audit(ready *core.Ready) (issued []func()) {
	w, own := n.w, n.core.Replica()
	for _, change := range ready.Changed {
		before := n.newest[change.Key]
		n.newest[change.Key] = change.Record
		issued = append(issued, func() {
			w.ledger.Issued(n.name, own, change.Key, before, change.Record)
		})
		n.auditLife(change.Key, before, change.Record, func(reason string) bool {
			return slices.ContainsFunc(ready.Facts, func(f core.Fact) bool { return f.Reason == reason && f.About == change.Key })
		})
		switch change.Key.Resource() {
		case state.Slots:
			n.auditSlot(change.Key, before, change.Record)
		case state.StatefulSets:
			for uid := range crdt.Join(change.Record, nil).Objects {
				w.sets[uid] = true
			}
		case state.Claims, state.Snapshots:
			w.noteClaims(change.Key, change.Record)
		case state.Pods:
			for uid := range crdt.Join(change.Record, nil).Objects {
				w.bare[uid] = true
			}
		}
		if siblings(change.Record) > siblings(before) {
			w.Counts.Conflicts++
		}
	}
	for _, f := range ready.Facts {
		if f.Reason == state.Evicted && f.Warning && f.About != "" { // of a pod, and by its node
			n.auditEviction(f)
		}
		n.leaving = n.leaving || f.Reason == state.Evicted && f.About == ""
	}
	for _, o := range ready.Run {
		n.auditOrder(o)
	}
	for _, f := range ready.Facts {
		w.Counts.fact(f)
		if f.Reason == "StoreDivergence" || f.Reason == "ReplicaForked" {
			w.did("%s: %s %s %s", n.name, f.Reason, f.About, f.Message)
		}
		if job, made := strings.CutPrefix(f.Message, "created job "); made && f.Reason == "SuccessfulCreate" {
			_, namespace, _ := f.About.Split()
			n.auditCron(state.MakeKey(state.Jobs, namespace, job))
		}
		if f.Reason == "SyncHeld" {
			n.confirmLater()
		}
		w.facts.take(n, f)
	}
	return issued
}

// confirmLater does what a user does who has read what a node asks.
func (n *Node) confirmLater() {
	boot := n.boot
	n.w.after(2*time.Second, func() {
		n.guarded(boot, func() { n.ask(core.ConfirmSync{}, func(core.Ack) {}) })
	})
}

// auditSlot judges a slot that this node has written.
func (n *Node) auditSlot(key state.Key, before, after *crdt.Record) {
	w := n.w
	old, _, _ := state.DecodeSlot(key, before)
	now, has, _ := state.DecodeSlot(key, after)
	own := n.core.Replica()
	if !has || after.Vector[own] <= vectorOf(before)[own] {
		return // it came from elsewhere
	}
	if now.Home != old.Home {
		w.homed(now.ID, now.Home)
		if old.Home.Term == 0 {
			n.auditFirstHome(&now)
		}
	}
	if now.StandIn != old.StandIn {
		w.Counts.StandIns++
		n.auditDelay(&now)
		if n.keeps(&now) { // the user has given its data up, or it is there
			w.homed(now.ID, state.Home{Node: now.StandIn.Node})
		} else if w.bare[now.ID.Workload] {
			w.violate("anytime: %s lets %s stand in for a bare pod, slot %s", n.name, now.StandIn.Node, now.ID)
		}
	}
	if now.Run.Prev != "" && now.Run.Prev != old.Run.Prev {
		w.Counts.Surges++
	}
	if old.Home.Term > 0 && now.Home.Term > old.Home.Term {
		w.Counts.HomeMoves++
		n.auditMove(key, before, after)
	}
}

// auditOrder judges an order to the runtime by what this node knows itself.
func (n *Node) auditOrder(o core.Order) {
	w := n.w
	if o.Kind == core.Restart && o.Attempt > 1 {
		w.Counts.BackOffs++
	}
	if o.Kind == core.Ensure || o.Kind == core.Restart {
		n.auditClaims(o)
	}
	if o.Kind == core.Discard {
		n.auditDiscard(o)
	}
	if o.Kind == core.Ensure {
		s, ok := n.slotOf(o.Spec)
		if ok && s.Home.Node != n.name {
			w.Counts.StandInStarts++
		}
		if ok {
			n.auditStart(o, &s)
			n.auditShunned(o, s.ID)
		}
		return
	}
	if o.Kind != core.Stop {
		return
	}
	n.stopped[o.Run] = true
	spec := n.specs[o.Run]
	s, ok := n.slotOf(&spec)
	if !ok || n.leaving {
		return
	}
	if s.Home.Node != n.name {
		w.Counts.HandBacks++
	} else if n.runs(&s, o.Run) && !n.drains && !n.drained() && !n.halts(&s) && !n.evicts(&spec) && !n.lacks(&spec, o.Run) {
		w.violate("anytime: %s stops run %s of slot %d of %s, which is at home and wanted", n.name, o.Run, s.ID.Index, s.Owner)
	}
}

// keeps reports whether the workload of a slot has claims.
func (n *Node) keeps(s *state.Slot) bool {
	wl, err := state.DecodeWorkload(s.Owner, n.newest[s.Owner])
	return err == nil && wl != nil && wl.Keeps()
}

// drained reports whether this node's record says that it is to be emptied.
func (n *Node) drained() bool {
	key := state.MakeKey(state.Nodes, "", n.name)
	node, _, _ := state.DecodeNode(key, n.newest[key])
	return node.Drain
}

// auditDelay judges a stand-in that this node has named: not before the home has been
// out of its reach for as long as the workload puts up with it.
func (n *Node) auditDelay(s *state.Slot) {
	wl, err := state.DecodeWorkload(s.Owner, n.newest[s.Owner])
	if err != nil || wl == nil || !n.w.shape.Policies {
		return
	}
	for _, m := range n.core.View().Members {
		if m.Name == s.Home.Node && m.State == "unreachable" && n.w.now-m.Since < wl.UnreachableDelay && !n.drains {
			key := state.MakeKey(state.Nodes, "", m.Name)
			if home, _, _ := state.DecodeNode(key, n.newest[key]); !home.Drain {
				n.w.violate("anytime: %s lets %s stand in for %s after %v of %v", n.name, s.StandIn.Node, s.ID, n.w.now-m.Since, wl.UnreachableDelay)
			}
		}
	}
}

// halts reports whether this node may stop a run of a slot that is at home: as it is
// alone, or as its record expels the workload.
func (n *Node) halts(s *state.Slot) bool {
	wl, err := state.DecodeWorkload(s.Owner, n.newest[s.Owner])
	if err != nil || wl == nil {
		return false
	}
	if wl.StopWhenAlone > 0 && !n.core.View().Majority {
		n.w.Counts.Halts++
		return true
	}
	key := state.MakeKey(state.Nodes, "", n.name)
	node, _, _ := state.DecodeNode(key, n.newest[key])
	return len(node.Taints) > 0
}

// slotOf is the slot of a run as this node knows it, if it is wanted.
func (n *Node) slotOf(run *runtime.Spec) (state.Slot, bool) {
	id, err := state.ParseSlotID(run.Slot)
	if err != nil {
		return state.Slot{}, false
	}
	key := state.SlotKey(run.Namespace, id)
	s, ok, err := state.DecodeSlot(key, n.newest[key])
	if err != nil || !ok {
		return state.Slot{}, false
	}
	w, err := state.DecodeWorkload(s.Owner, n.newest[s.Owner])
	if err != nil || w == nil || w.UID != id.Workload || w.Job != nil && w.Job.Spent(id.Index, s.Run.Nonce) {
		return s, false
	}
	return s, w.Daemon() && n.wantsHere(w) || w.Counts(id.Index)
}

// runs reports whether a run is one that its home shall execute.
func (n *Node) runs(s *state.Slot, id runtime.RunID) bool {
	for _, revision := range []string{s.Run.Revision, s.Run.Prev} {
		if revision != "" && string(id) == string(state.MakeRunID(s.ID, revision, n.name, s.Run.Nonce)) {
			return true
		}
	}
	return false
}

// homed remembers the homes that a slot was ever given.
func (w *World) homed(slot state.SlotID, home state.Home) {
	if w.homes[slot] == nil {
		w.homes[slot] = map[string]bool{}
	}
	w.homes[slot][home.Node] = true
}

// auditHost judges what runs on a node's host now.
func (n *Node) auditHost() {
	w := n.w
	pods := n.host.Statuses(w.now)
	w.bad = append(w.bad, check.Allocatable(n.name, room, pods, n.request)...)
	n.auditTwice(pods)
	n.auditAway(pods)
	clear(n.running)
	if w.shape.Inits {
		n.auditSequences(pods)
	}
	for _, p := range pods {
		id, err := state.ParseSlotID(p.Slot)
		if err != nil || !w.bare[id.Workload] || len(w.homes[id]) > 1 || !alive(&p) {
			continue // of a slot with two homes, each side of a partition runs its own
		}
		n.running[id] = true
		for _, other := range w.nodes {
			if other != n && other.running[id] {
				w.violate("anytime: bare pod %s/%s runs on %s and on %s", p.Namespace, p.Name, n.name, other.name)
			}
		}
	}
}

func alive(p *runtime.Status) bool {
	for i := range p.Containers {
		if p.Containers[i].State == runtime.Running {
			return true
		}
	}
	return false
}

func siblings(rec *crdt.Record) int {
	count := 0
	if live := rec.Live(); live != nil {
		for _, r := range live.Registers {
			count += len(r.Siblings)
		}
	}
	return count
}

func vectorOf(rec *crdt.Record) crdt.Vector {
	if rec == nil {
		return nil
	}
	return rec.Vector
}

// startedOnce reports containers that were started anew although nobody stopped
// their pod and the power stayed on: a copy that was kept, and yet restarted.
func (n *Node) startedOnce() {
	if n.powerCuts > 0 {
		return
	}
	for start, times := range n.host.Starts() {
		if times > 1 && !n.stopped[start.ID] {
			n.w.violate("anytime: %s started %s of run %s, attempt %d, %d times", n.name, start.Container, start.ID, start.Attempt, times)
		}
	}
}

// facts keeps the newest things that were said, for transcripts.
type facts struct {
	keep bool
	list []saidFact
}

type saidFact struct {
	at   time.Duration
	node string
	core.Fact
}

func (f *facts) take(n *Node, fact core.Fact) {
	if f.keep {
		f.list = append(f.list, saidFact{n.w.now, n.name, fact})
	}
}
