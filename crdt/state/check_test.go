package state

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"holon/crdt"
)

// document is a small settled cluster: two members with their nodes, one
// deployment of two slots after a rollout, one with a stand-in, a bare pod.
type document struct {
	t   testing.TB
	w   *writer
	doc map[Key]*crdt.Record
	web *Workload
}

func settled(t testing.TB) *document {
	d := &document{t: t, w: &writer{replica: crdt.ReplicaID{1}}, doc: map[Key]*crdt.Record{}}
	for _, node := range []string{"n1", "n2"} {
		d.set(MakeKey(Members, "", "peer-"+node), MemberUID("peer-"+node), map[string]string{
			MemberName: `"` + node + `"`, MemberChain: `"AQ=="`, MemberAddrs: `[]`, MemberLeft: `false`,
		})
		d.set(MakeKey(Nodes, "", node), DerivedUID("node", node), nil)
	}
	key := MakeKey(Deployments, "default", "web")
	d.doc[key] = d.w.stored(t, crdt.UID{7}, webObject)
	w, err := DecodeWorkload(key, d.doc[key])
	if err != nil {
		t.Fatal(err)
	}
	d.web = w
	old := w.Template.DeepCopy()
	old.Spec.Containers[0].Image = "web:0"
	if d.doc[key], err = d.doc[key].Set(w.UID, d.w.next(), map[string][]byte{GenerationPath(d.w.replica): []byte("2")}); err != nil {
		t.Fatal(err)
	}
	d.revision(RevisionHash(old), old, 1)
	d.revision(w.Revision, w.Template, 2)
	d.slot(0, map[string]string{SlotStandIn: `{"node":"n2","basis":1}`})
	d.slot(1, map[string]string{SlotRun: fmt.Sprintf(`{"revision":%q,"prev":%q}`, w.Revision, RevisionHash(old))})
	d.doc[MakeKey(Pods, "default", "p")] = d.w.stored(t, crdt.UID{8}, `{"spec":{"containers":[{"name":"c"}]}}`)
	d.set(MakeKey(PodMeta, "default", someUID), crdt.UID{9}, map[string]string{"/labels/a": `"b"`})
	return d
}

func (d *document) set(key Key, uid crdt.UID, registers map[string]string) {
	d.t.Helper()
	values := map[string][]byte{}
	for path, text := range registers {
		values[path] = []byte(text)
	}
	rec, err := d.doc[key].Set(uid, d.w.next(), values)
	if err != nil {
		d.t.Fatal(err)
	}
	d.doc[key] = rec
}

func (d *document) key(index int) Key {
	return SlotKey("default", SlotID{Workload: d.web.UID, Index: index})
}

func (d *document) revision(hash string, template any, number int) {
	key := revisionKey("default", d.web.UID, hash)
	d.set(key, DerivedUID(string(key)), map[string]string{
		RevisionTemplate: string(EncodeRegister(template)), RevisionNumber: fmt.Sprint(number), RevisionCreated: `""`,
	})
}

// slot writes one as node/core does, and then what a test wants.
func (d *document) slot(index int, more map[string]string) {
	id := SlotID{Workload: d.web.UID, Index: index}
	d.set(d.key(index), slotUID(id), map[string]string{SlotOwner: `"deployments.apps/default/web"`, SlotRun: fmt.Sprintf(`{"revision":%q}`, d.web.Revision)})
	d.home(index, 1, `{"node":"n1","term":1}`)
	if more != nil {
		d.set(d.key(index), slotUID(id), more)
	}
}

// slotUID is that of the only object of a slot in most tests.
func slotUID(id SlotID) crdt.UID { return SlotUID(id, crdt.Dot{}) }

func (d *document) home(index int, rank uint64, value string) {
	d.t.Helper()
	key := d.key(index)
	rec, err := d.doc[key].SetRanked(slotUID(SlotID{Workload: d.web.UID, Index: index}), d.w.next(), SlotHome, rank, []byte(value))
	if err != nil {
		d.t.Fatal(err)
	}
	d.doc[key] = rec
}

// split does something on each side of a partition and joins what comes of it.
func (d *document) split(theirs, ours func(*document)) {
	other := &document{t: d.t, w: &writer{replica: crdt.ReplicaID{2}, counter: d.w.counter}, doc: maps.Clone(d.doc), web: d.web}
	theirs(other)
	ours(d)
	for key, rec := range other.doc {
		d.doc[key] = crdt.Join(d.doc[key], rec)
	}
}

