package node

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
)

// TestNewest wants the last state of each object out of one batch, also when
// that is its absence: a pod was shown for ever that had been shown and taken
// back within one batch.
func TestNewest(t *testing.T) {
	key := func(name string) api.Key {
		return api.Key{Resource: "pods", Namespace: "default", Name: name}
	}
	value := func(n int64) api.Source { return api.Decoded{"n": n} }
	objects, gone := newest([]api.Object{
		{Key: key("shown-then-gone"), Source: value(1)},
		{Key: key("gone-then-shown")},
		{Key: key("shown-twice"), Source: value(1)},
		{Key: key("shown-then-gone")},
		{Key: key("gone-then-shown"), Source: value(2)},
		{Key: key("shown-twice"), Source: value(2)},
	})
	if want := []api.Key{key("shown-then-gone")}; !slices.Equal(gone, want) {
		t.Errorf("gone: %v, want %v", gone, want)
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.Name)
		if o.Value()["n"] != int64(2) {
			t.Errorf("%s shows %v, which is not its newest state", o.Name, o.Value())
		}
	}
	if want := []string{"gone-then-shown", "shown-twice"}; !slices.Equal(names, want) {
		t.Errorf("shown: %v, want %v", names, want)
	}
}

// TestSharedObjectsAreShownAsDecoded writes ConfigMaps at random, several to a
// batch. What readers make of the store's bytes is what the record decodes to, and
// watchers hear of exactly the batches after which that differs.
func TestSharedObjectsAreShownAsDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBare(t, "n1", empty)
		watcher, err := b.cfg.Cache.Watch(t.Context(), state.ConfigMaps, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer watcher.Stop()
		shown := map[state.Key]map[string]any{} // decoded at once
		for range rapid.IntRange(1, 15).Draw(t, "batches") {
			var batch []core.Change
			after := map[state.Key]map[string]any{}
			for range rapid.IntRange(1, 3).Draw(t, "writes") {
				for _, c := range b.core.Step(0, core.Asked{Op: drawWrite(t, b)}).Changed {
					batch = append(batch, c)
					after[c.Key] = decoded(t, c)
				}
			}
			b.project(batch, nil)
			heard := map[state.Key]int{}
			for len(watcher.C) > 0 {
				o := (<-watcher.C).Object
				heard[state.MakeKey(o.Resource, o.Namespace, o.Name)]++
			}
			for key, value := range after {
				want := 0
				switch before := shown[key]; {
				case reflect.DeepEqual(before, value):
				case before != nil && value != nil && metaOf(before)["uid"] != metaOf(value)["uid"]:
					want = 2 // gone, and made again
				default:
					want = 1
				}
				o, there := b.cfg.Cache.Get(apiKey(key))
				if there != (value != nil) || !reflect.DeepEqual(o.Value(), value) || heard[key] != want {
					t.Fatalf("%s is shown as %v, want %v; before %v; %d changes heard, want %d", key, o.Value(), value, shown[key], heard[key], want)
				}
				if _, kept := o.Source.(*shared); there && !kept {
					t.Fatalf("the cache keeps a %T of %s", o.Source, key)
				}
				shown[key] = value
			}
		}
	})
}

func metaOf(value map[string]any) map[string]any { return value["metadata"].(map[string]any) }

// decoded is what a change shows, made at once; nil if nothing.
func decoded(t *rapid.T, c core.Change) map[string]any {
	o, ok, err := state.DecodeObject(c.Record)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return nil
	}
	return state.WithMeta(c.Key, o.UID.String(), o.Value)
}

// drawWrite draws a create, an update of one field or a delete of one of two
// ConfigMaps. Values are few, so that writes of a batch undo each other.
func drawWrite(t *rapid.T, b *bare) core.Mutate {
	key := state.MakeKey(state.ConfigMaps, "default", rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"))
	field := rapid.SampledFrom([][]string{ // path, values
		{"/data/x", `"1"`, `"2"`, `"<\u003c\"é"`}, {"/data/a~1b", `""`}, {"/data", `{}`}, {"/immutable", `true`, `false`},
		{"/metadata/labels/l", `"v"`}, {`/metadata/finalizers/[="f"]`, `"f"`}, {`/metadata/finalizers/[="g"]`, `"g"`},
	}).Draw(t, "field")
	values := map[string][]byte{field[0]: nil}
	if i := rapid.IntRange(0, len(field)-1).Draw(t, field[0]); i > 0 {
		values[field[0]] = []byte(field[i])
	}
	var live *crdt.Object
	for c := range b.core.Snapshot() {
		if c.Key == key {
			live = c.Record.Live()
		}
	}
	op := core.Mutate{Key: key, New: values, NewUID: crdt.UID{byte(rapid.IntRange(1, 250).Draw(t, "uid"))}}
	if op.Create = live == nil; live != nil {
		op.UID, op.Old = live.UID, map[string][]byte{field[0]: live.Registers[field[0]].Value}
		op.Delete = rapid.IntRange(0, 9).Draw(t, "delete") == 0
	}
	return op
}
