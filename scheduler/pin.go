package scheduler

import (
	"fmt"

	"holon/crdt/state"
)

// Pin is what the volumes of a slot ask. What is there stays there: a slot runs where its
// data is, or nowhere.
type Pin struct {
	Keeps bool   // the slot has volumes that outlive its pods
	Node  string // that has them, or will; empty: none yet
	// Freed: the home had them, and they were given up. So somebody else may run the slot.
	Freed bool
	// Shared: other slots of the workload have the same, so where one goes all go.
	Shared bool
	// Missing says why the slot cannot run anywhere; empty: it may.
	Missing string
	Claim   state.Key // one of those that are on Node, for words
}

const (
	// VolumeOnUnreachableNode begins the reason of a slot whose data nobody here can reach.
	VolumeOnUnreachableNode = "VolumeOnUnreachableNode"
	volumeElsewhere         = "node(s) had volume node affinity conflict"
)

// pin is what the volumes of a slot ask in this view.
func (v *View) pin(w *state.Workload, slot state.SlotID) Pin {
	if v.Pin == nil || !w.Keeps() {
		return Pin{}
	}
	return v.Pin(w, slot)
}

// released reports whether another node than the home may run a slot at once, whatever
// its kind: the home has not got the data, and starts without it nothing.
func (v *View) released(w *state.Workload, s *state.Slot) bool {
	pin := v.pin(w, s.ID)
	return pin.Freed || pin.Node != "" && pin.Node != s.Home.Node
}

// standsIn reports whether a stand-in of a slot counts: of a StatefulSet it does no more
// once it is not allowed.
func (v *View) standsIn(w *state.Workload, s *state.Slot) bool {
	return w.StandIn || !w.Set() && !w.Keeps() || v.released(w, s)
}

// holds reports whether a node goes on with a slot although it shall be emptied, since
// what the slot needs is there alone.
func (v *View) holds(h Health, pin *Pin, node string) bool {
	n := v.Node(node)
	return pin.Node == node && (h == Drained || h == Expelling) && n != nil && !n.Silent
}

// whyWaits says of a slot whose data nobody here can reach what it waits for; empty: it
// is none.
func (v *View) whyWaits(w *state.Workload, slot state.SlotID) string {
	pin := v.pin(w, slot)
	if pin.Node == "" {
		return ""
	}
	where := "out of reach; the pod waits for it, or"
	switch n := v.Node(pin.Node); {
	case n == nil:
		where = "gone for good; the pod waits"
	case !n.Silent && n.Health != Lost:
		return ""
	}
	_, namespace, claim := pin.Claim.Split()
	return fmt.Sprintf("%s: the data of persistentvolumeclaim %q is on %s, which is %s until somebody gives the data up (holon volume abandon %s/%s)",
		VolumeOnUnreachableNode, claim, pin.Node, where, namespace, claim)
}
