// Package core is the brain of a node as a value that is stepped: it holds the
// records, believes in members, schedules, admits and restarts, and does no IO.
// Time, randomness and identity are arguments.
//
// Every event goes through Step, which returns a Ready: what must happen next,
// in field order. The shell (package node) or the seeded world (package testnet)
// performs it. Who owns what, one file each:
//
//	store.go     records, dots, context, Lamport time     writes and joins
//	sync.go      anti-entropy                             pulls what is missing
//	members.go   members, SWIM, the view                  who is there
//	status.go    class B: own and others' node status     what is seen
//	index.go     records decoded for planning             nodes, workloads, slots
//	schedule.go  election by rank, placement, rollout     what shall be
//	runner.go    runs and orders; beside it wants.go, admission.go,
//	             restart.go and orphans.go                what runs here
//	ask.go       requests of users                        acknowledged when durable
//	derive.go    API objects made from the above          never stored
package core
