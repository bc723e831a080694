package scheduler

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"holon/crdt/state"
)

// candidate is a node with what its choice depends on, kept up to date while one
// workload is planned.
type candidate struct {
	node       *Node
	unsuitable string // never changes while a workload is planned
	unsteady   bool   // nor does this
	short      string
	slots      int   // of this workload
	room       int64 // in steps of roomStep
	mark       int64 // for what is wished, the greater the better; see weigh
}

// roomStep is how coarsely free room is compared, in percent, so that the
// rendezvous weight decides between near equals.
const roomStep = 5

// update takes in what is booked on the node.
func (c *candidate) update(d *demand) {
	c.short, c.slots = d.shortage(c.node), c.node.Slots[d.workload.UID]
	c.room = c.node.room(d.requests)
}

// room is the free share of the scarcer of cpu and memory once another pod is
// there.
func (n *Node) room(requests state.Resources) int64 {
	left := n.Allocatable.Sub(n.Used).Sub(requests)
	return min(percent(left.CPU, n.Allocatable.CPU), percent(left.Memory, n.Allocatable.Memory)) / roomStep
}

// percent of a whole, for a part that is not greater; 0 for a share of nothing.
func percent(part, whole int64) int64 {
	if part <= 0 || whole < part {
		return 0
	}
	hi, lo := bits.Mul64(uint64(part), 100)
	share, _ := bits.Div64(hi, lo, uint64(whole))
	return int64(share)
}

// candidates judges every node once; after that only a booking changes one.
func (p *planner) candidates() []candidate {
	if p.nodes == nil {
		d := p.v.demand(p.w)
		p.nodes = slices.Grow(p.v.scratch[:0], len(p.v.Nodes))[:len(p.v.Nodes)]
		for i, n := range p.v.Nodes {
			p.nodes[i] = candidate{node: n, unsuitable: d.unsuitable(n), unsteady: n.Unsteady}
			p.nodes[i].update(d)
			if w := d.wishesOf(n); w != (wishes{}) {
				p.wish(i, w)
			}
		}
		p.others()
		p.v.scratch = p.nodes
	}
	return p.nodes
}

// others counts what else the pods of all workloads keep apart or together.
func (p *planner) others() {
	p.v.tallies.forgetMany()
	p.hard, p.soft = p.spreads()
	p.near = p.company()
	if p.wishes == nil && len(p.soft)+len(p.near.wished) > 0 {
		p.wishes = make([]wishes, len(p.nodes))
	}
}

// heeds reports whether one more pod somewhere can remove an obstacle.
func (p *planner) heeds() bool { return len(p.hard)+len(p.near.together) > 0 }

// obstacle says why a node takes no more slot now; "": it may.
func (p *planner) obstacle(i int) string {
	c := &p.nodes[i]
	switch {
	case c.unsuitable != "":
		return c.unsuitable
	case c.short != "":
		return c.short
	}
	return p.inTheWay(i)
}

// inTheWay is what other pods have against one more slot on a node.
func (p *planner) inTheWay(i int) string {
	for j := range p.hard {
		if why := p.hard[j].refuses(i); why != "" {
			return why
		}
	}
	return p.near.refuses(i)
}

// booked takes in that a slot was booked on a node.
func (p *planner) booked(i int) {
	p.nodes[i].update(p.v.demand(p.w))
	for j := range p.hard {
		p.hard[j].book(i)
	}
	for j := range p.soft {
		p.soft[j].book(i)
	}
	p.near.book(i)
}

// best is the fitting node that is steady, then has the best mark, then the fewest slots of this
// workload, then the most room, then the greatest rendezvous weight for this slot; or -1.
func (p *planner) best(s *state.Slot) int {
	nodes, seed, pin := p.candidates(), seedOf(s.ID.Workload, s.ID.Index+1), p.pin(s)
	for i := range p.hard {
		p.hard[i].renew()
	}
	p.weigh(nodes)
	best := -1
	for i := range nodes {
		c := &nodes[i]
		if pin.Node != "" && c.node.Name != pin.Node {
			continue
		}
		if c.unsuitable != "" || c.short != "" || best >= 0 && !c.better(&nodes[best], seed) {
			continue
		}
		if _, refused := p.v.refused(s.ID, c.node.Name); !refused && p.inTheWay(i) == "" {
			best = i
		}
	}
	return best
}

func (c *candidate) better(o *candidate, seed seed) bool {
	switch {
	case c.unsteady != o.unsteady:
		return o.unsteady
	case c.mark != o.mark:
		return c.mark > o.mark
	case c.slots != o.slots:
		return c.slots < o.slots
	case c.room != o.room:
		return c.room > o.room
	}
	ours, theirs := seed.weight(c.node.Name), seed.weight(o.node.Name)
	return ours > theirs || ours == theirs && c.node.Name < o.node.Name
}

// summary counts why no node takes a slot, as Kubernetes' scheduler does.
func (p *planner) summary(s *state.Slot) string {
	nodes := p.candidates()
	if len(nodes) == 0 {
		return "no nodes available to schedule pods"
	}
	counts, pin := map[string]int{}, p.pin(s)
	for i := range nodes {
		why := p.obstacle(i)
		if pin.Node != "" && nodes[i].node.Name != pin.Node {
			why = volumeElsewhere
		}
		if why == "" {
			reason, _ := p.v.refused(s.ID, nodes[i].node.Name)
			why = "node(s) refused it (" + reason + ")"
		}
		counts[why]++
	}
	parts := make([]string, 0, len(counts))
	for _, why := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[why], why))
	}
	return fmt.Sprintf("0/%d nodes are available: %s.", len(nodes), strings.Join(parts, ", "))
}
