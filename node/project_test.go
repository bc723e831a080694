package node

import (
	"slices"
	"testing"

	"holon/node/api"
)

// TestNewest wants the last state of each object out of one batch, also when
// that is its absence: a pod was shown for ever that had been shown and taken
// back within one batch.
func TestNewest(t *testing.T) {
	key := func(name string) api.Key {
		return api.Key{Resource: "pods", Namespace: "default", Name: name}
	}
	value := func(n int64) map[string]any { return map[string]any{"n": n} }
	objects, gone := newest([]api.Object{
		{Key: key("shown-then-gone"), Value: value(1)},
		{Key: key("gone-then-shown")},
		{Key: key("shown-twice"), Value: value(1)},
		{Key: key("shown-then-gone")},
		{Key: key("gone-then-shown"), Value: value(2)},
		{Key: key("shown-twice"), Value: value(2)},
	})
	if want := []api.Key{key("shown-then-gone")}; !slices.Equal(gone, want) {
		t.Errorf("gone: %v, want %v", gone, want)
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.Name)
		if o.Value["n"] != int64(2) {
			t.Errorf("%s shows %v, which is not its newest state", o.Name, o.Value)
		}
	}
	if want := []string{"gone-then-shown", "shown-twice"}; !slices.Equal(names, want) {
		t.Errorf("shown: %v, want %v", names, want)
	}
}
