package state

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"holon/crdt"
)

// writer makes records for tests, one write after the other.
type writer struct {
	replica crdt.ReplicaID
	counter uint64
}

func (w *writer) next() crdt.Write {
	w.counter++
	return crdt.Write{
		Dot:   crdt.Dot{Replica: w.replica, Counter: w.counter},
		Stamp: crdt.Stamp{Time: w.counter, Replica: w.replica},
	}
}

// record makes one with registers given as JSON text.
func (w *writer) record(t testing.TB, uid crdt.UID, registers map[string]string) *crdt.Record {
	t.Helper()
	values := map[string][]byte{}
	for path, text := range registers {
		values[path] = []byte(text)
	}
	rec, err := (*crdt.Record)(nil).Set(uid, w.next(), values)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// stored makes the record of an API object given as JSON.
func (w *writer) stored(t testing.TB, uid crdt.UID, object string) *crdt.Record {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal([]byte(object), &value); err != nil {
		t.Fatal(err)
	}
	flat, err := Flatten(value)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := (*crdt.Record)(nil).Set(uid, w.next(), flat)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

const someUID = "01234567-89ab-cdef-0123-456789abcdef"

func TestDecodeSlot(t *testing.T) {
	w := &writer{replica: crdt.ReplicaID{1}}
	key := MakeKey(Slots, "default", someUID+"-3")
	rec := w.record(t, crdt.UID{1}, map[string]string{
		SlotOwner: `"deployments.apps/default/web"`, SlotHome: `{"node":"n1","term":2}`,
		SlotStandIn: `{"node":"n2","basis":2}`, SlotRun: `{"revision":"r","nonce":1,"prev":"q"}`,
	})
	s, ok, err := DecodeSlot(key, rec)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	want := Slot{
		ID: s.ID, Namespace: "default", Owner: "deployments.apps/default/web", Home: Home{"n1", 2},
		StandIn: StandIn{"n2", 2}, Run: Run{Revision: "r", Nonce: 1, Prev: "q"}, Born: s.Born, UID: crdt.UID{1},
	}
	if !reflect.DeepEqual(s, want) || s.ID.Index != 3 || s.ID.Workload.String() != someUID || s.Born.Time != 1 {
		t.Errorf("%+v", s)
	}
	if !s.HasStandIn() {
		t.Error("its stand-in does not count")
	}
	s.Home.Node = "n2" // of the same term, from the other side of a split
	if s.HasStandIn() || s.Assigned(func(node string) bool { return node == "n2" }) != "n2" {
		t.Error("a home stands in for itself")
	}
	if s, ok, err = DecodeSlot(key, w.record(t, crdt.UID{1}, nil)); err != nil || !ok || s.Home.Node != "" {
		t.Errorf("a slot without registers: %+v %t %v", s, ok, err)
	}
	dead, err := rec.Delete(crdt.UID{1}, w.next())
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []*crdt.Record{nil, dead} {
		if _, ok, err := DecodeSlot(key, gone); ok || err != nil {
			t.Errorf("no slot is read as one: %v", err)
		}
	}
}

func TestDecodeRefusesWhatIsMalformed(t *testing.T) {
	w := &writer{replica: crdt.ReplicaID{1}}
	slot, member := MakeKey(Slots, "default", someUID+"-3"), MakeKey(Members, "", "peer")
	for name, decode := range map[string]func() error{
		"slot name": func() error {
			_, _, err := DecodeSlot(MakeKey(Slots, "a", "b"), w.record(t, crdt.UID{1}, nil))
			return err
		},
		"home a string": func() error {
			_, _, err := DecodeSlot(slot, w.record(t, crdt.UID{1}, map[string]string{SlotHome: `"n1"`}))
			return err
		},
		"negative term": func() error {
			_, _, err := DecodeSlot(slot, w.record(t, crdt.UID{1}, map[string]string{SlotHome: `{"term":-1}`}))
			return err
		},
		"run not JSON": func() error {
			_, _, err := DecodeSlot(slot, w.record(t, crdt.UID{1}, map[string]string{SlotRun: `{`}))
			return err
		},
		"owner a number": func() error {
			_, _, err := DecodeSlot(slot, w.record(t, crdt.UID{1}, map[string]string{SlotOwner: `1`}))
			return err
		},
		"member's addrs": func() error {
			_, _, err := DecodeMember(member, w.record(t, crdt.UID{1}, map[string]string{MemberAddrs: `"x"`}))
			return err
		},
		"member's chain": func() error {
			_, _, err := DecodeMember(member, w.record(t, crdt.UID{1}, map[string]string{MemberChain: `"%"`}))
			return err
		},
		"member left maybe": func() error {
			_, _, err := DecodeMember(member, w.record(t, crdt.UID{1}, map[string]string{MemberLeft: `"yes"`}))
			return err
		},
		"node's taints": func() error {
			_, _, err := DecodeNode(MakeKey(Nodes, "", "n1"), w.stored(t, crdt.UID{1}, `{"spec":{"taints":"x"}}`))
			return err
		},
		"path not a pointer": func() error {
			_, _, err := DecodeNode(MakeKey(Nodes, "", "n1"), w.record(t, crdt.UID{1}, map[string]string{"spec": `1`}))
			return err
		},
		"replicas a word": func() error { return decodeDeployment(t, w, `{"spec":{"replicas":"many"}}`) },
		"surge odd": func() error {
			return decodeDeployment(t, w, `{"spec":{"strategy":{"rollingUpdate":{"maxSurge":"lots"}}}}`)
		},
		"template a list": func() error { return decodeDeployment(t, w, `{"spec":{"template":[1]}}`) },
		"quantity odd": func() error {
			return decodeDeployment(t, w, `{"spec":{"template":{"spec":{"containers":[{"resources":{"requests":{"cpu":"x"}}}]}}}}`)
		},
		"pod's containers": func() error {
			_, err := DecodeWorkload(MakeKey(Pods, "default", "p"), w.stored(t, crdt.UID{1}, `{"spec":{"containers":{}}}`))
			return err
		},
		"not a workload": func() error {
			_, err := DecodeWorkload(MakeKey(ConfigMaps, "default", "p"), w.stored(t, crdt.UID{1}, `{"data":{"a":"b"}}`))
			return err
		},
	} {
		if decode() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func decodeDeployment(t testing.TB, w *writer, object string) error {
	_, err := DecodeWorkload(MakeKey(Deployments, "default", "web"), w.stored(t, crdt.UID{1}, object))
	return err
}

func TestDecodeWorkload(t *testing.T) {
	w := &writer{replica: crdt.ReplicaID{1}}
	key := MakeKey(Deployments, "default", "web")
	read := func(key Key, object string) *Workload {
		t.Helper()
		have, err := DecodeWorkload(key, w.stored(t, crdt.UID{7}, object))
		if err != nil {
			t.Fatal(err)
		}
		return have
	}
	d := read(key, `{"metadata":{"generation":4,"creationTimestamp":"2026-01-02T03:04:05Z"},"spec":{"replicas":3,"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c"}]}}}}`)
	if d.UID != (crdt.UID{7}) || d.Name != "web" || d.Namespace != "default" || d.Replicas != 3 || d.Generation != 4 || d.Created != "2026-01-02T03:04:05Z" {
		t.Errorf("%+v", d)
	}
	if d.Revision != RevisionHash(d.Template) || !d.StandIn || d.Bare() || d.MaxSurge != 1 || d.MaxUnavailable != 0 || d.Recreate {
		t.Errorf("%+v", d)
	}
	if d := read(key, `{"spec":{"strategy":{"type":"Recreate"}}}`); d.Replicas != 1 || !d.Recreate || d.MaxUnavailable != 1 {
		t.Errorf("defaults: %+v", d)
	}
	for replicas, want := range map[string]int{"-5": 0, "2000000000": ReplicasMax, "0": 0} {
		if d := read(key, `{"spec":{"replicas":`+replicas+`}}`); d.Replicas != want {
			t.Errorf("%s replicas are read as %d, want %d", replicas, d.Replicas, want)
		}
	}
	if read(key, `{"metadata":{"annotations":{"holon.dev/stand-in":"never"}}}`).StandIn {
		t.Error("a deployment that wants no stand-in gets one")
	}
	pod := MakeKey(Pods, "default", "p")
	p := read(pod, `{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c"}]}}`)
	if !p.Bare() || p.Replicas != 1 || p.StandIn || p.Template.Labels["a"] != "b" || p.MaxUnavailable != 1 {
		t.Errorf("%+v", p)
	}
	if !read(pod, `{"metadata":{"annotations":{"holon.dev/stand-in":"allow"}}}`).StandIn {
		t.Error("a pod that allows a stand-in gets none")
	}
	if gone, err := DecodeWorkload(key, nil); gone != nil || err != nil {
		t.Errorf("nothing is read as %v, %v", gone, err)
	}
}

// Labels and annotations of a pod's own must not change the revision of a
// template, nor the order of fields; anything in the template must.
func TestRevisionFollowsTheTemplate(t *testing.T) {
	w := &writer{replica: crdt.ReplicaID{1}}
	revision := func(object string) string {
		d, err := DecodeWorkload(MakeKey(Deployments, "default", "web"), w.stored(t, crdt.UID{1}, object))
		if err != nil {
			t.Fatal(err)
		}
		return d.Revision
	}
	const template = `"template":{"spec":{"containers":[{"name":"c","image":"a"}]}}`
	a := revision(`{"spec":{"replicas":1,` + template + `}}`)
	if b := revision(`{"metadata":{"labels":{"x":"y"}},"spec":{` + template + `,"replicas":9}}`); a != b {
		t.Errorf("replicas and labels changed the revision: %s, %s", a, b)
	}
	if c := revision(`{"spec":{` + strings.Replace(template, `"a"`, `"b"`, 1) + `}}`); a == c {
		t.Error("another image has the same revision")
	}
}

func TestDecodeMember(t *testing.T) {
	w := &writer{replica: crdt.ReplicaID{1}}
	rec := w.record(t, MemberUID("peer"), map[string]string{
		MemberName: `"n1"`, MemberChain: `"AQI="`, MemberAddrs: `["/ip4/127.0.0.1"]`, MemberLeft: `true`, "/later": `{}`,
	})
	m, ok, err := DecodeMember(MakeKey(Members, "", "peer"), rec)
	if have := fmt.Sprintln(m.Peer, m.Name, m.Chain, m.Left, m.Addrs, m.Born.Time); err != nil || !ok || have != "peer n1 [1 2] true [/ip4/127.0.0.1] 1\n" {
		t.Errorf("%s %t %v", have, ok, err)
	}
}

// FuzzDecode feeds any JSON object to every decoder: errors, never panics, and
// whatever is read can be shown.
func FuzzDecode(f *testing.F) {
	f.Add(`{"spec":{"replicas":1,"template":{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"1"}}}]}}}}`)
	f.Add(`{"metadata":{"managedFields":[{"fieldsV1":{"a":1}}]},"spec":{"strategy":{"rollingUpdate":{"maxSurge":"25%"}}}}`)
	f.Add(`{"owner":"x","home":{"node":"n","term":1},"run":{"revision":"r"}}`)
	f.Add(`{"name":"x","addrs":["a"],"chain":"AA==","left":false}`)
	f.Add(`{"metadata":1,"spec":null}`)
	f.Fuzz(func(t *testing.T, text string) {
		var value map[string]any
		if json.Unmarshal([]byte(text), &value) != nil {
			return
		}
		flat, err := Flatten(value)
		if err != nil {
			return
		}
		w := &writer{replica: crdt.ReplicaID{1}}
		rec, err := (*crdt.Record)(nil).Set(crdt.UID{1}, w.next(), flat)
		if err != nil {
			return
		}
		_, _, _ = DecodeSlot(MakeKey(Slots, "default", someUID+"-3"), rec)
		_, _, _ = DecodeMember(MakeKey(Members, "", "peer"), rec)
		if n, ok, err := DecodeNode(MakeKey(Nodes, "", "n1"), rec); err == nil && ok {
			NodeFace(NodeView{Node: n})
		}
		for _, key := range []Key{MakeKey(Deployments, "default", "web"), MakeKey(Pods, "default", "web")} {
			w, err := DecodeWorkload(key, rec)
			if err != nil || w == nil {
				continue
			}
			if w.MaxSurge < 0 || w.MaxUnavailable < 0 || w.Replicas < 0 || w.Replicas > ReplicasMax {
				t.Fatalf("%+v", w)
			}
			if r := Requests(&w.Template.Spec); r.CPU < 0 || r.Memory < 0 {
				t.Fatalf("requests %+v", r)
			}
			DeploymentFace(w, Rollout{})
			pod := PodFace{Workload: w, Name: "p", Template: w.Template}
			if _, err := pod.Value(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
