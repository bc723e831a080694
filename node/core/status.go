package core

import (
	"slices"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
)

// Pace of class B.
const (
	statusSoon  = 50 * time.Millisecond // changes within this go out together
	statusEvery = 30 * time.Second      // even if nothing changed
)

// statuses holds class B: what each node says of itself. Only the owner writes
// its own; the newest (epoch, seq) wins.
type statuses struct {
	own    *state.NodeStatus
	byNode map[string]*state.NodeStatus
	// fresh tells whether a node's status was heard since the node was last out
	// of reach. A status from before must not say that a home is ready.
	fresh map[string]bool
	// runs are those of all statuses, by workload and node.
	runs   map[crdt.UID]map[string][]*state.RunStatus
	heard  map[string]bool // nodes whose status has changed since noteRefusals
	dirty  bool            // the own one may have changed
	ripens Instant         // when it will, because a run has been ready for long enough; 0: not
	sent   Instant
	clocks clocks
}

func newStatuses() statuses {
	return statuses{
		own: &state.NodeStatus{}, byNode: map[string]*state.NodeStatus{}, fresh: map[string]bool{},
		runs: map[crdt.UID]map[string][]*state.RunStatus{}, heard: map[string]bool{}, clocks: clocks{of: map[string]clock{}},
	}
}

// move keeps runs when a node's status is replaced; nil: none.
func (s *statuses) move(node string, before, after *state.NodeStatus) {
	s.heard[node] = true
	if before != nil {
		for i := range before.Runs {
			dropPart(s.runs, before.Runs[i].Slot.Workload, node)
		}
	}
	if after != nil {
		for i := range after.Runs {
			r := &after.Runs[i]
			setPart(s.runs, r.Slot.Workload, node, append(s.runs[r.Slot.Workload][node], r))
		}
	}
}

// forget drops what a node said.
func (s *statuses) forget(node string) {
	s.move(node, s.byNode[node], nil)
	delete(s.byNode, node)
	s.doubt(node)
}

// doubt marks what a node said as possibly out of date.
func (s *statuses) doubt(node string) { s.fresh[node] = false }

// behind reports whether a peer has said more of itself than we know.
func (c *Core) behind(peer p2p.PeerID, epoch, seq uint64) bool {
	b := c.members.byPeer[peer]
	if b == nil || seq == 0 {
		return false
	}
	have := c.status.byNode[b.Name]
	return !c.status.fresh[b.Name] || have == nil || epoch > have.Epoch || epoch == have.Epoch && seq > have.Seq
}

// statusOf is what a node says of itself; nil if nothing is known.
func (c *Core) statusOf(node string) *state.NodeStatus {
	if node == c.cfg.Node {
		return c.status.own
	}
	return c.status.byNode[node]
}

// ready reports whether a node, as far as this view can trust its word, has a
// ready run of a slot at a revision.
func (c *Core) ready(node string, run state.RunID) bool {
	if node != c.cfg.Node && (!c.live(node) || !c.status.fresh[node]) {
		return false
	}
	r := c.statusOf(node).Find(run)
	return r != nil && r.Ready
}

// available is ready for as long as the workload wants, as the node that runs it saw.
func (c *Core) available(node string, run state.RunID) bool {
	return c.ready(node, run) && !c.statusOf(node).Find(run).Warming
}

// warming reports whether a run of this node is ready, but not yet for as long as its
// workload wants before it counts as available. A daemon that starts again begins anew.
func (c *Core) warming(r *run, ready bool) bool {
	if !ready || r.workload.MinReady == 0 {
		r.warm = 0
		return false
	}
	r.warm = firstSeen(r.warm, c.now)
	due := r.warm + r.workload.MinReady
	if c.now >= due {
		return false
	}
	c.status.ripens = sooner(c.status.ripens, due)
	c.wake(due)
	return true
}

func (c *Core) receiveStatus(from p2p.PeerID, s *state.NodeStatus) {
	b := c.members.byPeer[from]
	if b == nil || b.Name != s.Node || c.members.byName[s.Node] != b || s.Node == c.cfg.Node {
		return // only its bearer speaks for a name
	}
	have, fresh := c.status.byNode[s.Node], c.status.fresh[s.Node]
	if have != nil && !s.Newer(have) {
		if s.Epoch == have.Epoch && s.Seq == have.Seq && !fresh {
			c.status.fresh[s.Node] = true
			c.status.hear(s.Node, s.Wall, c.now)
			c.touchNode(s.Node, have, have, true)
			c.runner.unsettleHeld()
		}
		return
	}
	c.status.byNode[s.Node], c.status.fresh[s.Node] = s, true
	c.status.move(s.Node, have, s)
	c.status.hear(s.Node, s.Wall, c.now)
	c.touchNode(s.Node, have, s, !fresh)
	c.runner.unsettleHeld()
}

