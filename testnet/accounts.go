package testnet

import (
	"holon/crdt"
	"holon/node/core"
)

// A whole scan of a node's accounting costs as much as some hundred steps.
const (
	plansEvery  = 40
	claimsEvery = 400
	scansEvery  = 2000
)

// auditAccounts checks the invariants of the accounting after a step: I1 and I3
// by what has changed, in every step; I2, the index and the tree by a scan in
// every so many.
func (n *Node) auditAccounts(ready *core.Ready) {
	w, a := n.w, n.core.Accounts()
	for _, change := range ready.Changed {
		if change.Record == nil || n.newest[change.Key] != change.Record {
			continue
		}
		for r, c := range change.Record.Vector {
			if !a.Context.Has(crdt.Dot{Replica: r, Counter: c}) && a.Counters.Forks == 0 {
				w.violate("anytime: %s holds %s with dot %s:%d, which its context lacks (I1)", n.name, change.Key, r, c)
			}
		}
	}
	if !a.Context.CoversFloor(a.Floor) {
		w.violate("anytime: the floor of %s is above its context (I3): %v", n.name, a.Floor)
	}
	if w.Counts.Steps%plansEvery == 0 {
		for _, bad := range n.core.AuditPlan() {
			w.violate("anytime: %s: %s", n.name, bad)
		}
	}
	if w.Counts.Steps%claimsEvery == 0 {
		w.ledger.Claims(n.name, a.Context, a.Floor, n.newest)
	}
	if w.Counts.Steps%scansEvery == 0 && w.Counts.RollbacksUnseen == 0 { // or a dot may be of two records
		for _, bad := range n.core.Audit() {
			w.violate("anytime: %s: %s", n.name, bad)
		}
	}
	// What is sent back hides what the ingest rule or the stale path let in. Only after a
	// rollback may they: in secret, dots get new names; noticed, the context is forgotten.
	if a.Counters.SentBack > n.counted.SentBack && w.Counts.RollbacksSeen+w.Counts.RollbacksUnseen == 0 {
		w.violate("anytime: %s takes in again what it has purged although no disk was rolled back", n.name)
	}
	w.Counts.accounts(a.Counters, n.counted)
	n.counted = a.Counters
}
