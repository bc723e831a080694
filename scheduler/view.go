package scheduler

import (
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt"
	"holon/crdt/state"
)

// View is what one node believes when it plans. Nodes are sorted by name; Place
// changes their Used, Ports and Slots as it places, so that one pass over many
// workloads never fills a node twice. A view may be kept: Release undoes Occupy.
type View struct {
	Nodes    []*Node
	Majority bool // more than half of the counted members are alive here
	Held     bool // homes stay where they are nevertheless, for a while
	// Now is when the view is looked at, AloneSince since when it has had no majority (0: it has one, or doubts it),
	// TogetherSince since when it has had one.
	Now, AloneSince, TogetherSince time.Duration
	// LostAfter is how long a home is out of reach before it may move, for workloads
	// that do not say; 0: it does not.
	LostAfter time.Duration
	// Refused tells whether a node has refused the present run of a slot, and why.
	// Its answers must not change while the view is in use; nil: nobody has.
	Refused func(slot state.SlotID, node string) (reason string, refused bool)

	// Pin tells what the volumes of a slot ask, with the same promise; nil: nobody has any.
	Pin func(w *state.Workload, slot state.SlotID) Pin

	byName  map[string]int // position in Nodes
	tallies tallies
	asked   demand      // of the workload asked for last
	scratch []candidate // of the workload planned last, to be used again

	topologies map[string]*topology
}

// Node is one member in a view.
type Node struct {
	Name          string
	Labels        map[string]string
	Taints        []corev1.Taint
	Unschedulable bool // cordoned: keeps what it has, takes nothing new
	Health        Health
	Since         time.Duration // of Health, where it is Lost or Unfit
	Daemon        int           // index of the slots that DaemonSets have here
	Silent        bool          // out of reach, whatever Health says
	Unknown       bool          // has not said yet what it is
	Unsteady      bool          // comes and goes: gets a slot only where nobody else fits
	Expels        []Expulsion   // NoExecute taints, which are among Taints, too
	HostPortsOnly bool
	Allocatable   state.Resources
	Used          state.Resources
	Ports         []state.HostPort
	Slots         map[crdt.UID]int // assigned here, per workload
}

// Health is what a view holds of a node.
//
//	Serving -> Lost (out of reach) -> LostLong (for longer than lost-after) -> Gone (left for good)
//	Serving -> Draining (wants its slots moved)      Serving -> Unfit (alive, cannot run containers)
//	any but Draining and Gone -> Drained (its record wants its slots moved)
//	Serving -> Expelling (to some: taints drive their slots away)
//
// LostLong and Expelling are for each workload to say (healthFor).
type Health uint8

// The healths of a node.
const (
	Serving   Health = iota
	Draining         // goes down, asked that its slots move away
	Drained          // stays, in reach or not; slots move away that others may run, too
	Expelling        // drained to those who do not tolerate its taints (any longer)
	Unfit            // alive, but its runtime does not answer
	Lost             // out of reach
	LostLong         // out of reach for longer than lost-after
	Gone             // left for good, or never known
)

func (h Health) String() string {
	return [...]string{"serving", "draining", "drained", "expelling it by a NoExecute taint", "unfit", "unreachable", "unreachable for long", "gone"}[h]
}

// Node returns a node of the view by name, or nil.
func (v *View) Node(name string) *Node {
	if at, ok := v.position(name); ok {
		return v.Nodes[at]
	}
	return nil
}

func (v *View) position(name string) (at int, ok bool) {
	if v.byName == nil {
		v.tallies, v.byName = newTallies(), make(map[string]int, len(v.Nodes))
		for i, n := range v.Nodes {
			v.byName[n.Name] = i
		}
	}
	at, ok = v.byName[name]
	return at, ok
}

// HomesMove reports whether slots may get another home in this view.
func (v *View) HomesMove() bool { return v.Majority && !v.Held }

func (v *View) refused(slot state.SlotID, node string) (reason string, refused bool) {
	if v.Refused == nil {
		return "", false
	}
	return v.Refused(slot, node)
}

// serves reports whether a node can run the present run of a slot.
func (v *View) serves(w *state.Workload, slot state.SlotID, node string) bool {
	pin := v.pin(w, slot)
	if h := v.healthFor(w, node); h != Serving && !v.holds(h, &pin, node) || pin.Node != "" && pin.Node != node {
		return false
	}
	_, refused := v.refused(slot, node)
	return !refused
}

// whyStays says what keeps the home of a slot where it is although it could move.
func (v *View) whyStays(w *state.Workload, s *state.Slot) string {
	switch h := v.healthFor(w, s.Home.Node); {
	case h == Serving || h == Lost || h == Unfit:
		return ""
	case !v.Majority:
		return "; no home moves without a majority"
	case v.Held:
		return "; no home moves for a while, as many members vanished at once"
	}
	return ""
}

// whyNot says what keeps the home of a slot from serving it.
func (v *View) whyNot(w *state.Workload, s *state.Slot) string {
	if h := v.healthFor(w, s.Home.Node); h != Serving {
		return h.String()
	}
	if pin := v.pin(w, s.ID); pin.Node != "" && pin.Node != s.Home.Node {
		return "not where its volume is (" + pin.Node + ")"
	}
	reason, _ := v.refused(s.ID, s.Home.Node)
	return "refusing it (" + reason + ")"
}

// Assigned is the node that runs a slot of a workload in this view, or "".
func (v *View) Assigned(w *state.Workload, s *state.Slot) string {
	if v.Stopped(w) || v.replacedAt(w, s) > v.Now {
		return ""
	}
	return s.Assigned(func(node string) bool { return (node == s.Home.Node || v.standsIn(w, s)) && v.serves(w, s.ID, node) })
}

// demand remembers one workload: callers go through them one by one.
func (v *View) demand(w *state.Workload) *demand {
	if v.asked.workload != w {
		v.asked = demandOf(w)
	}
	return &v.asked
}

// Occupy books a slot on a node. A name that the view does not hold is nobody's. A
// workload changes only while nothing of it is booked.
func (v *View) Occupy(w *state.Workload, node string) {
	at, ok := v.position(node)
	if !ok {
		return
	}
	n, d := v.Nodes[at], v.demand(w)
	v.tallies.book(d, at, 1)
	n.Used = n.Used.Add(d.requests)
	n.Ports = append(n.Ports, d.portsOn(n)...)
	if n.Slots == nil {
		n.Slots = map[crdt.UID]int{}
	}
	n.Slots[w.UID]++
}

// Release takes back what Occupy has booked for the same workload on a node. It is
// false where the sum of all requests is too great to be known: the view has to be
// made anew.
func (v *View) Release(w *state.Workload, node string) bool {
	at, ok := v.position(node)
	if !ok {
		return true
	}
	n := v.Nodes[at]
	if n.Used.CPU == math.MaxInt64 || n.Used.Memory == math.MaxInt64 {
		return false
	}
	d := v.demand(w)
	v.tallies.book(d, at, -1)
	n.Used = n.Used.Sub(d.requests)
	for _, p := range d.portsOn(n) {
		i := slices.Index(n.Ports, p)
		n.Ports = slices.Delete(n.Ports, i, i+1)
	}
	if n.Slots[w.UID]--; n.Slots[w.UID] == 0 {
		delete(n.Slots, w.UID)
	}
	return true
}
