package testnet

import (
	"maps"
	"slices"
	"strings"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/core"
	"holon/testnet/check"
)

// calm ends every fault for good.
func (w *World) calm() {
	w.cfg.Loss, w.cfg.Duplicate, w.shape = 0, 0, Shape{}
	w.net.heal()
	clear(w.ails)
	w.calmMemory()
	w.calmClocks()
	for _, n := range w.nodes {
		n.clear()
		n.full = false
	}
	for _, n := range w.nodes {
		if n.down != "" {
			n.setRuntime("")
		}
		if n.paused {
			n.resume()
		}
		if !n.up && !n.rejoining {
			n.start()
		}
	}
	w.Run(newsMax)
	w.letInStrangers()
	// Who lost its disk asks members in turn to let it in, and they may have to hear of
	// each other first (seed 5441 of the histories). What it left running is swept only
	// when it has been back for a while.
	for s := 0; s < backMax && !w.allUp(); s++ {
		w.Run(time.Second)
	}
	w.Run(14 * time.Second)
	w.forgetTheGone()
	// What a user does after the storm: no node is left cordoned or drained.
	for _, n := range w.nodes {
		if n.up {
			n.putNodeObject()
		}
	}
	w.Run(2 * time.Second)
	for _, n := range w.nodes {
		if n.up {
			n.cordon(n.name, false)
			n.drain(false)
		}
	}
}

// forgetTheGone does what a user does whose cluster counts members that are no more: too
// many may have burnt at once for the others to agree on it.
func (w *World) forgetTheGone() {
	n := w.nodes[0]
	if !n.up {
		return
	}
	for _, peer := range slices.Sorted(maps.Keys(n.core.Counted())) {
		if !slices.ContainsFunc(w.nodes, func(n *Node) bool { return n.peer == peer }) {
			w.Counts.Forgotten++
			n.ask(core.EvictMember{Member: string(peer), Force: true}, func(core.Ack) {})
		}
	}
}

// newsMax is how long word of who belongs may take once all links work again.
const newsMax = 5 * time.Second

// backMax bounds how many seconds the calm waits for those who join again.
const backMax = 60

func (w *World) allUp() bool {
	return !slices.ContainsFunc(w.nodes, func(n *Node) bool { return !n.up })
}

func (n *Node) putNodeObject() {
	if n.seen[state.MakeKey(state.Nodes, "", n.name)].Live() == nil {
		n.ask(nodeObject(n), func(core.Ack) {})
	}
}

// readable opens every disk as a snapshot of it does: by a core that only reads.
func (w *World) readable() {
	for _, n := range w.nodes {
		c, err := core.New(core.Config{Node: n.name, Peer: n.peer, Cluster: w.keys.id, ClusterKey: w.keys.public(), Replica: n.replica, Passive: true}, w.now, n.disk.load)
		if err != nil {
			w.violate("eventually: the disk of %s cannot be read: %v", n.name, err)
			continue
		}
		if ready := c.Step(w.now, core.Asked{ID: 1, Op: core.Copy{}}); len(ready.Run) > 0 {
			w.violate("eventually: a core that only reads the disk of %s orders %v", n.name, ready.Run)
		}
	}
}

func (w *World) replicas() []check.Replica {
	var all []check.Replica
	for _, n := range w.nodes {
		if n.up {
			all = append(all, check.Replica{Node: n.name, Records: n.seen, Shown: n.shown, Pods: n.host.Statuses(w.now)})
		}
	}
	return all
}

