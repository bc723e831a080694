package state

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"holon/crdt"
	"holon/crdt/state/schema"
)

var resources = slices.Sorted(maps.Keys(schema.Resources))

// drawAs draws a value of a type: some of its fields, elements with equal keys,
// too, and keys that need escaping.
func drawAs(t *rapid.T, typ *schema.Type, depth int) any {
	switch {
	case typ == nil || typ.Kind == schema.Scalar:
		return drawScalar(t)
	case typ.Kind == schema.Atomic:
		return drawJSON(t, min(depth, 2))
	case typ.Kind == schema.Struct:
		names := typ.Names()
		obj := map[string]any{}
		if depth <= 0 {
			return obj
		}
		for range rapid.IntRange(0, min(len(names), 4)).Draw(t, "fields") {
			name := rapid.SampledFrom(names).Draw(t, "field")
			obj[name] = drawAs(t, typ.Field(name), depth-1)
		}
		return obj
	case typ.Kind == schema.Map:
		obj := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "entries") {
			obj[rapid.SampledFrom([]string{"a", "a/b", "[x]", "#order", "~", "app.io/name"}).Draw(t, "name")] = drawAs(t, typ.Field("any"), depth-1)
		}
		return obj
	}
	list := []any{}
	for range rapid.IntRange(0, 4).Draw(t, "elements") {
		if typ.Kind == schema.Set {
			list = append(list, drawScalar(t))
			continue
		}
		obj, ok := drawAs(t, typ.Elem(), depth-1).(map[string]any)
		if !ok {
			obj = map[string]any{}
		}
		for i, key := range typ.Keys() { // an element without any is refused by the API
			if delete(obj, key); i == 0 || rapid.IntRange(0, 9).Draw(t, "has key") > 0 {
				obj[key] = rapid.SampledFrom([]any{"a", "b,c", `d="]`, "/e~", int64(80), int64(443)}).Draw(t, "key")
			}
		}
		list = append(list, obj)
	}
	return list
}

func drawScalar(t *rapid.T) any {
	return rapid.SampledFrom([]any{"", "x", "/y~", int64(0), int64(7), true, 0.5}).Draw(t, "scalar")
}

func drawKind(t *rapid.T) (resource string, obj map[string]any) {
	resource = rapid.SampledFrom(resources).Draw(t, "resource")
	return resource, drawObjectAs(t, resource)
}

func drawObjectAs(t *rapid.T, resource string) map[string]any {
	obj := drawAs(t, schema.Of(resource), 9).(map[string]any)
	if meta, ok := obj["metadata"].(map[string]any); ok {
		delete(meta, "generation") // never a field that clients write
	}
	return obj
}

func mustFlattenAs(t interface{ Fatal(...any) }, resource string, obj map[string]any) map[string][]byte {
	values, err := FlattenAs(resource, obj)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func mustBuild(t interface{ Fatal(...any) }, values map[string][]byte) map[string]any {
	obj, err := Build(values)
	if err != nil {
		t.Fatal(err)
	}
	return obj
}

func TestBuildIsTheInverseOfFlattenAsForEveryKind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		resource, obj := drawKind(t)
		values := mustFlattenAs(t, resource, obj)
		if back := mustBuild(t, values); !reflect.DeepEqual(back, obj) {
			t.Fatalf("%s: built %#v\nfrom  %#v\nby %q", resource, back, obj, values)
		}
	})
}

// What a client changes is written, and nothing else.
func TestChangesTurnOldIntoNewForEveryKind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		resource, before := drawKind(t)
		after := drawObjectAs(t, resource)
		old, want := mustFlattenAs(t, resource, before), mustFlattenAs(t, resource, after)
		o := written(old, 1)
		delta := Changes(o.Registers, old, want)
		for path, value := range delta {
			if g, had := o.Registers[path]; had && bytes.Equal(g.Value, value) && (g.Value == nil) == (value == nil) {
				t.Fatalf("%q is written without need", path)
			}
		}
		write(o, delta, 2)
		built, err := BuildObject(o)
		if err != nil || !reflect.DeepEqual(built, after) {
			t.Fatalf("built %#v, %v\nwant %#v", built, err, after)
		}
		if again := Changes(o.Registers, want, want); len(again) != 0 {
			t.Fatalf("still to write: %q", again)
		}
	})
}

