package core

import (
	corev1 "k8s.io/api/core/v1"

	"holon/crdt"
	"holon/crdt/state"
)

// index holds the records that planning needs, decoded, and remembers what has
// changed since the last plan. Everything else stays encoded.
type index struct {
	nodes      map[string]state.Node
	workloads  map[crdt.UID]*state.Workload
	byKey      map[state.Key]crdt.UID
	slots      map[crdt.UID]map[int]state.Slot
	revisions  map[crdt.UID]map[string]revision
	podMeta    map[string]podMeta            // by pod UID
	budgets    map[string]map[string]*budget // by namespace and name
	claims     claims
	snapshots  snapshots
	services   services
	priorities priorities
	jobs       jobTimes
	crons      map[crdt.UID]*state.CronJob
	owned      map[crdt.UID]map[crdt.UID]owned // Jobs, by the UIDs of their CronJob and their own
	// retired workloads were deleted, or lost their name to an older object that
	// was created on the other side of a partition.
	retired map[crdt.UID]bool
	lives   lives
	// losers are those of the latter that nobody has deleted yet, with their keys.
	losers map[crdt.UID]state.Key

	// strays own slots, revisions or Jobs, have no workload or CronJob here, and are not
	// retired, as of the last plan.
	strays map[crdt.UID]bool
	// here are the slots whose home or stand-in is this node, by workload and index.
	here map[crdt.UID]map[int]bool
	node string // this one

	dirtyAll bool              // liveness or a node changed: plan everything
	touched  map[crdt.UID]bool // workloads to plan and derive again
	keys     map[state.Key]bool
}

// revision is a stored pod template.
type revision struct {
	state.Revision
	key   state.Key
	uid   crdt.UID
	born  crdt.Stamp
	owner state.Key
	birth crdt.Dot // of the workload
}

// podMeta is what users wrote on a derived pod.
type podMeta struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func newIndex(node string) index {
	return index{
		node: node, lives: newLives(), strays: map[crdt.UID]bool{}, here: map[crdt.UID]map[int]bool{},
		nodes: map[string]state.Node{}, workloads: map[crdt.UID]*state.Workload{}, byKey: map[state.Key]crdt.UID{},
		slots: map[crdt.UID]map[int]state.Slot{}, revisions: map[crdt.UID]map[string]revision{},
		podMeta: map[string]podMeta{}, budgets: map[string]map[string]*budget{}, services: newServices(), claims: newClaims(), snapshots: snapshots{newBearers(), map[state.Key]*state.Snapshot{}}, priorities: priorities{classes: map[string]state.PriorityClass{}}, retired: map[crdt.UID]bool{}, losers: map[crdt.UID]state.Key{},
		jobs: jobTimes{}, crons: map[crdt.UID]*state.CronJob{}, owned: map[crdt.UID]map[crdt.UID]owned{}, touched: map[crdt.UID]bool{}, keys: map[state.Key]bool{}, dirtyAll: true,
	}
}

func (x *index) touch(key state.Key) { x.keys[key] = true }

func (x *index) touchWorkload(uid crdt.UID) { x.touched[uid] = true }

// reindex follows a changed record, nil if nothing is left of it. A record that does not make sense changes
// nothing that runs: the last good meaning stays, and it is said.
func (c *Core) reindex(key state.Key, rec *crdt.Record) {
	if unplanned(key) {
		c.runner.dirty, c.derived.dirty = true, true // the view counts records
		c.index.followLife(key, rec)
		c.filesChanged(key)
		return
	}
	x := &c.index
	x.touch(key)
	var err error
	switch key.Resource() {
	case state.Deployments, state.Pods, state.StatefulSets, state.DaemonSets, state.Jobs:
		before := x.byKey[key]
		if err = x.reindexWorkload(key, rec); err == nil {
			x.jobs.follow(before, x.workloads[x.byKey[key]], c.now)
		}
	case state.CronJobs:
		c.status.clocks.moved = true // nobody has kept time while there were none
		err = x.reindexCron(key, rec)
	case state.Slots:
		err = x.reindexSlot(key, rec)
	case state.Revisions:
		err = x.reindexRevision(key, rec)
	case state.Nodes:
		var n state.Node
		var ok bool
		if n, ok, err = state.DecodeNode(key, rec); err == nil {
			_, _, name := key.Split()
			delete(x.nodes, name)
			if ok {
				x.nodes[name] = n
			}
			x.dirtyAll = true
		}
	case state.PriorityClasses:
		err = x.reindexPriority(key, rec)
	case state.Claims:
		err = c.reindexClaim(key, rec)
	case state.Snapshots:
		err = c.reindexSnapshot(key, rec)
	case state.Budgets:
		c.derived.dirty = true
		err = x.reindexBudget(key, rec)
	case state.Services:
		c.derived.dirty = true
		err = x.reindexService(key, rec)
	case state.PodMeta:
		err = x.reindexPodMeta(key, rec)
	case state.Members:
		c.reindexMember(key)
	}
	if err != nil {
		c.fact(true, key, "InvalidRecord", "%v; the last valid state goes on", err)
	}
	x.followLife(key, rec)
}

// unplanned says that nothing follows from a record but what pods find in their
// files and variables: it is not kept decoded, and there may be very many.
func unplanned(key state.Key) bool {
	switch key.Resource() {
	case state.ConfigMaps, state.Secrets, state.ServiceAccounts, state.Leases:
		return true
	}
	return false
}

