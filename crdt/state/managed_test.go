package state

import (
	"reflect"
	"testing"

	"holon/crdt"
)

const managedObject = `
metadata:
  managedFields:
  - {manager: a, operation: Apply, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {"f:data": {"f:x": {}}}}
  - {manager: b, operation: Apply, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {"f:data": {"f:q": {}}}}
data: {x: "1", q: "1"}
`

func manage(t *testing.T, text string, change func(obj map[string]any, entries []any)) map[string]any {
	obj := load(t, text)
	change(obj, obj["metadata"].(map[string]any)["managedFields"].([]any))
	return obj
}

// Two managers apply on both sides of a split, each removing a field of its own:
// after the merge each owns what it has left, and nobody owns what is gone.
func TestManagedFieldsOfTwoManagersMerge(t *testing.T) {
	whole := load(t, managedObject)
	a, b := split(t, ConfigMaps, whole)
	set := func(i int, fields string) func(map[string]any, []any) {
		return func(obj map[string]any, entries []any) {
			entries[i].(map[string]any)["fieldsV1"] = load(t, fields)
			data := obj["data"].(map[string]any)
			if i == 0 {
				delete(data, "x")
				data["left"] = "1"
			} else {
				delete(data, "q")
				data["right"] = "1"
			}
		}
	}
	a.put(t, ConfigMaps, whole, manage(t, managedObject, set(0, `{"f:data": {"f:left": {}}}`)))
	b.put(t, ConfigMaps, whole, manage(t, managedObject, set(1, `{"f:data": {"f:right": {}}}`)))
	a.rec = crdt.Join(a.rec, b.rec)
	want := load(t, `
metadata:
  managedFields:
  - {manager: a, operation: Apply, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {"f:data": {"f:left": {}}}}
  - {manager: b, operation: Apply, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {"f:data": {"f:right": {}}}}
data: {left: "1", right: "1"}
`)
	if have := a.object(t); !reflect.DeepEqual(have, want) {
		t.Errorf("%v\nwant %v", have, want)
	}
	if c := Conflicts(MakeKey(ConfigMaps, "default", "c"), a.rec); len(c) > 0 {
		t.Errorf("in conflict: %v", c)
	}
}

// What one manager owns and the other side removed is owned no more.
func TestManagedFieldsFollowTheObject(t *testing.T) {
	obj := load(t, `
metadata:
  finalizers: [kept]
  managedFields:
  - manager: a
    fieldsV1:
      "f:metadata": {"f:finalizers": {".": {}, 'v:"kept"': {}, 'v:"gone"': {}}}
      "f:spec":
        "f:containers":
          'k:{"name":"web"}': {".": {}, "f:image": {}, "f:gone": {}}
          'k:{"name":"gone"}': {".": {}, "f:image": {}}
        "f:args": {"i:0": {}, "i:7": {}, "odd": {}}
  - {manager: gone, fieldsV1: {"f:spec": {"f:gone": {"f:deep": {}}}}}
  - {manager: s, subresource: status, fieldsV1: {"f:status": {"f:x": {}}}}
spec:
  args: [x]
  containers: [{name: web, image: w}]
`)
	want := load(t, `{list: [
  {manager: a, fieldsV1: {"f:metadata": {"f:finalizers": {".": {}, 'v:"kept"': {}}},
    "f:spec": {"f:containers": {'k:{"name":"web"}': {".": {}, "f:image": {}}}, "f:args": {"i:0": {}}}}},
  {manager: s, subresource: status, fieldsV1: {"f:status": {"f:x": {}}}}]}`)
	dropManaged(obj)
	if have := obj["metadata"].(map[string]any)["managedFields"]; !reflect.DeepEqual(have, want["list"]) {
		t.Errorf("%v\nwant %v", have, want["list"])
	}
}
