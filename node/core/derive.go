package core

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt"
	"holon/crdt/state"
)

// derived makes API objects of the view and remembers which exist, so that those
// that cease to are taken back.
type derived struct {
	dirty     bool
	all       bool
	snapshots bool // what is said of them may have changed
	workloads map[crdt.UID]bool
	objects   map[crdt.UID]map[state.Key]bool // what each workload shows; false: another does, of that name
	nodes     map[string]bool                 // that are shown
	view      *View                           // published last
	// specs keeps what is dear to make and rarely changes.
	specs map[*corev1.PodTemplateSpec]map[string]any
	// made says of what each object was made that is shown now: what would look
	// the same is not shown again. Pods are in pods, the rest in made.
	made map[state.Key]any
	pods map[state.Key]madePod
	// progress is that of Deployments.
	progress map[crdt.UID]progress
	volumes  map[state.Key]state.Key // the PersistentVolume that is shown of each claim
}

// The makings of what is shown, without what the picture does not depend on.
type (
	madePod struct {
		face   state.PodFace
		status state.RunStatus
		token  uint64
	}
	madeDeployment struct {
		workload *state.Workload
		rollout  state.Rollout
		token    uint64
	}
	madeSet struct {
		counts   state.Counts
		revision state.Revision
		born     crdt.Stamp
	}
	madeNode struct {
		token             uint64
		live              bool
		peer, unreachable string
		status            string // encoded, without its runs
	}
)

// same reports whether two pods would look the same.
func (a *madePod) same(b *madePod) bool {
	f, g, s, t := &a.face, &b.face, &a.status, &b.status
	return a.token == b.token && f.Workload == g.Workload && f.Node == g.Node && f.HostIP == g.HostIP && f.NodeLost == g.NodeLost &&
		f.Run == g.Run && f.UID == g.UID && f.Template == g.Template && f.Priority == g.Priority && f.Why == g.Why && (f.Status == nil) == (g.Status == nil) &&
		s.Phase == t.Phase && s.Ready == t.Ready && s.Refused == t.Refused && s.Message == t.Message && s.IP == t.IP &&
		s.Started == t.Started && s.Created == t.Created && s.Stopping == t.Stopping && slices.Equal(s.Containers, t.Containers) &&
		slices.Equal(s.Init, t.Init) && s.Initializing == t.Initializing &&
		maps.Equal(f.Labels, g.Labels) && maps.Equal(f.Notes, g.Notes)
}

// shownPod reports whether a pod is shown already as face says, and remembers
// that it will be.
func (d *derived) shownPod(key state.Key, face *state.PodFace, token uint64) bool {
	now := madePod{face: *face, token: token}
	if face.Status != nil {
		now.status = *face.Status
	}
	before, ok := d.pods[key]
	if ok && before.same(&now) {
		return true
	}
	d.pods[key] = now
	return false
}

// shownAs is shownPod for everything else.
func (d *derived) shownAs(key state.Key, now any) bool {
	if before, ok := d.made[key]; ok && before == now {
		return true
	}
	d.made[key] = now
	return false
}

// takeBack says that an object is no more.
func (c *Core) takeBack(key state.Key) {
	delete(c.derived.made, key)
	delete(c.derived.pods, key)
	c.out.Derived = append(c.out.Derived, Derived{Key: key})
}

// specsMax bounds the templates that are kept as JSON.
const specsMax = 4096

// specOf is a template's spec as JSON, made once per template.
func (d *derived) specOf(t *corev1.PodTemplateSpec) map[string]any {
	if t == nil {
		return nil
	}
	spec, ok := d.specs[t]
	if !ok {
		var err error
		if spec, err = state.Unstructured(t.Spec); err != nil {
			return nil // Value will say why
		}
		if len(d.specs) >= specsMax {
			clear(d.specs)
		}
		d.specs[t] = spec
	}
	return spec
}

func newDerived() derived {
	return derived{dirty: true, all: true, workloads: map[crdt.UID]bool{}, objects: map[crdt.UID]map[state.Key]bool{}, nodes: map[string]bool{},
		specs: map[*corev1.PodTemplateSpec]map[string]any{}, made: map[state.Key]any{}, pods: map[state.Key]madePod{}, progress: map[crdt.UID]progress{}, volumes: map[state.Key]state.Key{}}
}

