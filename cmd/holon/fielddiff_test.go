package main

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestDiffFields(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`{"a":1}`, `{"a":1}`, ``},
		{`{"a":1}`, `{"a":2}`, `.a: 1 -> 2`},
		{`{"a":1}`, `{}`, `.a: - 1`},
		{`{}`, `{"a":{"b":[1]}}`, `.a: + {"b":[1]}`},
		{`{"a":{}}`, `{}`, ``},
		{`{"l":[{"i":"x"},2]}`, `{"l":[{"i":"y"},2]}`, `.l[0].i: "x" -> "y"`},
		{`{"l":[1]}`, `{"l":[1,2]}`, `.l: [1] -> [1,2]`},
		{`{"m":{"holon.dev/x":"1"}}`, `{"m":{"holon.dev/x":"2"}}`, `.m."holon.dev/x": "1" -> "2"`},
	} {
		var old, new map[string]any
		if json.Unmarshal([]byte(c.old), &old) != nil || json.Unmarshal([]byte(c.new), &new) != nil {
			t.Fatal(c)
		}
		got := ""
		for _, change := range diffFields(old, new) {
			got += change.text(true)
		}
		if got != c.want {
			t.Errorf("%s against %s: %q, want %q", c.old, c.new, got, c.want)
		}
	}
	if got := (fieldChange{".data.password", "old", "new"}).text(false); got != ".data.password" {
		t.Errorf("a value that must not be shown: %q", got)
	}
}

// TestDiffFieldsProperty: no difference means equal, up to empty objects, and a
// value never differs from itself.
func TestDiffFieldsProperty(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) map[string]any {
		out := map[string]any{}
		for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3).Draw(t, "names") {
			out[name] = rapid.SampledFrom([]any{"x", "y", true, []any{"x"}, []any{"y", "z"}, map[string]any{"k": "v"}}).Draw(t, "value")
		}
		return out
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := value.Draw(t, "a"), value.Draw(t, "b")
		if len(diffFields(a, a)) != 0 {
			t.Fatalf("%v differs from itself", a)
		}
		if (len(diffFields(a, b)) == 0) != reflect.DeepEqual(a, b) {
			t.Fatalf("%v against %v: %v", a, b, diffFields(a, b))
		}
	})
}
