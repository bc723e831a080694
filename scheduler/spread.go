package scheduler

import (
	"math"
	"math/bits"

	corev1 "k8s.io/api/core/v1"
)

const (
	unevenly  = "node(s) didn't match pod topology spread constraints"
	unlabeled = "node(s) didn't match pod topology spread constraints (missing required label)"
)

// spread is one topology spread constraint while a workload is planned. Only nodes
// that serve make a domain: one that is out of reach as a whole would let nobody
// in anywhere else.
type spread struct {
	topology   *topology
	eligible   []bool // by position: makes a domain, and its pods count
	pods       []int  // by domain
	least      int    // of all domains; math.MaxInt where there is none
	maxSkew    int
	minDomains int
	domains    int // that have an eligible node
	self       int // 1: the slots of the workload are counted
	weight     int64
}

// spreads gives the constraints that are filters, and those that are wishes.
func (p *planner) spreads() (hard, soft []spread) {
	d := p.v.demand(p.w)
	asked := map[corev1.UnsatisfiableConstraintAction][]*corev1.TopologySpreadConstraint{}
	for i := range d.workload.Template.Spec.TopologySpreadConstraints {
		// One with matchLabelKeys has no effect, of which the API warns.
		if c := &d.workload.Template.Spec.TopologySpreadConstraints[i]; len(c.MatchLabelKeys) == 0 {
			asked[c.WhenUnsatisfiable] = append(asked[c.WhenUnsatisfiable], c)
		}
	}
	return p.newSpreads(d, asked[corev1.DoNotSchedule]), p.newSpreads(d, asked[corev1.ScheduleAnyway])
}

// newSpreads counts only on nodes that have the labels of all the constraints, as
// Kubernetes does.
func (p *planner) newSpreads(d *demand, asked []*corev1.TopologySpreadConstraint) []spread {
	list := make([]spread, len(asked))
	for i, c := range asked {
		list[i] = spread{topology: p.v.topology(c.TopologyKey), maxSkew: int(c.MaxSkew), minDomains: 1}
		if c.MinDomains != nil {
			list[i].minDomains = int(*c.MinDomains)
		}
	}
	for i, c := range asked {
		s := &list[i]
		s.eligible, s.pods = make([]bool, len(p.v.Nodes)), make([]int, s.topology.count)
		seen := make([]bool, s.topology.count)
		for at, n := range p.v.Nodes {
			if s.eligible[at] = n.Health == Serving && labelled(list, at) && d.counts(c, n); s.eligible[at] && !seen[s.topology.of[at]] {
				seen[s.topology.of[at]] = true
				s.domains++
			}
		}
		selector := selectorOf([]string{d.workload.Namespace}, c.LabelSelector)
		for at, pods := range p.v.tallies.count(selector).on {
			if s.eligible[at] {
				s.pods[s.topology.of[at]] += pods
			}
		}
		if selector.selects(d.workload) {
			s.self = 1
		}
		for domain := range s.pods {
			if !seen[domain] {
				s.pods[domain] = math.MaxInt // no domain of this constraint
			}
		}
		s.weight = logMilli(uint64(s.domains) + 2)
	}
	return list
}

func labelled(list []spread, at int) bool {
	for i := range list {
		if list[i].topology.of[at] < 0 {
			return false
		}
	}
	return true
}

// counts reports whether the policies of a constraint include a node.
func (d *demand) counts(c *corev1.TopologySpreadConstraint, n *Node) bool {
	honours := func(p *corev1.NodeInclusionPolicy, byDefault corev1.NodeInclusionPolicy) bool {
		if p != nil {
			byDefault = *p
		}
		return byDefault == corev1.NodeInclusionPolicyHonor
	}
	return (!honours(c.NodeAffinityPolicy, corev1.NodeInclusionPolicyHonor) || d.selects(n)) &&
		(!honours(c.NodeTaintsPolicy, corev1.NodeInclusionPolicyIgnore) || d.untolerated(n) == "" && !d.cordoned(n))
}

// renew finds the least of the domains before a slot is placed.
func (s *spread) renew() {
	s.least = math.MaxInt
	for _, pods := range s.pods {
		s.least = min(s.least, pods)
	}
	if s.domains < s.minDomains {
		s.least = 0
	}
}

// refuses says why a node may not have one more slot; "": it may.
func (s *spread) refuses(at int) string {
	switch domain := s.topology.of[at]; {
	case domain < 0:
		return unlabeled
	case s.eligible[at] && s.pods[domain]+s.self-s.least > s.maxSkew:
		return unevenly
	}
	return ""
}

// book counts a slot of the workload that was placed on a node.
func (s *spread) book(at int) {
	if s.eligible[at] {
		s.pods[s.topology.of[at]] += s.self
	}
}

// crowding is how much is there already where a node is, in the units of
// Kubernetes' score, in thousandths; -1: a label is missing.
func crowding(soft []spread, at int) (sum int64) {
	if !labelled(soft, at) {
		return -1
	}
	for i := range soft {
		if s := &soft[i]; s.eligible[at] {
			sum += int64(s.pods[s.topology.of[at]])*s.weight + int64(s.maxSkew-1)*1000
		}
	}
	return sum
}

// logMilli is 1000 ln(n), rounded down: a float would not be the same everywhere.
func logMilli(n uint64) int64 {
	const fraction = 16 // bits of log2 behind the point
	whole := bits.Len64(n) - 1
	log, x := uint64(whole), n<<(31-min(whole, 31))
	if whole > 31 {
		x = n >> (whole - 31)
	}
	for range fraction { // x is in [1, 2), with 31 bits behind the point
		log, x = log<<1, x*x>>31
		if x >= 1<<32 {
			log, x = log|1, x>>1
		}
	}
	return int64(log * 693147 / (1000 << fraction))
}
