package scheduler

// topology says in which domain each node of a view is: the nodes with one value
// of a label.
type topology struct {
	of    []int // by position of the node; -1: it has no such label
	count int   // domains go from 0 to count-1
}

// topology is made once per view and key: what a node is called never changes in
// one.
func (v *View) topology(key string) *topology {
	if t := v.topologies[key]; t != nil {
		return t
	}
	if v.topologies == nil || len(v.topologies) >= maxTallies {
		v.topologies = map[string]*topology{}
	}
	t, known := &topology{of: make([]int, len(v.Nodes))}, map[string]int{}
	for i, n := range v.Nodes {
		value, ok := n.Labels[key]
		if !ok {
			t.of[i] = -1
			continue
		}
		domain, ok := known[value]
		if !ok {
			domain, known[value] = t.count, t.count
			t.count++
		}
		t.of[i] = domain
	}
	v.topologies[key] = t
	return t
}