// Records of the first version, whose lists are single registers, are changed to
// anything and read back.
func TestChangesOverTheOldForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		resource, before := drawKind(t)
		o := written(mustFlatten(t, before), 1)
		have, err := BuildObject(o)
		if err != nil || !reflect.DeepEqual(have, before) {
			t.Fatalf("the old form is read as %#v, %v\nwant %#v", have, err, before)
		}
		for step := range 3 {
			after := drawObjectAs(t, resource)
			write(o, Changes(o.Registers, mustFlattenAs(t, resource, have), mustFlattenAs(t, resource, after)), uint64(step+2))
			if have, err = BuildObject(o); err != nil || !reflect.DeepEqual(have, after) {
				t.Fatalf("step %d: built %#v, %v\nwant %#v", step, have, err, after)
			}
		}
	})
}

func written(values map[string][]byte, time uint64) *crdt.Object {
	o := &crdt.Object{Registers: map[string]crdt.Register{}}
	write(o, values, time)
	return o
}

func write(o *crdt.Object, values map[string][]byte, time uint64) {
	for path, value := range values {
		o.Registers[path] = crdt.Register{Value: value, Write: crdt.Write{Stamp: crdt.Stamp{Time: time}}}
	}
}

// replica is one side of a split: a record and what is needed to write it.
type replica struct {
	id   crdt.ReplicaID
	time uint64
	rec  *crdt.Record
}

var testUID = DerivedUID("test")

// put writes what turns old into new, as node/core does.
func (r *replica) put(t interface{ Fatal(...any) }, resource string, old, new map[string]any) {
	var have map[string]crdt.Register
	if live := r.rec.Live(); live != nil {
		have = live.Registers
	}
	r.time++
	w := crdt.Write{Dot: crdt.Dot{Replica: r.id, Counter: r.time}, Stamp: crdt.Stamp{Time: r.time, Replica: r.id}}
	var before map[string][]byte
	if old != nil {
		before = mustFlattenAs(t, resource, old)
	}
	rec, err := r.rec.Set(testUID, w, Changes(have, before, mustFlattenAs(t, resource, new)))
	if err != nil {
		t.Fatal(err)
	}
	r.rec = rec
}

func (r *replica) object(t interface{ Fatal(...any) }) map[string]any {
	o, _, err := DecodeObject(r.rec)
	if err != nil {
		t.Fatal(err)
	}
	return o.Value
}

// split makes two replicas that hold the same object.
func split(t interface{ Fatal(...any) }, resource string, obj map[string]any) (a, b *replica) {
	a, b = &replica{id: crdt.ReplicaID{1}}, &replica{id: crdt.ReplicaID{2}}
	a.put(t, resource, nil, obj)
	b.rec, b.time = a.rec, a.time
	return a, b
}

// Both sides of a split change anything: they agree afterwards, the object is
// built, and what only one of them changed is as it left it.
func TestMergeOfTwoEditsForEveryKind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		resource, obj := drawKind(t)
		a, b := split(t, resource, obj)
		left, right := drawObjectAs(t, resource), drawObjectAs(t, resource)
		a.put(t, resource, obj, left)
		b.put(t, resource, obj, right)
		ab, ba := &replica{rec: crdt.Join(a.rec, b.rec)}, &replica{rec: crdt.Join(b.rec, a.rec)}
		if one, two := ab.object(t), ba.object(t); !reflect.DeepEqual(one, two) {
			t.Fatalf("%#v\nand %#v", one, two)
		}
		base, mine, theirs := mustFlattenAs(t, resource, obj), mustFlattenAs(t, resource, left), mustFlattenAs(t, resource, right)
		merged := ab.rec.Live().Registers
		for path := range Diff(base, mine) {
			if same(base[path], theirs[path]) && !same(merged[path].Value, mine[path]) {
				t.Fatalf("%s: one side wrote %s, the other nothing, and %s is there", path, mine[path], merged[path].Value)
			}
		}
	})
}

