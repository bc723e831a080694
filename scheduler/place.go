package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holon/crdt/state"
)

// Plan is what is to be written for one workload, and why. An empty plan means
// that every slot has somebody who runs it or who nobody can replace in this view.
type Plan struct {
	Decisions []Decision
	Reasons   []Reason
}

// Decision names the home or the stand-in of one slot.
type Decision struct {
	Slot    state.SlotID
	Home    *state.Home    // exactly one of the two is set
	StandIn *state.StandIn //
}

// Reason explains the state of one slot in words.
type Reason struct {
	Slot    state.SlotID
	Text    string
	Pending bool // nobody runs the slot and nobody can
}

// Place plans the slots of one workload. slots holds what exists, in index
// order, one per replica; a slot that was never written has an empty home.
func Place(v *View, w *state.Workload, slots []state.Slot) Plan {
	var plan Plan
	for i := range slots {
		s := &slots[i]
		if node := v.Assigned(s); node != "" && !v.promotable(w, s) {
			plan.explain(s, assignedReason(v, s, node), false)
			continue
		}
		decision, text, ok := v.decide(w, s)
		if ok {
			plan.Decisions = append(plan.Decisions, decision)
		}
		plan.explain(s, text, !ok && v.Assigned(s) == "")
	}
	return plan
}

func (p *Plan) explain(s *state.Slot, text string, pending bool) {
	p.Reasons = append(p.Reasons, Reason{Slot: s.ID, Text: text, Pending: pending})
}

func assignedReason(v *View, s *state.Slot, node string) string {
	if node == s.Home.Node {
		return fmt.Sprintf("home is %s, which serves", node)
	}
	why := v.health(s.Home.Node).String()
	if reason, refused := v.Refused(s.ID, s.Home.Node); refused {
		why = "refusing it (" + reason + ")"
	}
	return fmt.Sprintf("%s stands in: home %s is %s", node, s.Home.Node, why)
}

// homeMoves reports whether the cause for which a home does not serve is one
// that may raise its term: anything but a silence that may soon end, or any
// silence where the workload gets no stand-in.
func (v *View) homeMoves(w *state.Workload, s *state.Slot) bool {
	switch v.health(s.Home.Node) {
	case Lost, Unfit:
		return false
	case LostLong:
		return v.Majority && w.StandIn
	}
	return v.Majority
}

// promotable reports whether a slot runs on a stand-in that should become home.
func (v *View) promotable(w *state.Workload, s *state.Slot) bool {
	return s.Home.Node != "" && !v.serves(s.ID, s.Home.Node) && v.homeMoves(w, s)
}

// decide names a home or a stand-in for a slot that has nobody, or promotes the
// stand-in that it has.
func (v *View) decide(w *state.Workload, s *state.Slot) (Decision, string, bool) {
	d := Decision{Slot: s.ID}
	if v.promotable(w, s) && v.Assigned(s) != "" {
		d.Home = &state.Home{Node: s.StandIn.Node, Term: s.Home.Term + 1}
		return d, fmt.Sprintf("stand-in %s becomes home: %s is %s", s.StandIn.Node, s.Home.Node, v.health(s.Home.Node)), true
	}
	placed := s.Home.Node != ""
	if placed && !v.homeMoves(w, s) && !w.StandIn {
		return d, fmt.Sprintf("home %s is %s and this kind of workload gets no stand-in", s.Home.Node, v.health(s.Home.Node)), false
	}
	best, refusals := v.best(w, s)
	switch {
	case best == nil:
		return d, refusals, false
	case !placed:
		d.Home = &state.Home{Node: best.Name, Term: 1}
	case v.homeMoves(w, s):
		d.Home = &state.Home{Node: best.Name, Term: s.Home.Term + 1}
	default:
		d.StandIn = &state.StandIn{Node: best.Name, Basis: s.Home.Term}
	}
	v.Occupy(w, best.Name)
	return d, fmt.Sprintf("%s chosen: %s", best.Name, score(w, best)), true
}

// best is the fitting node with the fewest slots of this workload, then the most
// room, then the greatest rendezvous weight for this slot; or nil and why not.
func (v *View) best(w *state.Workload, s *state.Slot) (*Node, string) {
	var best *Node
	refusals := map[string]int{}
	for _, n := range v.Nodes {
		why := n.Unfitness(w)
		if reason, refused := v.Refused(s.ID, n.Name); why == "" && refused {
			why = "refused: " + reason
		}
		if why != "" {
			refusals[why]++
		} else if best == nil || better(w, s, n, best) {
			best = n
		}
	}
	return best, summary(len(v.Nodes), refusals)
}

func better(w *state.Workload, s *state.Slot, a, b *Node) bool {
	return cmp.Or(
		cmp.Compare(b.Slots[w.UID], a.Slots[w.UID]),
		cmp.Compare(a.room(w), b.room(w)),
		cmp.Compare(weight(w.UID, s.ID.Index+1, a.Name), weight(w.UID, s.ID.Index+1, b.Name)),
		cmp.Compare(b.Name, a.Name),
	) > 0
}

// room is the free share of the scarcer of cpu and memory once the pod is
// there, in percent: coarse, so that spread by rendezvous decides between near
// equals.
func (n *Node) room(w *state.Workload) int64 {
	left := n.Allocatable.Sub(n.Used).Sub(state.Requests(&w.Template.Spec))
	share := func(part, whole int64) int64 {
		if whole <= 0 {
			return 0
		}
		return part * 100 / whole
	}
	return min(share(left.CPU, n.Allocatable.CPU), share(left.Memory, n.Allocatable.Memory)) / 5
}

func score(w *state.Workload, n *Node) string {
	return fmt.Sprintf("%d slots of this workload there, about %d %% free", n.Slots[w.UID]-1, n.room(w)*5)
}

func summary(nodes int, refusals map[string]int) string {
	parts := make([]string, 0, len(refusals))
	for _, why := range slices.Sorted(maps.Keys(refusals)) {
		parts = append(parts, fmt.Sprintf("%d %s", refusals[why], why))
	}
	return fmt.Sprintf("0/%d nodes are available: %s", nodes, strings.Join(parts, ", "))
}