func (x *index) reindexWorkload(key state.Key, rec *crdt.Record) error {
	w, err := state.DecodeWorkload(key, rec)
	if err != nil {
		return err
	}
	if w == nil {
		x.follow(key, rec, crdt.UID{})
		return nil
	}
	x.follow(key, rec, w.ObjectUID)
	delete(x.retired, w.UID)
	x.workloads[w.UID], x.byKey[key] = w, w.UID
	x.touchWorkload(w.UID) // it may be that of another object
	x.ownJob(w, rec.Live().Birth.Stamp)
	return nil
}

// follow retires all that a key has stood for, but for the object that bears its name
// now; zero: none.
func (x *index) follow(key state.Key, rec *crdt.Record, bearer crdt.UID) {
	x.retire(key)
	if rec != nil {
		for uid, o := range rec.Objects {
			x.retired[uid] = true
			x.touchWorkload(uid)
			if o.Dead == nil && bearer != (crdt.UID{}) && uid != bearer {
				x.losers[uid] = key
			}
		}
	}
	delete(x.byKey, key)
}

// retire forgets what a key stood for: its UID may be that of an object before it,
// and an object may go without a tombstone, deleted elsewhere and purged there.
func (x *index) retire(key state.Key) {
	gone := func(uid crdt.UID) {
		x.retired[uid] = true
		x.touchWorkload(uid)
		x.disownJob(uid)
		delete(x.workloads, uid)
		delete(x.crons, uid)
		delete(x.losers, uid)
	}
	if uid, ok := x.byKey[key]; ok {
		gone(uid)
	}
	for uid, at := range x.losers {
		if at == key {
			gone(uid)
		}
	}
}

func (x *index) reindexSlot(key state.Key, rec *crdt.Record) error {
	_, _, name := key.Split()
	id, err := state.ParseSlotID(name)
	if err != nil {
		return err
	}
	s, ok, err := state.DecodeSlot(key, rec)
	if err != nil {
		return err
	}
	x.touchWorkload(id.Workload)
	if !ok {
		dropPart(x.slots, id.Workload, id.Index)
		dropPart(x.here, id.Workload, id.Index)
		return nil
	}
	setPart(x.slots, id.Workload, id.Index, s)
	if s.Home.Node == x.node || s.HasStandIn() && s.StandIn.Node == x.node {
		setPart(x.here, id.Workload, id.Index, true)
	} else {
		dropPart(x.here, id.Workload, id.Index)
	}
	return nil
}

// setPart and dropPart change a map of maps in which no inner one is empty.
func setPart[A, B comparable, V any](m map[A]map[B]V, a A, b B, v V) {
	if m[a] == nil {
		m[a] = map[B]V{}
	}
	m[a][b] = v
}

func dropPart[A, B comparable, V any](m map[A]map[B]V, a A, b B) {
	delete(m[a], b)
	if len(m[a]) == 0 {
		delete(m, a)
	}
}

// owns reports whether slots or revisions of a workload are here, or Jobs of a CronJob.
func (x *index) owns(uid crdt.UID) bool {
	return len(x.slots[uid])+len(x.revisions[uid])+len(x.owned[uid]) > 0
}

// bears reports whether an object is here by which others go.
func (x *index) bears(uid crdt.UID) bool { return x.workloads[uid] != nil || x.crons[uid] != nil }

func (x *index) stray(uid crdt.UID) bool { return !x.bears(uid) && !x.retired[uid] && x.owns(uid) }

func revisionKey(namespace string, workload crdt.UID, hash string) state.Key {
	return state.MakeKey(state.Revisions, namespace, workload.String()+"-"+hash)
}

func (x *index) reindexRevision(key state.Key, rec *crdt.Record) error {
	_, _, name := key.Split()
	uid, hash, err := state.ParseRevisionName(name)
	if err != nil {
		return err
	}
	r := revision{key: key, Revision: state.Revision{Hash: hash}}
	x.touchWorkload(uid)
	live := rec.Live()
	if live == nil {
		dropPart(x.revisions, uid, hash)
		return nil
	}
	r.uid, r.born = live.UID, live.Birth.Stamp
	err = state.DecodeRegisters(key, live, map[string]any{
		state.RevisionTemplate: &r.Template, state.RevisionNumber: &r.Number, state.RevisionCreated: &r.Created,
		state.RevisionCause: &r.Cause, state.RevisionOwner: &r.owner, state.RevisionOwnerBirth: &r.birth,
	})
	if err != nil {
		return err
	}
	if r.Template == nil {
		return nil // its register has not arrived
	}
	setPart(x.revisions, uid, hash, r)
	return nil
}

func (x *index) reindexPodMeta(key state.Key, rec *crdt.Record) error {
	_, _, uid := key.Split()
	obj, ok, err := state.DecodeObject(rec)
	if err != nil {
		return err
	}
	delete(x.podMeta, uid)
	if ok {
		var m podMeta
		if err := state.Convert(obj.Value, &m); err != nil {
			return err
		}
		x.podMeta[uid] = m
	}
	x.dirtyAll = true
	return nil
}

// template is the pod template of a workload at a revision; nil if it has not
// arrived here. A bare Pod has one at a time, whatever its slot began with: it has
// no rollout.
func (x *index) template(uid crdt.UID, hash string) *corev1.PodTemplateSpec {
	if w := x.workloads[uid]; w != nil && (w.Revision == hash || w.OneTemplate()) {
		return w.Template
	}
	if r, ok := x.revisions[uid][hash]; ok {
		return r.Template
	}
	return nil
}
