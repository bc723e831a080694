// Package check holds what must hold in every history, by tense. Anytime: after
// each step (Ledger, Allocatable), and when a node says that it is done (Settled,
// Compacted). Eventually: once faults are over and messages flow (Equal,
// ExactlyOnce). Finally: when every workload is gone (NothingLeaked). Each rule has
// a test that plants the bug it is there for.
package check
