// Package testnet is the deterministic world: many cores in one goroutine, with a
// seeded network (loss, delay, reordering, duplicates, partitions), disks that
// lose what was not synced, and simulated container hosts. One seed and one
// commit are one run: a history that breaks a rule is printed with its seed and
// happens again with `go test ./testnet -run TestHistories -seed=N`.
//
// A history has faults first and then calm, in which every live node must agree
// and every wanted slot must run exactly once; at last every workload is deleted
// and nothing may be left. The rules are in testnet/check.
package testnet
