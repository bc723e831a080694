// Package state is the cluster document over records: it knows what the keys
// and registers of crdt mean. Nodes, workloads and slots are decoded here for
// those who plan; pods, ReplicaSets and every status are derived here and never
// stored. Everything is a pure function of its arguments.
package state