func (w *World) eventually() {
	replicas := w.replicas()
	if len(replicas) != len(w.nodes) {
		w.violate("world: %d of %d nodes are up after the calm", len(replicas), len(w.nodes))
	}
	w.bad = append(w.bad, check.Equal(replicas)...)
	w.countAlike()
	w.readable()
	// Whoever was evicted, or evicts on a side of its own, purges by another list of members:
	// what it tells others of that may be all that is left of a delete.
	if w.Counts.Core.Divergences > 0 && w.Counts.RollbacksUnseen+w.Counts.MemberEvictions == 0 {
		w.violate("anytime: stores of equal contexts differed although no disk was rolled back in secret and nobody was evicted")
	}
	fits := w.fits(replicas)
	w.bad = append(w.bad, check.ExactlyOnce(replicas, fits)...)
	w.bad = append(w.bad, check.Claims(replicas, fits)...)
	if fits {
		w.bad = append(w.bad, check.Jobs(replicas)...)
		w.bad = append(w.bad, check.Deserted(replicas)...)
		w.bad = append(w.bad, check.Faces(replicas)...)
	}
	w.bad = append(w.bad, w.document(replicas, fits && w.Counts.DiskLosts+w.Counts.RollbacksSeen+w.Counts.RollbacksUnseen == 0)...)
	for _, n := range w.nodes {
		w.ledger.Survived(n.name, n.disk.record)
		w.ledger.Everywhere(n.name, n.disk.record)
		n.startedOnce()
	}
}

// fits reports whether the cluster has ample room for everything that is wanted
// (half of it, so that packing is no question), and nothing crashes by itself.
func (w *World) fits(replicas []check.Replica) bool {
	wanted := int64(0)
	for key, rec := range replicas[0].Records {
		if crashesInSet(key, rec) {
			return false // a set may run it on, below its partition or until its pod is deleted
		}
		if !state.IsWorkload(key.Resource()) {
			continue
		}
		workload, err := state.DecodeWorkload(key, rec)
		if err != nil || workload == nil {
			continue
		}
		if workload.Job != nil {
			w.countJob(workload.Job)
			continue // what it takes it gives back
		}
		if workload.Daemon() && crowded(workload, replicas) {
			return false
		}
		wanted += int64(check.Wanted(workload, replicas)) * state.Requests(&workload.Template.Spec).CPU
		for _, c := range workload.Template.Spec.Containers {
			if c.Image == "crash" {
				return false
			}
		}
	}
	return 2*wanted <= room.CPU*int64(len(w.nodes)-w.squeezed())
}

// crashesInSet reports whether a record is a template of a StatefulSet that crashes.
func crashesInSet(key state.Key, rec *crdt.Record) bool {
	live := rec.Live()
	if key.Resource() != state.Revisions || live == nil {
		return false
	}
	owner := string(live.Registers[state.RevisionOwner].Value)
	return strings.Contains(owner, state.StatefulSets) && strings.Contains(string(live.Registers[state.RevisionTemplate].Value), `"image":"crash"`)
}

func (w *World) deleteAll() {
	n := w.nodes[0]
	for _, key := range slices.Sorted(maps.Keys(n.seen)) {
		if state.Plans(key.Resource()) && !w.goesAlong(n.seen[key], key) {
			n.remove(key)
		}
	}
}

// goesAlong reports whether a Job is deleted with its CronJob. Nobody deletes what
// belongs to a CronJob that he has never heard of, because it was on one disk only.
func (w *World) goesAlong(rec *crdt.Record, key state.Key) bool {
	job, err := state.DecodeWorkload(key, rec)
	return err == nil && job != nil && job.Job != nil && job.Job.Owner != nil && w.Counts.DiskLosts+w.Counts.RollbacksSeen+w.Counts.RollbacksUnseen == 0
}

func (w *World) finally() {
	w.bad = append(w.bad, check.Equal(w.replicas())...)
	lost := w.Counts.DiskLosts+w.Counts.RollbacksSeen+w.Counts.RollbacksUnseen > 0
	w.bad = append(w.bad, check.NothingLeaked(w.replicas(), lost)...)
	w.bad = append(w.bad, w.document(w.replicas(), !lost)...)
	// Who was away until a delete was purged elsewhere puts the claim aside, and keeps the data.
	if accounts := &w.Counts.Core; !lost && w.Counts.MemberEvictions == 0 && accounts.Superseded+accounts.Dropped == 0 {
		w.noVolumes()
		w.noCopies()
	}
}

// document judges what is stored. Between a rollback that nothing outside the
// database told of and the first word of a peer, dots are used twice.
func (w *World) document(replicas []check.Replica, settled bool) []string {
	return slices.DeleteFunc(check.Document(replicas, settled), func(bad string) bool {
		return w.Counts.RollbacksUnseen > 0 && strings.Contains(bad, ": dot: ")
	})
}