func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func load(t *testing.T, text string) map[string]any {
	t.Helper()
	var obj map[string]any
	if err := yaml.Unmarshal([]byte(text), &obj); err != nil {
		t.Fatal(err)
	}
	v, err := Unstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const base = `
spec:
  replicas: 3
  template:
    spec:
      containers:
      - name: web
        image: web:1
        env:
        - {name: A, value: "1"}
        - {name: B, value: "2"}
        ports:
        - {containerPort: 53, protocol: TCP}
        - {containerPort: 53, protocol: UDP}
`

// edit changes base and gives the whole object.
func edit(t *testing.T, replace ...string) map[string]any {
	t.Helper()
	text := base
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("no %q to replace", replace[i])
		}
		text = strings.Replace(text, replace[i], replace[i+1], 1)
	}
	return load(t, text)
}

const (
	envA    = "        - {name: A, value: \"1\"}\n"
	envB    = "        - {name: B, value: \"2\"}\n"
	envC    = "        - {name: C, value: \"3\"}\n"
	sidecar = "      - {name: log, image: log:1}\n"
	udp     = "        - {containerPort: 53, protocol: UDP}\n"
)

func TestMergeOfLists(t *testing.T) {
	for _, c := range []struct {
		name        string
		left, right []string // replacements
		want        []string
	}{
		{"an env variable each", []string{`value: "1"`, `value: "left"`}, []string{`value: "2"`, `value: "right"`},
			[]string{`value: "1"`, `value: "left"`, `value: "2"`, `value: "right"`}},
		{"one edits what the other leaves, the other adds", []string{`value: "1"`, `value: "left"`}, []string{envB, envB + envC},
			[]string{`value: "1"`, `value: "left"`, envB, envB + envC}},
		{"one removes, the other adds", []string{envA, ""}, []string{envB, envB + envC}, []string{envA, "", envB, envB + envC}},
		{"image and a sidecar", []string{"web:1", "web:2"}, []string{udp, udp + sidecar}, []string{"web:1", "web:2", udp, udp + sidecar}},
		{"ports of one number are two", []string{udp, ""}, []string{"web:1", "web:2"}, []string{udp, "", "web:1", "web:2"}},
		{"an order and an edit", []string{envA + envB, envB + envA}, []string{`value: "2"`, `value: "right"`},
			[]string{envA + envB, "        - {name: B, value: \"right\"}\n" + envA}},
	} {
		a, b := split(t, Deployments, load(t, base))
		a.put(t, Deployments, load(t, base), edit(t, c.left...))
		b.put(t, Deployments, load(t, base), edit(t, c.right...))
		a.rec = crdt.Join(a.rec, b.rec)
		if have, want := a.object(t), edit(t, c.want...); !reflect.DeepEqual(have, want) {
			t.Errorf("%s: %v\nwant %v", c.name, have, want)
		}
	}
}

// An element that one side takes away stays away, whatever the other changes in
// it: half a container is none.
func TestARemovedElementIsNotRevived(t *testing.T) {
	whole := edit(t, udp, udp+sidecar)
	for _, first := range []bool{true, false} {
		a, b := split(t, Deployments, whole)
		if first {
			b.time += 10
		} else {
			a.time += 10
		}
		a.put(t, Deployments, whole, load(t, base))
		b.put(t, Deployments, whole, edit(t, udp, udp+strings.Replace(sidecar, "log:1", "log:2", 1)))
		a.rec = crdt.Join(a.rec, b.rec)
		if have := a.object(t); !reflect.DeepEqual(have, load(t, base)) {
			t.Errorf("%v", have)
		}
	}
}

// Elements with equal keys, which Kubernetes accepts in env, are all kept.
func TestDuplicateKeysLoseNothing(t *testing.T) {
	twice := edit(t, envB, envA+"        - {name: A, value: \"again\"}\n")
	values := mustFlattenAs(t, Deployments, twice)
	if back := mustBuild(t, values); !reflect.DeepEqual(back, twice) {
		t.Errorf("%v\nwant %v", back, twice)
	}
	if want := `/spec/template/spec/containers/[name="web"]/env/[name="A"]#3`; values[want] == nil {
		t.Errorf("no %s in %q", want, slices.Sorted(maps.Keys(values)))
	}
}