// touchNode marks what depends on a node's status: the node itself, and the
// workloads of the runs that have changed, or of all if how they are to be read
// has.
func (c *Core) touchNode(node string, before, after *state.NodeStatus, all bool) {
	x := &c.index
	x.touch(state.MakeKey(state.Nodes, "", node))
	if before == nil || !sameNode(before, after) {
		x.dirtyAll = true
	}
	if before == nil {
		before = &state.NodeStatus{}
	}
	if !slices.Equal(before.Copies, after.Copies) {
		c.derived.snapshots, c.derived.dirty = true, true
	}
	old, new, j := before.Runs, after.Runs, 0
	all = all || before.HostIP != after.HostIP
	for i := range old { // both are sorted by run, or else more is touched
		for ; j < len(new) && new[j].Run < old[i].Run; j++ {
			x.touchWorkload(new[j].Slot.Workload)
		}
		same := j < len(new) && new[j].Run == old[i].Run
		if all || !same || !old[i].Equal(&new[j]) {
			x.touchWorkload(old[i].Slot.Workload)
		}
		if same {
			j++
		}
	}
	for ; j < len(new); j++ {
		x.touchWorkload(new[j].Slot.Workload)
	}
}

// sameNode reports whether two statuses say the same of what every plan depends on.
func sameNode(a, b *state.NodeStatus) bool {
	return a.Draining == b.Draining && a.Allocatable == b.Allocatable && a.HostPortsOnly == b.HostPortsOnly &&
		a.OS == b.OS && a.Arch == b.Arch && slices.Equal(a.Conditions, b.Conditions)
}

func (c *Core) sendStatus(to ...p2p.PeerID) {
	if c.status.own.Seq == 0 || len(to) == 0 {
		return // not observed anything yet
	}
	told := *c.status.own
	told.Wall = c.ownWall() // it has gone on since
	frame := append([]byte{kindStatus}, told.Encode()...)
	for _, peer := range to {
		c.out.Send = append(c.out.Send, Envelope{To: peer, Frame: frame, Early: true})
	}
}

// publishStatus tells every live peer what this node is and runs, if that has
// changed, or once in a while.
func (c *Core) publishStatus() {
	s := &c.status
	if s.ripens != 0 && c.now >= s.ripens {
		s.ripens, s.dirty = 0, true
	}
	if s.ripens != 0 {
		c.wake(s.ripens)
	}
	due := s.sent + statusEvery
	if s.dirty {
		due = min(due, s.sent+statusSoon)
	}
	if c.now < due && s.own.Seq > 0 {
		c.wake(due)
		return
	}
	if s.own.Seq == 0 && c.settling() {
		c.wake(c.booted + adoptedMax)
		return // what is ready and was not asked yet must not look unready
	}
	next := c.describe()
	next.Seq = s.own.Seq
	if s.own.Seq > 0 && sameStatus(next, s.own) && sameClock(next, s.own, c.now-s.sent) && c.now < s.sent+statusEvery {
		s.dirty = false
		c.wake(s.sent + statusEvery)
		return
	}
	next.Seq++
	before := s.own
	s.own, s.dirty, s.sent = next, false, c.now
	c.status.move(c.cfg.Node, before, next)
	c.touchNode(c.cfg.Node, before, next, false)
	c.sendStatus(c.members.reachablePeers()...)
	c.wake(c.now + time.Millisecond) // what was touched is planned and derived
	c.wake(c.now + statusEvery)
}

func sameStatus(a, b *state.NodeStatus) bool {
	sameRun := func(r, o state.RunStatus) bool { return r.Equal(&o) }
	return slices.EqualFunc(a.Runs, b.Runs, sameRun) && slices.Equal(a.Copies, b.Copies) && withoutRuns(a) == withoutRuns(b)
}

// describe is the status of this node, without its Seq.
func (c *Core) describe() *state.NodeStatus {
	h := &c.host
	s := &state.NodeStatus{
		Node: c.cfg.Node, Epoch: c.cfg.Epoch, Runtime: h.Runtime.Name, Version: h.Runtime.Version,
		HostPortsOnly: h.Runtime.HostPortsOnly, Server: h.Server, HostIP: h.HostIP, Allocatable: h.Allocatable,
		Draining: c.runner.draining, OS: h.OS, Arch: h.Arch, Kernel: h.Kernel, HolonVersion: h.HolonVersion, Replica: c.Replica(), Profile: c.cfg.Swim.Name, Wall: c.ownWall(),
	}
	ready := state.Condition{Type: "Ready", True: true, Reason: "HolonReady", Message: "holon runs pods here"}
	switch {
	case h.DiskError != "":
		ready = state.Condition{Type: "Ready", Reason: state.DiskFailure, Message: h.DiskError}
	case h.RuntimeError != "":
		ready = state.Condition{Type: "Ready", Reason: "RuntimeUnavailable", Message: h.RuntimeError}
	case h.Runtime.Name == "":
		ready = state.Condition{Type: "Ready", Reason: "Starting", Message: "the runtime has not answered yet"}
	}
	s.Conditions = append(c.pressure.conditions(), ready)
	s.Runs, s.Copies = c.runner.report(c), c.reportCopies()
	s.Abridge()
	return s
}
