package scheduler

import (
	"fmt"

	"holon/crdt/state"
)

// Elsewhere chooses a node for a slot besides the one that runs it now, as if it ran
// nowhere, or says why there is none. The view is afterwards as it was.
func Elsewhere(v *View, w *state.Workload, s *state.Slot, from string) (node, why string) {
	why = "what is booked on " + from + " is more than can be added up"
	without(v, w, from, func(p *planner) {
		before := View{Refused: v.Refused}
		defer func() { v.Refused = before.Refused }()
		v.Refused = func(slot state.SlotID, node string) (string, bool) {
			if slot == s.ID && node == from {
				return "it leaves there", true
			}
			return before.refused(slot, node)
		}
		if i := p.best(s); i >= 0 {
			node, why = p.nodes[i].node.Name, ""
		} else {
			why = p.summary(s)
		}
	})
	return node, why
}

// betterRoom is by how much more of a node has to be free, in percent, that a slot is
// worth a move.
const betterRoom = 20

// Better finds a node where a slot would be better off than where it runs: with fewer
// slots of its workload, or as many and much more room, and nothing that is wished
// lost, nor a steady node. "": there is none. The view is afterwards as it was. Where a move makes a sum
// of squares smaller there is an end of moves.
func Better(v *View, w *state.Workload, s *state.Slot, from string) (node, why string) {
	without(v, w, from, func(p *planner) {
		at, known := v.position(from)
		i := p.best(s)
		if !known || i < 0 || i == at {
			return
		}
		here, there := &p.nodes[at], &p.nodes[i]
		fewer := there.slots < here.slots
		roomier := there.slots == here.slots && (there.room-here.room)*roomStep >= betterRoom
		if (here.unsteady || !there.unsteady) && there.mark >= here.mark && (fewer || roomier) {
			node = there.node.Name
			why = fmt.Sprintf("%d more of it and about %d %% free there, %d and about %d %% here", there.slots, there.room*roomStep, here.slots, here.room*roomStep)
		}
	})
	return node, why
}

// without asks something of a view in which one slot of a workload, booked on a node,
// runs nowhere.
func without(v *View, w *state.Workload, node string, ask func(*planner)) {
	if !v.Release(w, node) {
		return // what is booked is more than can be added up
	}
	ask(&planner{v: v, w: w})
	v.Occupy(w, node)
}

// Room is how much of a node is free, in percent.
func Room(n *Node) int64 { return n.room(state.Resources{}) * roomStep }
