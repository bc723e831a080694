package check

import (
	"strings"

	"holon/crdt/state"
)

// selfStandIn is no fault: two sides may give a slot two homes of one term, and
// one of them a stand-in that turns out to be the home that wins.
const selfStandIn = "stands in for itself"

// Document reports what the invariant checker of the cluster document finds at
// each node. What is only on its way counts if everything had time and room to
// settle.
func Document(replicas []Replica, settled bool) []string {
	var bad []string
	for _, r := range replicas {
		for _, f := range state.Check(r.Records) {
			if strings.HasSuffix(f.Text, selfStandIn) {
				continue
			}
			if settled || f.Severity == state.Broken {
				bad = append(bad, "eventually: "+r.Node+": "+f.String())
			}
		}
	}
	return bad
}
