package state

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
)

// TestVersionsHoldWhatBothSidesWrote: whoever asks for every version meets what each side
// saw in a field that both wrote.
func TestVersionsHoldWhatBothSidesWrote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		role := func(verb string) map[string]any {
			return map[string]any{"rules": []any{map[string]any{"verbs": []any{verb}, "apiGroups": []any{""}, "resources": []any{"pods"}}}}
		}
		verbs := rapid.SampledFrom([]string{"get", "list", "delete"})
		key := MakeKey(Roles, "default", "x")
		base, left, right := role("watch"), role(verbs.Draw(t, "left")), role(verbs.Draw(t, "right"))
		a, b := split(t, Roles, base)
		a.put(t, Roles, base, left)
		b.put(t, Roles, base, right)
		merged := crdt.Join(a.rec, b.rec)
		all := Versions(key, merged)
		has := func(want map[string]any) bool {
			for _, v := range all {
				if reflect.DeepEqual(v["rules"], want["rules"]) {
					return true
				}
			}
			return false
		}
		if !has(left) || !has(right) || has(base) {
			t.Fatalf("of %v and %v came %v", left, right, all)
		}
		shown, _, err := DecodeObject(merged)
		if err != nil || !reflect.DeepEqual(all[0], shown.Value) {
			t.Fatalf("the first version is %v, readers see %v (%v)", all[0], shown.Value, err)
		}
	})
}

// TestVersionsHoldTheLoserOfAName: a role of the same name that was made on the other side is
// one of them.
func TestVersionsHoldTheLoserOfAName(t *testing.T) {
	key := MakeKey(Roles, "default", "x")
	made := func(replica byte, verb string) *crdt.Record {
		var id crdt.ReplicaID
		id[0] = replica
		values, err := FlattenAs(Roles, map[string]any{"rules": []any{map[string]any{"verbs": []any{verb}}}})
		if err != nil {
			t.Fatal(err)
		}
		rec, err := (*crdt.Record)(nil).Set(DerivedUID("role", verb), crdt.Write{
			Dot: crdt.Dot{Replica: id, Counter: 1}, Stamp: crdt.Stamp{Time: 1, Replica: id},
		}, values)
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	all := Versions(key, crdt.Join(made(1, "get"), made(2, "delete")))
	if len(all) != 2 || reflect.DeepEqual(all[0]["rules"], all[1]["rules"]) {
		t.Fatalf("versions: %v", all)
	}
}