func (d *document) delete(key Key) {
	d.t.Helper()
	rec, err := d.doc[key].Delete(d.doc[key].Live().UID, d.w.next())
	if err != nil {
		d.t.Fatal(err)
	}
	d.doc[key] = rec
}

// forge changes a record as no function of crdt would.
func (d *document) forge(key Key, change func(o *crdt.Object, rec *crdt.Record)) {
	rec, err := crdt.Decode(d.doc[key].Encode())
	if err != nil {
		d.t.Fatal(err)
	}
	change(rec.Live(), rec)
	d.doc[key] = rec
}

func TestASettledDocumentIsSound(t *testing.T) {
	if findings := Check(settled(t).doc); len(findings) > 0 {
		t.Errorf("%v", findings)
	}
	if findings := Check(nil); len(findings) > 0 {
		t.Errorf("an empty document: %v", findings)
	}
}

// What correct nodes do on two sides of a partition is sound after the merge.
func TestAMergedDocumentIsSound(t *testing.T) {
	d := settled(t)
	d.split(func(o *document) {
		o.home(0, 2, `{"node":"n2","term":2}`)
		o.revision(d.web.Revision, d.web.Template, 2)
		o.slot(2, nil)
		o.set(d.key(1), slotUID(SlotID{d.web.UID, 1}), map[string]string{SlotRun: fmt.Sprintf(`{"revision":%q,"nonce":1}`, d.web.Revision)})
	}, func(d *document) {
		d.set(d.key(0), slotUID(SlotID{d.web.UID, 0}), map[string]string{SlotStandIn: `{"node":"n2","basis":1}`})
		d.slot(2, nil)
	})
	if findings := Check(d.doc); len(findings) > 0 {
		t.Errorf("%v", findings)
	}
}