func TestPathsOfLists(t *testing.T) {
	have := []string{}
	for path, value := range mustFlattenAs(t, Deployments, load(t, base)) {
		have = append(have, fmt.Sprintf("%s %s", path, value))
	}
	slices.Sort(have)
	const at = `/spec/template/spec/containers/[name="web"]`
	want := []string{
		"/spec/replicas 3",
		at + " {}",
		at + `/env/#order ["[name=\"A\"]","[name=\"B\"]"]`,
		at + `/env/[name="A"] {"name":"A","value":"1"}`,
		at + `/env/[name="B"] {"name":"B","value":"2"}`,
		at + `/image "web:1"`,
		at + `/ports/#order ["[containerPort=53,protocol=\"TCP\"]","[containerPort=53,protocol=\"UDP\"]"]`,
		at + `/ports/[containerPort=53,protocol="TCP"] {"containerPort":53,"protocol":"TCP"}`,
		at + `/ports/[containerPort=53,protocol="UDP"] {"containerPort":53,"protocol":"UDP"}`,
	}
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("have %s\nwant %s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

// Elements that no order names come last, the first born first.
func TestUnorderedElementsComeByBirth(t *testing.T) {
	o := &crdt.Object{Registers: map[string]crdt.Register{}}
	write(o, map[string][]byte{`/l/[k="z"]`: []byte(`{"k":"z"}`)}, 1)
	write(o, map[string][]byte{`/l/[k="a"]`: []byte(`{"k":"a"}`)}, 3)
	write(o, map[string][]byte{`/l/[k="m"]`: []byte(`{"k":"m"}`)}, 2)
	write(o, map[string][]byte{`/l/[k="q"]`: []byte(`{"k":"q"}`), "/l/#order": []byte(`["[k=\"gone\"]","[k=\"q\"]"]`)}, 4)
	obj, err := BuildObject(o)
	if err != nil || fmt.Sprint(obj) != "map[l:[map[k:q] map[k:z] map[k:m] map[k:a]]]" {
		t.Errorf("%v, %v", obj, err)
	}
}

func TestExamplesSurvive(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples: ", err)
	}
	documents := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range strings.Split(string(text), "\n---") {
			obj := load(t, document)
			kind, _ := obj["kind"].(string)
			for _, resource := range resources {
				if _, is := KindOf(resource); is != "" && is == kind {
					documents++
					if back := mustBuild(t, mustFlattenAs(t, resource, obj)); !reflect.DeepEqual(back, obj) {
						t.Errorf("%s: %v\nwant %v", name, back, obj)
					}
				}
			}
		}
	}
	if documents == 0 {
		t.Error("no object of any example was looked at")
	}
}

func TestMalformedElementsAreRefused(t *testing.T) {
	for name, list := range map[string]any{
		"a scalar among objects": []any{"x"}, "a key that is an object": []any{map[string]any{"name": map[string]any{}}},
	} {
		obj := map[string]any{"spec": map[string]any{"containers": list}}
		if values, err := FlattenAs(Pods, obj); err == nil || !strings.Contains(err.Error(), "/spec/containers") {
			t.Errorf("%s: %q, %v", name, values, err)
		}
	}
	for _, segment := range []string{"[", "[]", "[a]", "[a=]", "[a=1", `[a="]`, "[a={}]", "[a=1]#1", "[a=1]x", "[a=1,]", "[=1,=2]"} {
		if obj, err := Build(map[string][]byte{"/l/" + segment: []byte("1")}); err == nil {
			t.Errorf("%s: %v", segment, obj)
		}
	}
}

func FuzzBuild(f *testing.F) {
	f.Add("/a/[k=1]/b", "1", "/a", `[{"k":1,"c":2}]`)
	f.Add("/a/[=1]", "1", "/a/#order", `["[=1]"]`)
	f.Fuzz(func(t *testing.T, path, value, path2, value2 string) {
		obj, err := Build(map[string][]byte{path: []byte(value), path2: []byte(value2), path2 + "/x": nil})
		if err != nil {
			return
		}
		values, err := Flatten(obj)
		if err != nil {
			return // deeper than Build alone allows
		}
		if back, err := Build(values); err != nil || !reflect.DeepEqual(back, obj) {
			t.Fatalf("%v, %v; from %v", back, err, obj)
		}
	})
}
