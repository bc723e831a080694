package testnet

import (
	"holon/crdt"
	"holon/node/core"
)

// copiesMax bounds the copies that are kept of a disk.
const copiesMax = 3

// diskReplica is where the shell keeps the replica ID.
const diskReplica = "n/replica"

// copyDisk keeps a copy of a disk, as a user who makes backups of a data
// directory does.
func (w *World) copyDisk(n *Node) {
	if len(n.copies) == copiesMax {
		n.copies = n.copies[1:]
	}
	n.copies = append(n.copies, n.disk.copy())
}

// rollBack puts an older state of a disk back. marked: something outside the
// database tells that it was; otherwise only the peers can.
func (w *World) rollBack(n *Node, marked bool) {
	if len(n.copies) == 0 || n.rejoining || w.now-n.admittedAt < admittedLately {
		return
	}
	w.crash(n, true)
	n.host.Crash(w.now) // also if only the daemon was down
	n.powerCuts++
	files := n.disk.files
	n.disk = n.copies[w.rng.IntN(len(n.copies))].copy()
	if w.keeps && w.rng.IntN(2) == 0 { // only the database is
		n.disk.files = files
	}
	w.did("%s is rolled back to an older disk, noticed: %v", n.name, marked)
	w.ledger.DiskLost(n.name)
	if marked {
		w.Counts.RollbacksSeen++
		n.doubt = "the mark outside is newer"
		return
	}
	w.Counts.RollbacksUnseen++
	last := uint64(0)
	replica := n.replicaOnDisk()
	for _, ever := range n.disk.ever {
		last = max(last, ever[replica])
	}
	w.ledger.RolledBack(replica, last)
}

func (n *Node) replicaOnDisk() (r crdt.ReplicaID) {
	if value, ok := n.disk.pairs[diskReplica]; ok {
		copy(r[:], value)
		return r
	}
	return n.replica
}

// identify does what the shell does at boot: it reads the replica ID, or draws
// another one if the database is in doubt.
func (n *Node) identify(cfg *core.Config) {
	n.replica = n.replicaOnDisk()
	if n.doubt != "" && n.w.cfg.Bug != KeepReplica {
		cfg.Doubt, cfg.Former = n.doubt, n.replica
		n.replica = n.w.randomReplica()
	}
	n.doubt = ""
	n.disk.pairs[diskReplica] = append([]byte(nil), n.replica[:]...)
	cfg.Replica = n.replica
}