// derive publishes the faces of what has changed since the last time.
func (c *Core) derive() {
	d := &c.derived
	if !d.dirty && len(c.index.keys) == 0 {
		return
	}
	due := d.workloads
	if d.all {
		for uid := range c.index.workloads {
			due[uid] = true
		}
		for uid := range c.index.crons {
			due[uid] = true
		}
		for uid := range d.objects {
			due[uid] = true
		}
	}
	for _, uid := range sortedUIDs(due) {
		c.deriveWorkload(uid, c.runsOf(uid))
	}
	c.deriveBudgets(due)
	c.deriveServices()
	c.deriveNamespaces()
	c.deriveClaims()
	c.deriveSnapshots()
	nodes := c.dueNodes()
	for _, name := range nodes {
		c.deriveNode(name)
	}
	c.publishView(len(nodes) > 0)
	d.dirty, d.all = false, false
	d.workloads, c.index.keys = map[crdt.UID]bool{}, map[state.Key]bool{}
}

// dueNodes lists the nodes whose faces may have changed: those that were touched,
// or all that have a record or had one.
func (c *Core) dueNodes() []string {
	due := map[string]bool{}
	for key := range c.index.keys {
		if key.Resource() == state.Nodes {
			_, _, name := key.Split()
			due[name] = true
		}
	}
	if c.derived.all {
		for name := range c.index.nodes {
			due[name] = true
		}
		for name := range c.derived.nodes {
			due[name] = true
		}
	}
	return slices.Sorted(maps.Keys(due))
}

// publishView says what this node believes. The members are described anew only if
// one of them may have changed.
func (c *Core) publishView(members bool) {
	d := &c.derived
	if d.view == nil || members || d.all {
		d.view = c.view()
	} else {
		next := *d.view
		if b := c.sched.booking.view; b != nil {
			next.Majority, next.CountedThere = b.Majority, c.countedThere()
		}
		c.summarize(&next)
		d.view = &next
	}
	c.out.View = d.view
}

// placedRun is a run as some node reports it.
type placedRun struct {
	node   string
	status *state.RunStatus
}

// runsOf lists the runs of a workload by node, this one last.
func (c *Core) runsOf(uid crdt.UID) (runs []placedRun) {
	byNode := c.status.runs[uid]
	add := func(node string) {
		for _, r := range byNode[node] {
			runs = append(runs, placedRun{node, r})
		}
	}
	for _, node := range slices.Sorted(maps.Keys(byNode)) {
		if b := c.members.byName[node]; node != c.cfg.Node && b != nil && !b.Left {
			add(node)
		}
	}
	add(c.cfg.Node)
	return runs
}

func (c *Core) publish(key state.Key, value map[string]any, token uint64) {
	c.out.Derived = append(c.out.Derived, Derived{Key: key, Value: value, Token: token})
}

func (c *Core) deriveWorkload(uid crdt.UID, runs []placedRun) {
	shown := map[state.Key]bool{}
	w := c.index.workloads[uid]
	if j := c.index.crons[uid]; j != nil {
		c.deriveCron(j, shown)
	} else if w == nil {
		c.serve(uid, nil, nil)
		for _, r := range runs {
			if r.status.Name == "" {
				continue
			}
			key := state.MakeKey(state.Pods, r.status.Namespace, r.status.Name)
			if c.ceded(r.status, key) {
				shown[key] = shown[key] // false, unless another of its runs is shown
				continue
			}
			shown[key] = true
			lost := !c.live(r.node)
			if !c.derived.shownPod(key, &state.PodFace{Slot: r.status.Slot, Run: r.status.Run, Node: r.node, NodeLost: lost, Status: r.status}, 0) {
				c.publish(key, state.StrayFace(r.node, r.status, lost), 0)
			}
		}
	} else {
		pods := c.podFaces(w, runs)
		for i := range pods {
			c.derivePod(w, &pods[i], shown)
		}
		c.serve(uid, w, pods)
		switch {
		case w.Job != nil:
			c.deriveJob(w, shown)
		case w.Set():
			c.deriveSet(w, shown)
		case w.Daemon():
			c.deriveDaemon(w, shown)
		case !w.Bare():
			c.deriveDeployment(w, shown)
		}
		c.out.Explained = append(c.out.Explained, c.explain(w))
	}
	for _, key := range sortedKeys(c.derived.objects[uid]) {
		if shown[key] || !c.derived.objects[uid][key] {
			continue
		}
		if heir, ok := c.index.byKey[key]; !ok || heir == uid {
			c.takeBack(key) // an heir of the name shows it itself
		}
	}
	c.derived.objects[uid] = shown
	if len(shown) == 0 {
		delete(c.derived.objects, uid)
		delete(c.derived.progress, uid)
	}
}

