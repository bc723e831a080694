package state

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
)

// After a merge the conflicts are exactly the users' fields that both sides wrote
// differently, the same on both sides, with the winner that the object shows; a
// write that has seen them ends them.
func TestConflictsAreWhatBothSidesWroteDifferently(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		resource := rapid.SampledFrom([]string{Deployments, Pods, ConfigMaps, Nodes}).Draw(t, "resource")
		key := MakeKey(resource, "default", "x")
		obj, left, right := drawObjectAs(t, resource), drawObjectAs(t, resource), drawObjectAs(t, resource)
		a, b := split(t, resource, obj)
		a.put(t, resource, obj, left)
		b.put(t, resource, obj, right)
		base, mine, theirs := mustFlattenAs(t, resource, obj), mustFlattenAs(t, resource, left), mustFlattenAs(t, resource, right)
		merged := crdt.Join(a.rec, b.rec)
		have := Conflicts(key, merged)
		if other := Conflicts(key, crdt.Join(b.rec, a.rec)); !reflect.DeepEqual(have, other) {
			t.Fatalf("%v\nand %v", have, other)
		}
		found := map[string]Conflict{}
		for _, c := range have {
			found[c.Path] = c
		}
		here, there := Diff(base, mine), Diff(base, theirs)
		for path := range here {
			_, both := there[path]
			want := both && !same(here[path], there[path]) && usersWrite(path)
			c, is := found[path]
			if is != want {
				t.Fatalf("%s: conflict %v, want %v: %s and %s", path, is, want, here[path], there[path])
			}
			delete(found, path)
			if is && !c.Gone && (!same(c.Winner.Value, merged.Live().Registers[path].Value) || len(c.Losers) != 1) {
				t.Fatalf("%s: %+v", path, c)
			}
		}
		if len(found) > 0 {
			t.Fatalf("nobody wrote %v", found)
		}
		settled := &replica{id: crdt.ReplicaID{3}, time: merged.Time(), rec: merged}
		for _, c := range have {
			settled.time++
			w := crdt.Write{Dot: crdt.Dot{Replica: settled.id, Counter: settled.time}, Stamp: crdt.Stamp{Time: settled.time, Replica: settled.id}}
			rec, err := settled.rec.Set(testUID, w, map[string][]byte{c.Path: c.Winner.Value})
			if err != nil {
				t.Fatal(err)
			}
			settled.rec = rec
		}
		if left := Conflicts(key, crdt.Join(crdt.Join(a.rec, b.rec), settled.rec)); len(left) > 0 {
			t.Fatalf("still in conflict: %v", left)
		}
	})
}

func TestWhatIsNeverInConflict(t *testing.T) {
	for path, want := range map[string]bool{
		"/spec/replicas": true, "/metadata/labels/a": true, "/metadata/annotations/x": true, "/data/status": true, "/metadata/generationX": true,
		"/spec/template/spec/containers/#order": false, "#generation/00": false, "#valid": false, "/status/phase": false, "/status": false,
		`/metadata/managedFields/[manager="a"]`: false, "/metadata/generation": false, "/metadata/resourceVersion": false,
		"/metadata/creationTimestamp": false, "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration": false,
	} {
		if usersWrite(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
	a, b := split(t, Members, map[string]any{"name": "x"})
	a.put(t, Members, map[string]any{"name": "x"}, map[string]any{"name": "y"})
	b.put(t, Members, map[string]any{"name": "x"}, map[string]any{"name": "z"})
	if c := Conflicts(MakeKey(Members, "", "p"), crdt.Join(a.rec, b.rec)); c != nil {
		t.Errorf("holon's own record is in conflict: %v", c)
	}
}

// A field of an element that one side removed: the removal has won.
func TestConflictInARemovedElement(t *testing.T) {
	whole := edit(t, udp, udp+sidecar)
	a, b := split(t, Deployments, whole)
	a.put(t, Deployments, whole, load(t, base))
	b.time += 10
	b.put(t, Deployments, whole, edit(t, udp, udp+strings.Replace(sidecar, "log:1", "log:2", 1)))
	have := Conflicts(MakeKey(Deployments, "default", "web"), crdt.Join(a.rec, b.rec))
	if len(have) != 1 || !have[0].Gone || have[0].Winner.Value != nil || have[0].Winner.Replica != a.id ||
		len(have[0].Losers) != 1 || string(have[0].Losers[0].Value) != `"log:2"` {
		t.Errorf("%+v", have)
	}
}

func TestFieldNames(t *testing.T) {
	for path, want := range map[string]string{
		`/spec/template/spec/containers/[name="web"]/image`:            "spec.template.spec.containers[name=web].image",
		`/spec/ports/[port=80,protocol="TCP"]`:                         "spec.ports[port=80,protocol=TCP]",
		"/metadata/labels/app.kubernetes.io~1name":                     "metadata.labels[app.kubernetes.io/name]",
		`/metadata/finalizers/[="a.io~1b"]`:                            "metadata.finalizers[=a.io/b]",
		"/data/a.conf":                                                 "data[a.conf]",
		"/data/plain":                                                  "data.plain",
		`/spec/template/spec/containers/[name="web"]/env/[name="A"]#2`: "spec.template.spec.containers[name=web].env[name=A]#2",
		"/metadata/annotations/~4":                                     "/metadata/annotations/~4",
	} {
		if have := FieldName(path); have != want {
			t.Errorf("%s is spelled %s, want %s", path, have, want)
		}
	}
}

func TestShort(t *testing.T) {
	if s := Short([]byte(`"` + strings.Repeat("é", 100) + `"`)); len(s) > shortMax || !strings.HasSuffix(s, "é...") {
		t.Errorf("%q", s)
	}
	if Short(nil) != "(removed)" || Short([]byte("1")) != "1" {
		t.Error("short values are spelled whole")
	}
}

func TestLostEdits(t *testing.T) {
	obj := map[string]any{"data": map[string]any{"a": "1", "b": "2"}}
	a, b := split(t, ConfigMaps, obj)
	a.put(t, ConfigMaps, obj, map[string]any{"data": map[string]any{"a": "1", "b": "new"}})
	b.time++
	dead, err := b.rec.Delete(testUID, crdt.Write{Dot: crdt.Dot{Replica: b.id, Counter: b.time}, Stamp: crdt.Stamp{Time: b.time, Replica: b.id}})
	if err != nil {
		t.Fatal(err)
	}
	lost := LostEdits(a.rec, dead, testUID)
	if len(lost) != 1 || lost[0].Field != "data.b" || string(lost[0].Losers[0].Value) != `"new"` {
		t.Errorf("%+v", lost)
	}
	if lost := LostEdits(b.rec, dead, testUID); len(lost) != 0 {
		t.Errorf("what the deleter knew is no loss: %+v", lost)
	}
	if lost := LostEdits(dead, a.rec, testUID); len(lost) != 0 {
		t.Errorf("the other way round: %+v", lost)
	}
}
