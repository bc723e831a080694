package scheduler

const (
	alone    = "node(s) didn't match pod affinity rules"
	opposed  = "node(s) didn't match pod anti-affinity rules"
	unwanted = "node(s) didn't satisfy existing pods anti-affinity rules"
)

// company is who is where, as far as it matters to the workload that is planned.
type company struct {
	together []neighbours // some have to be there: each counts who matches all terms
	found    bool         // somebody matches somewhere
	pioneer  bool         // the workload itself does, so where nobody is it may be the first
	apart    []neighbours // nobody may be there
	shunned  []neighbours // nor anybody who does not want it
	wished   []neighbours
}

// neighbours are the pods that one term is about, by domain.
type neighbours struct {
	topology *topology
	pods     []int
	self     int // by how much each slot of the workload counts
	weight   int64
}

func (p *planner) neighbours(key string, on map[int]int, self bool) neighbours {
	n := neighbours{topology: p.v.topology(key)}
	n.pods = make([]int, n.topology.count)
	for at, pods := range on {
		if domain := n.topology.of[at]; domain >= 0 {
			n.pods[domain] += pods
		}
	}
	if self {
		n.self = 1
	}
	return n
}

func (n *neighbours) at(node int) int {
	if domain := n.topology.of[node]; domain >= 0 {
		return n.pods[domain]
	}
	return 0
}

func (p *planner) company() (c company) {
	asked := p.v.demand(p.w).pods
	var all selector
	for _, t := range asked.together {
		all = all.and(t.selector)
	}
	for _, t := range asked.together {
		c.pioneer = all.selects(p.w)
		n := p.neighbours(t.key, p.v.tallies.count(all).on, c.pioneer)
		for _, pods := range n.pods {
			c.found = c.found || pods > 0
		}
		c.together = append(c.together, n)
	}
	for _, t := range asked.apart {
		c.apart = append(c.apart, p.neighbours(t.key, p.v.tallies.count(t.selector).on, t.selector.selects(p.w)))
	}
	for _, t := range asked.wished {
		n := p.neighbours(t.key, p.v.tallies.count(t.selector).on, t.selector.selects(p.w))
		n.weight = t.weight
		c.wished = append(c.wished, n)
	}
	c.listen(p, asked.carried())
	return c
}

// listen takes in what the pods that are there say of the workload, and what its own
// will say of each other.
func (c *company) listen(p *planner, own []podTerm) {
	about, ours := p.v.tallies.about(p.w), map[string]int{} // a pod may say one thing twice
	for _, t := range own {
		if !t.selector.selects(p.w) {
			continue
		}
		text := t.text()
		if ours[text]++; about[text] == nil {
			about[text] = &carried{term: t}
		}
	}
	for text, y := range about {
		n := p.neighbours(y.term.key, y.on, false)
		n.self = ours[text]
		if n.weight = y.term.weight; n.weight == 0 {
			c.shunned = append(c.shunned, n)
		} else {
			c.wished = append(c.wished, n)
		}
	}
}

// refuses says why a node may not have one more slot; "": it may.
func (c *company) refuses(at int) string {
	lonely := false
	for i := range c.together {
		if c.together[i].topology.of[at] < 0 {
			return alone
		}
		lonely = lonely || c.together[i].at(at) == 0
	}
	if lonely && (c.found || !c.pioneer) {
		return alone
	}
	for i := range c.apart {
		if c.apart[i].at(at) > 0 {
			return opposed
		}
	}
	for i := range c.shunned {
		if c.shunned[i].at(at) > 0 {
			return unwanted
		}
	}
	return ""
}

// good is how much the pods around a node are wished.
func (c *company) good(at int) (sum int64) {
	for i := range c.wished {
		sum += c.wished[i].weight * int64(c.wished[i].at(at))
	}
	return sum
}

// book counts a slot of the workload that was placed on a node.
func (c *company) book(at int) {
	for _, list := range [][]neighbours{c.together, c.apart, c.shunned, c.wished} {
		for i := range list {
			if domain := list[i].topology.of[at]; domain >= 0 {
				list[i].pods[domain] += list[i].self
			}
		}
	}
	c.found = c.found || c.pioneer && len(c.together) > 0
}