// ceded reports whether the name of a run that a workload left behind when it went is another
// run's by now, or was. It does not come back: who watches has seen it deleted.
func (c *Core) ceded(r *state.RunStatus, key state.Key) bool {
	shown, known := c.derived.objects[r.Slot.Workload][key]
	_, reborn := c.index.byKey[key]
	is, taken := c.derived.pods[key]
	return known && !shown || reborn || taken && is.face.Run != r.Run
}

func (c *Core) derivePod(w *state.Workload, face *state.PodFace, shown map[state.Key]bool) {
	key, token := state.MakeKey(state.Pods, w.Namespace, face.Name), uint64(0)
	if by := c.derived.pods[key].face.Slot.Workload; by != w.UID && c.derived.objects[by][key] {
		c.derived.objects[by][key] = false
	}
	if w.Bare() {
		token = c.store.entries[w.Key].token
	}
	shown[key] = true
	if c.derived.shownPod(key, face, token) {
		return
	}
	value, err := face.Value()
	if err != nil {
		c.fact(true, w.Key, "InvalidTemplate", "%v", err)
		return
	}
	if w.Bare() {
		keepStoredMeta(value, w)
	}
	c.publish(key, value, token)
}

// keepStoredMeta gives a bare pod the generation and timestamps it was stored
// with.
func keepStoredMeta(value map[string]any, w *state.Workload) {
	meta := value["metadata"].(map[string]any)
	stored, _ := w.Object["metadata"].(map[string]any)
	for _, field := range []string{"generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "finalizers", "generateName", "ownerReferences"} {
		if v, ok := stored[field]; ok {
			meta[field] = v
		}
	}
}

// podFaces lists the pods of a workload: every run that is reported for a wanted
// slot, and a pending one for each slot whose runner has not reported yet.
func (c *Core) podFaces(w *state.Workload, runs []placedRun) []state.PodFace {
	if w.Evicted != "" && !w.Deleting { // whatever is still on its way out
		return []state.PodFace{c.heldPod(w)}
	}
	var faces []state.PodFace
	bySlot := map[int][]placedRun{}
	for _, r := range runs {
		bySlot[r.status.Slot.Index] = append(bySlot[r.status.Slot.Index], r)
	}
	for _, s := range c.wanted(w) {
		if s.Home.Node == "" && (w.InOrder && !c.nextInOrder(w, s.ID.Index) || c.aboutToPlace(w)) {
			continue // it has no pod yet
		}
		assigned := c.assigned(&s)
		if assigned == "" && c.sched.booking.view != nil {
			assigned = s.Home.Node // lost, and nobody stands in
		}
		revision := s.Run.Revision
		if revision == "" {
			revision = c.firstRevision(w, s.ID.Index)
		}
		expected := state.MakeRunID(s.ID, revision, assigned, s.Run.Nonce)
		found, before := false, len(faces)
		for _, r := range bySlot[s.ID.Index] {
			if w.Set() && r.status.Run != state.MakeRunID(s.ID, r.status.Revision, r.node, s.Run.Nonce) {
				continue // deleted: its name is the next one's, here as where it still stops
			}
			faces = append(faces, c.podFace(w, s.ID, r.node, r.status))
			found = found || r.status.Run == expected
		}
		if of := faces[before:]; w.OneName() && len(of) > 1 { // show who runs it in this view
			shown := slices.IndexFunc(of, func(f state.PodFace) bool { return f.Run == expected })
			faces = append(faces[:before], of[max(shown, 0)])
		}
		if !found && (!w.OneName() || len(faces) == before) && (w.Job == nil || !w.Job.Spent(s.ID.Index, s.Run.Nonce)) {
			pending := c.podFace(w, s.ID, assigned, &state.RunStatus{Run: expected, Revision: revision, Phase: state.Pending, Slot: s.ID})
			pending.Status = nil
			pending.Why = cmp.Or(c.whyPlaced(w, s.ID.Index), "not planned yet")
			faces = append(faces, pending)
		}
	}
	for _, r := range runs { // of slots that are not wanted any more
		if c.wants(w, r.status.Slot.Index) || w.Bare() && !w.Stops || w.Set() && showsSlot(faces, r.status.Slot) {
			continue
		}
		faces = append(faces, c.podFace(w, r.status.Slot, r.node, r.status))
	}
	if w.Bare() && w.Stops && len(faces) == 0 {
		faces = append(faces, c.heldPod(w))
	}
	return faces
}

// aboutToPlace reports whether somebody else is expected to write in a moment where slots
// go. Until then their pods have no names yet, but for those that do not follow from it:
// whoever watches would see another pod come and go.
func (c *Core) aboutToPlace(w *state.Workload) bool {
	_, undone := c.sched.undone[w.UID]
	return undone && !w.OneName()
}