// plants are violations, at least one for each rule.
func plants(d *document) map[string][]func() Severity {
	slot0, web, p := d.key(0), d.web.Key, MakeKey(Pods, "default", "p")
	member, node := MakeKey(Members, "", "peer-n1"), MakeKey(Nodes, "", "n1")
	id := SlotID{Workload: d.web.UID}
	broken := func(f func()) func() Severity { return func() Severity { f(); return Broken } }
	unsettled := func(f func()) func() Severity { return func() Severity { f(); return Unsettled } }
	set := func(register, value string) func() Severity {
		return broken(func() { d.set(slot0, slotUID(id), map[string]string{register: value}) })
	}
	forge := func(key Key, change func(o *crdt.Object, rec *crdt.Record)) func() Severity {
		return broken(func() { d.forge(key, change) })
	}
	register := func(o *crdt.Object, path string, change func(*crdt.Register)) {
		g := o.Registers[path]
		change(&g)
		o.Registers[path] = g
	}
	revision := revisionKey("default", d.web.UID, d.web.Revision)
	job := MakeKey(Jobs, "default", "j")
	owner := func(uid byte) map[string]string {
		return map[string]string{JobOwner: string(EncodeRegister(CronOwner{Key: MakeKey(CronJobs, "default", "c"), UID: crdt.UID{uid}}))}
	}
	bind := func(rank uint64, value string) {
		claim := MakeKey(Claims, "default", "c")
		d.set(claim, crdt.UID{11}, map[string]string{"/spec/volumeMode": `"Filesystem"`})
		rec, err := d.doc[claim].SetRanked(crdt.UID{11}, d.w.next(), ClaimBinding, rank, []byte(value))
		if err != nil {
			d.t.Fatal(err)
		}
		d.doc[claim] = rec
	}
	return map[string][]func() Severity{
		"key": {
			broken(func() { d.doc["pods/x"] = d.doc[p] }),
			broken(func() { d.doc[MakeKey(Pods, "a", "b")] = nil }),
			broken(func() { d.set(MakeKey(ReplicaSets, "default", "web"), crdt.UID{1}, nil) }),
		},
		"dot": {
			broken(func() { d.doc[MakeKey(Nodes, "", "n2")] = d.doc[node] }),
			forge(slot0, func(o *crdt.Object, _ *crdt.Record) { o.Birth.Stamp.Replica[0]++ }),
			forge(slot0, func(_ *crdt.Object, rec *crdt.Record) { rec.Vector[crdt.ReplicaID{1}] = 1 }),
			forge(slot0, func(o *crdt.Object, _ *crdt.Record) {
				register(o, SlotRun, func(g *crdt.Register) { g.Stamp.Time++ })
			}),
		},
		"write order": {
			forge(slot0, func(o *crdt.Object, _ *crdt.Record) { o.Birth.Stamp.Time += 1000 }),
			forge(slot0, func(o *crdt.Object, _ *crdt.Record) {
				register(o, SlotStandIn, func(g *crdt.Register) {
					later := g.Write
					later.Stamp.Time++
					g.Siblings = []crdt.Sibling{{Write: later, Value: []byte(`{}`)}}
				})
			}),
		},
		"rank": {
			forge(slot0, func(o *crdt.Object, _ *crdt.Record) {
				register(o, SlotRun, func(g *crdt.Register) { g.Stamp.Rank = 1 })
			}),
			forge(web, func(o *crdt.Object, _ *crdt.Record) {
				register(o, "/spec/replicas", func(g *crdt.Register) { g.Stamp.Rank = 3 })
			}),
		},
		"generation": {
			broken(func() { d.set(web, d.web.UID, map[string]string{GenerationPath(crdt.ReplicaID{1}): "0"}) }),
			broken(func() { d.set(web, d.web.UID, map[string]string{GenerationPath(crdt.ReplicaID{1}): `"x"`}) }),
			broken(func() { d.set(web, d.web.UID, map[string]string{GenerationPath(crdt.ReplicaID{2}): "1"}) }),
		},
		"death": {
			forge(slot0, func(o *crdt.Object, _ *crdt.Record) { o.Dead = &o.Birth }),
			forge(slot0, func(o *crdt.Object, _ *crdt.Record) { o.UID[0]++ }),
		},
		"decodes": {
			set(SlotRun, `[]`),
			broken(func() { d.set(web, d.web.UID, map[string]string{"/spec/replicas": `"many"`}) }),
			broken(func() { d.set(node, d.doc[node].Live().UID, map[string]string{"/spec/taints": `1`}) }),
			broken(func() { d.set(member, MemberUID("peer-n1"), map[string]string{MemberAddrs: `1`}) }),
		},
		"slot identity": {
			broken(func() {
				d.set(SlotKey("other", id), slotUID(id), map[string]string{SlotOwner: `"deployments.apps/other/web"`, SlotRun: `{"revision":"r"}`})
			}),
			unsettled(func() {
				d.set(slot0, crdt.UID{3}, map[string]string{SlotOwner: `"deployments.apps/default/web"`, SlotRun: fmt.Sprintf(`{"revision":%q}`, d.web.Revision)})
			}),
		},
		"slot owner": {
			set(SlotOwner, `""`), set(SlotOwner, `"nodes//n1"`), set(SlotOwner, `"deployments.apps/other/web"`), set(SlotOwner, `"pods/default/p"`),
			unsettled(func() { d.delete(web) }),
			unsettled(func() { delete(d.doc, web) }),
		},
		"home": {
			broken(func() { d.home(0, 2, `{"node":"n1"}`) }),
			unsettled(func() { d.home(0, 2, `{"term":2}`) }),
			broken(func() { d.home(0, 2, `{"node":"n1","term":3}`) }),
			broken(func() {
				d.split(func(d *document) { d.home(0, 1, `{"node":"n2","term":7}`) }, func(d *document) {
					d.home(0, 2, `{"node":"n2","term":2}`)
				})
			}),
			unsettled(func() {
				d.set(d.key(3), slotUID(SlotID{d.web.UID, 3}), map[string]string{SlotOwner: `"deployments.apps/default/web"`, SlotRun: `{"revision":"r"}`})
			}),
		},
		"stand-in": {
			set(SlotStandIn, `{"node":"n2","basis":2}`), set(SlotStandIn, `{"node":"n2"}`), set(SlotStandIn, `{"basis":1}`),
		},
		"run": {
			set(SlotRun, `{}`), set(SlotRun, fmt.Sprintf(`{"revision":%q,"prev":%q}`, d.web.Revision, d.web.Revision)),
			unsettled(func() { d.set(slot0, slotUID(id), map[string]string{SlotRun: `{"revision":"0123456789"}`}) }),
		},
		"slot nodes": {
			unsettled(func() { d.home(0, 2, `{"node":"n3","term":2}`) }),
			unsettled(func() { d.set(slot0, slotUID(id), map[string]string{SlotStandIn: `{"node":"n3","basis":1}`}) }),
		},
		"owner": {
			broken(func() { d.set(job, crdt.UID{10}, map[string]string{JobOwner: `1`}) }),
			broken(func() { d.set(job, crdt.UID{10}, map[string]string{JobOwner: `{"key":"pods/default/p"}`}) }),
			broken(func() {
				d.split(func(d *document) { d.set(job, crdt.UID{10}, owner(8)) }, func(d *document) { d.set(job, crdt.UID{10}, owner(9)) })
			}),
			unsettled(func() { d.set(job, crdt.UID{10}, owner(8)) }),
		},
		"revision": {
			broken(func() { d.doc[MakeKey(Revisions, "default", "x")] = d.doc[revision] }),
			broken(func() { d.revision("0123456789", d.web.Template, 3) }),
			broken(func() { d.revision(d.web.Revision, d.web.Template, 0) }),
			broken(func() { d.set(revision, crdt.UID{4}, nil) }),
			unsettled(func() { delete(d.doc, web) }),
		},
		"member": {
			broken(func() { d.set(member, crdt.UID{5}, nil) }),
			broken(func() { d.delete(member) }),
			broken(func() { d.set(member, MemberUID("peer-n1"), map[string]string{MemberName: `""`}) }),
			broken(func() { d.set(member, MemberUID("peer-n1"), map[string]string{MemberChain: `""`}) }),
			broken(func() {
				d.split(func(d *document) { d.set(member, MemberUID("peer-n1"), map[string]string{MemberName: `"n9"`}) }, func(d *document) {
					d.set(member, MemberUID("peer-n1"), map[string]string{MemberName: `"n8"`})
				})
			}),
			broken(func() {
				d.split(func(d *document) { d.set(member, MemberUID("peer-n1"), map[string]string{MemberLeft: `true`}) }, func(d *document) {
					d.w.counter += 10
					d.set(member, MemberUID("peer-n1"), map[string]string{MemberLeft: `false`})
				})
			}),
		},
		"claim": {
			broken(func() { bind(0, `1`) }),
			broken(func() { bind(1, `{"node":"n1","volume":"pvc-0b000000-0000-0000-0000-000000000000"}`) }),
			broken(func() { bind(0, `{"node":"n1"}`) }),
			broken(func() { bind(0, `{"node":"n1","volume":"pvc-0c000000-0000-0000-0000-000000000000"}`) }),
		},
		"sealed": {
			broken(func() { d.set(secretKey, crdt.UID{7}, map[string]string{"/data/a": `"cGxhaW4="`}) }),
			broken(func() { d.set(secretKey, crdt.UID{7}, map[string]string{"/data/a": `{}`}) }),
			broken(func() {
				d.set(secretKey, crdt.UID{7}, map[string]string{"/metadata/annotations/a": `"plain"`})
			}),
			broken(func() { // the loser of a conflict too
				sealed := sealedValue(d.t, crdt.UID{7}, "/data/a", "x")
				d.split(func(d *document) {
					d.set(secretKey, crdt.UID{7}, map[string]string{"/data/a": `"cGxhaW4="`})
				}, func(d *document) {
					d.w.counter += 10
					d.set(secretKey, crdt.UID{7}, map[string]string{"/data/a": sealed})
				})
			}),
		},
		"node": {unsettled(func() { delete(d.doc, member) })},
		"pod meta": {
			broken(func() { d.set(MakeKey(PodMeta, "default", "web"), crdt.UID{6}, nil) }),
		},
	}
}

func TestEveryRuleCatchesItsViolation(t *testing.T) {
	for _, rule := range Rules() {
		n := len(plants(settled(t))[rule])
		if n == 0 {
			t.Errorf("no violation is planted for the rule %q", rule)
		}
		for i := range n {
			d := settled(t)
			severity := plants(d)[rule][i]()
			caught := slices.ContainsFunc(Check(d.doc), func(f Finding) bool { return f.Rule == rule && f.Severity == severity && f.Text != "" })
			if !caught {
				t.Errorf("rule %q misses its violation %d; it finds %v", rule, i, Check(d.doc))
			}
		}
	}
}

// Findings are sorted and the same every time.
func TestCheckIsDeterministic(t *testing.T) {
	d := settled(t)
	delete(d.doc, d.web.Key)
	d.set(d.key(0), slotUID(SlotID{Workload: d.web.UID}), map[string]string{SlotStandIn: `{"node":"n9","basis":4}`})
	first, err := json.Marshal(Check(d.doc))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, _ := json.Marshal(Check(d.doc)); string(again) != string(first) {
			t.Fatalf("%s\n%s", first, again)
		}
	}
	if Check(d.doc)[0].Severity != Broken {
		t.Error("what is broken does not come first")
	}
}
