package check

import "holon/crdt/state"

// Document reports what the invariant checker of the cluster document finds at
// each node. What is only on its way counts if everything had time and room to
// settle.
func Document(replicas []Replica, settled bool) []string {
	var bad []string
	for _, r := range replicas {
		for _, f := range state.Check(r.Records) {
			if settled || f.Severity == state.Broken {
				bad = append(bad, "eventually: "+r.Node+": "+f.String())
			}
		}
	}
	return bad
}