func (c *Core) podFace(w *state.Workload, slot state.SlotID, node string, r *state.RunStatus) state.PodFace {
	r = withheld(w, r)
	f := state.PodFace{
		Workload: w, Slot: slot, Run: r.Run, Revision: r.Revision, Name: podName(w, slot, r.Revision, r.Run),
		UID: c.podUID(w, slot, r.Run), Node: node, Status: r, Template: c.index.template(w.UID, r.Revision),
		NodeLost: node != "" && !c.live(node),
	}
	f.Spec = c.derived.specOf(f.Template)
	if f.Template != nil {
		f.Priority = c.index.priorities.of(&f.Template.Spec)
	}
	if s := c.statusOf(node); s != nil {
		f.HostIP = s.HostIP
	}
	if m, ok := c.index.podMeta[f.UID]; ok && !w.Bare() {
		f.Labels, f.Notes = m.Labels, m.Annotations
	}
	return f
}

func (c *Core) deriveDeployment(w *state.Workload, shown map[state.Key]bool) {
	total := state.Counts{Wanted: w.Replicas}
	perRevision := map[string]state.Counts{}
	for _, s := range c.wanted(w) {
		if s.Home.Node == "" {
			continue
		}
		n := perRevision[s.Run.Revision]
		n.Wanted++
		n.Placed++
		n.Ready += count(c.slotReady(&s, s.Run.Revision))
		n.Available += count(c.slotAvailable(&s, s.Run.Revision))
		perRevision[s.Run.Revision] = n
		total.Placed++
		total.Ready += count(c.slotEither(&s, c.slotReady))
		total.Available += count(c.slotEither(&s, c.slotAvailable))
		total.Updated += count(s.Run.Revision == w.Revision && s.Run.Prev == "") // not while the old run still stands in for it
	}
	rollout := state.Rollout{Counts: total, Number: c.index.revisions[w.UID][w.Revision].Number, Stalled: c.stalled(w, total)}
	token := c.store.entries[w.Key].token
	shown[w.Key] = true
	if !c.derived.shownAs(w.Key, madeDeployment{w, rollout, token}) {
		c.publish(w.Key, state.DeploymentFace(w, rollout), token)
	}
	for _, hash := range slices.Sorted(maps.Keys(c.index.revisions[w.UID])) {
		c.deriveReplicaSet(w, c.index.revisions[w.UID][hash], perRevision[hash], shown)
	}
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

func (c *Core) deriveReplicaSet(w *state.Workload, r revision, n state.Counts, shown map[state.Key]bool) {
	key := state.MakeKey(state.ReplicaSets, w.Namespace, state.ReplicaSetName(w, r.Hash))
	shown[key] = true
	if c.derived.shownAs(key, madeSet{n, r.Revision, r.born}) {
		return
	}
	face, err := state.ReplicaSetFace(w, &r.Revision, n)
	if err != nil {
		c.fact(true, w.Key, "InvalidTemplate", "%v", err)
		return
	}
	c.publish(key, face, 0)
}

// deriveNode publishes a Node that has a record, or takes it back.
func (c *Core) deriveNode(name string) {
	key := state.MakeKey(state.Nodes, "", name)
	n, ok := c.index.nodes[name]
	if !ok {
		if c.derived.nodes[name] {
			delete(c.derived.nodes, name)
			c.takeBack(key)
		}
		return
	}
	v := state.NodeView{Node: n, Status: c.statusOf(name), Live: c.live(name), Labels: nodeLabels(name, n.Labels, c.statusOf(name))}
	if b := c.members.byName[name]; b != nil {
		v.Peer, v.Unreachable = string(b.peer), "the node is "+b.state.String()
	}
	token := c.store.entries[key].token
	c.derived.nodes[name] = true
	if !c.derived.shownAs(key, madeNode{token, v.Live, v.Peer, v.Unreachable, withoutRuns(v.Status)}) {
		c.publish(key, state.NodeFace(v), token)
	}
}

// withoutRuns spells what a node says of itself, but for what it runs and what time it is.
func withoutRuns(s *state.NodeStatus) string {
	if s == nil {
		return ""
	}
	bare := *s
	bare.Runs, bare.Copies, bare.Seq, bare.Wall = nil, nil, 0, 0
	return string(bare.Encode())
}

// nodeLabels are what users wrote and what every node has.
func nodeLabels(name string, stored map[string]string, s *state.NodeStatus) map[string]string {
	labels := map[string]string{"kubernetes.io/hostname": name}
	if s != nil && s.OS != "" {
		labels["kubernetes.io/os"], labels["kubernetes.io/arch"] = s.OS, s.Arch
	}
	maps.Copy(labels, stored)
	return labels
}
