package state

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// jsonObjects draws objects as Kubernetes decodes them: int64 and float64 apart,
// no null.
func jsonObjects() *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any { return drawObject(t, 4) })
}

var names = rapid.SampledFrom([]string{"a", "b", "a/b", "~", "~1", "", "é", "x.y/z", "<", "0"})

func drawObject(t *rapid.T, depth int) map[string]any {
	obj := map[string]any{}
	for range rapid.IntRange(0, 4).Draw(t, "fields") {
		obj[names.Draw(t, "name")] = drawJSON(t, depth-1)
	}
	return obj
}

func drawJSON(t *rapid.T, depth int) any {
	kind := rapid.IntRange(0, 6).Draw(t, "kind")
	switch {
	case kind >= 5 && depth > 0:
		return drawObject(t, depth)
	case kind == 4 && depth > 0:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			list = append(list, drawJSON(t, depth-1))
		}
		return list
	case kind == 3:
		return rapid.Float64().Filter(func(f float64) bool {
			return f != math.Trunc(f) // integral ones become int64
		}).Draw(t, "float")
	case kind == 2:
		return rapid.Int64().Draw(t, "int")
	case kind == 1:
		return rapid.Bool().Draw(t, "bool")
	}
	return rapid.String().Draw(t, "string")
}

func mustFlatten(t interface{ Fatal(...any) }, obj map[string]any) map[string][]byte {
	values, err := Flatten(obj)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func TestBuildIsTheInverseOfFlatten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		obj := jsonObjects().Draw(t, "object")
		back, err := Build(mustFlatten(t, obj))
		if err != nil || !reflect.DeepEqual(back, obj) {
			t.Fatalf("built %#v, %v\nfrom %#v", back, err, obj)
		}
	})
}

func TestDiffAppliedToOldGivesNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := jsonObjects().Draw(t, "old"), jsonObjects().Draw(t, "new")
		old, want := mustFlatten(t, before), mustFlatten(t, after)
		diff := Diff(old, want)
		for path, value := range diff {
			if was, had := old[path]; had == (value != nil) && string(was) == string(value) {
				t.Fatalf("%q is written without need", path)
			}
		}
		// Registers stay behind as absent ones; Build and Diff must not mind.
		have := maps.Clone(old)
		maps.Copy(have, diff)
		built, err := Build(have)
		if err != nil || !reflect.DeepEqual(built, after) {
			t.Fatalf("built %#v, %v\nwant %#v", built, err, after)
		}
		if again := Diff(have, want); len(again) != 0 {
			t.Fatalf("still to write: %q", again)
		}
	})
}

func TestFlattenNamesLeavesByJSONPointers(t *testing.T) {
	obj := map[string]any{
		"spec": map[string]any{
			"replicas": int64(3), "ratio": 0.5, "on": true, "none": nil, "empty": map[string]any{},
			"list": []any{map[string]any{"b": "<&>", "a": int32(1)}, []any{}, nil},
		},
		"metadata": map[string]any{"labels": map[string]any{"app.io/na~me": "x"}},
		"whole":    float64(2),
		"number":   json.Number("1.50"),
	}
	want := map[string]string{
		"/spec/replicas": "3", "/spec/ratio": "0.5", "/spec/on": "true", "/spec/none": "null", "/spec/empty": "{}",
		"/spec/list":                      `[{"a":1,"b":"\u003c\u0026\u003e"},[],null]`,
		"/metadata/labels/app.io~1na~0me": `"x"`, "/whole": "2", "/number": "1.5",
	}
	have := map[string]string{}
	for path, value := range mustFlatten(t, obj) {
		have[path] = string(value)
	}
	if !maps.Equal(have, want) {
		t.Errorf("have %q\nwant %q", have, want)
	}
	if empty := mustFlatten(t, nil); string(empty[""]) != "{}" {
		t.Errorf("the empty object is %q", empty)
	}
}

func TestBuildOfRegistersThatDisagreeOnShape(t *testing.T) {
	for _, c := range []struct {
		name   string
		values map[string]string
		want   string
	}{
		{"children win over a scalar", map[string]string{"/a": "1", "/a/b": "2"}, "map[a:map[b:2]]"},
		{"children win over a list", map[string]string{"/a": "[1]", "/a/b/c": "2"}, "map[a:map[b:map[c:2]]]"},
		{"{} ensures the object", map[string]string{"/a": "{}", "/a/b": "2", "/c": "{}"}, "map[a:map[b:2] c:map[]]"},
		{"{} at the root", map[string]string{"": "{}", "/a": "2"}, "map[a:2]"},
		{"absent children leave the scalar", map[string]string{"/a": "1", "/a/b": "absent"}, "map[a:1]"},
		{"numbers", map[string]string{"/a": "9223372036854775807", "/b": "9223372036854775808", "/c": "1.5"},
			"map[a:9223372036854775807 b:9.223372036854776e+18 c:1.5]"},
	} {
		values := map[string][]byte{}
		for path, value := range c.values {
			if values[path] = []byte(value); value == "absent" {
				values[path] = nil
			}
		}
		have, err := Build(values)
		if err != nil || fmt.Sprint(have) != c.want {
			t.Errorf("%s: %v, %v, want %s", c.name, have, err, c.want)
		}
	}
}

func TestFieldsThatAreRefused(t *testing.T) {
	deep := map[string]any{}
	for range FieldDepthMax + 1 {
		deep = map[string]any{"a": deep}
	}
	var deepList any = "x"
	for range FieldDepthMax + 1 {
		deepList = []any{deepList}
	}
	for name, value := range map[string]any{
		"a struct": struct{}{}, "NaN": math.NaN(), "not UTF-8": "\xff", "deep": deep, "deep list": deepList,
		"a name that is not UTF-8": map[string]any{"\xff": "x"}, "a name inside a list": []any{map[string]any{"\xff": "x"}},
	} {
		if values, err := Flatten(map[string]any{"field": value}); err == nil || !strings.Contains(err.Error(), "/field") {
			t.Errorf("%s: %q, %v", name, values, err)
		}
	}
	for path, value := range map[string]string{
		"a": "1", "/a~": "1", "/a~2": "1", "": "1", "/a": "", "/b": "1 2", "/c": "{", "/d": "1e999",
		strings.Repeat("/a", FieldDepthMax+1): "1",
	} {
		if obj, err := Build(map[string][]byte{path: []byte(value)}); err == nil {
			t.Errorf("%.20q = %q: %v", path, value, obj)
		}
	}
}
