package state

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
)

// Whatever was written and removed: the compacted object reads the same, has no
// absent register, and its slots go by the same UID, also when compacted twice.
func TestCompactedReadsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		resource, obj := drawKind(t)
		key := MakeKey(resource, "default", "x")
		a, b := split(t, resource, obj)
		for range rapid.IntRange(0, 4).Draw(t, "edits") {
			r := rapid.SampledFrom([]*replica{a, b}).Draw(t, "side")
			r.put(t, resource, r.object(t), drawObjectAs(t, resource))
		}
		rec := crdt.Join(a.rec, b.rec)
		live := rec.Live()
		if rapid.Bool().Draw(t, "counts") {
			write(live, map[string][]byte{GenerationPath(a.id): []byte("3"), GenerationPath(b.id): []byte("4")}, 9)
		}
		want, err := BuildObject(live)
		if err != nil {
			t.Fatal(err)
		}
		next := &crdt.Object{UID: crdt.UID{42}, Registers: map[string]crdt.Register{}}
		for range 2 {
			values, err := Compacted(key, live, b.id)
			if err != nil {
				t.Fatal(err)
			}
			next.Registers = map[string]crdt.Register{}
			write(next, values, 10)
			have, err := BuildObject(next)
			if err != nil || !reflect.DeepEqual(have, want) {
				t.Fatalf("%#v, %v\nwant %#v", have, err, want)
			}
			if absent, _ := Absent(next); absent > 0 {
				t.Fatalf("%d absent registers in %v", absent, next.Registers)
			}
			if workload := resource == Deployments || resource == Pods; workload && identity(next) != testUID {
				t.Fatalf("slots go by %s, want %s", identity(next), testUID)
			}
			live = next
		}
	})
}
