package state

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
)

// side is one side of a split that writes to one object.
type side struct {
	rec     *crdt.Record
	high    crdt.HighWater
	replica crdt.ReplicaID
}

func newSide(id byte, rec *crdt.Record) *side {
	high, _ := crdt.HighWater{}.Reserve()
	high.Witness(rec.Time())
	return &side{rec: rec, high: high, replica: crdt.ReplicaID{id}}
}

func (s *side) set(uid crdt.UID, values map[string][]byte) error {
	if len(values) == 0 {
		return nil
	}
	if s.high.Left() == 0 {
		s.high, _ = s.high.Reserve()
	}
	s.high.Witness(s.rec.Time())
	w, _ := s.high.Next(s.replica)
	rec, err := s.rec.Set(uid, w, values)
	if err == nil {
		s.rec = rec
	}
	return err
}

// Of two sides that mark an object and take finalizers away, the merge has the mark if
// either has it, and no finalizer that either has taken. The order of the join, what is
// written to other fields, and the form that lists once had make no difference.
func TestFinalizersOfTwoSides(t *testing.T) {
	key, uid := MakeKey(ConfigMaps, "default", "c"), DerivedUID("held")
	all := []string{"a.io/f", "b.io/f", "c.io/f", "d.io/f"}
	rapid.Check(t, func(t *rapid.T) {
		first := slices.Clone(all[:rapid.IntRange(0, len(all)).Draw(t, "finalizers")])
		meta := map[string]any{"labels": map[string]any{"l": "v"}}
		setList(meta, "finalizers", first)
		values, err := FlattenAs(ConfigMaps, map[string]any{"metadata": meta})
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "as lists once were") && len(first) > 0 {
			if values, err = Flatten(map[string]any{"metadata": meta}); err != nil {
				t.Fatal(err)
			}
		}
		origin := newSide(1, nil)
		if err := origin.set(uid, values); err != nil {
			t.Fatal(err)
		}
		marked, left := false, map[string]bool{}
		for _, f := range first {
			left[f] = true
		}
		sides := []*side{newSide(2, origin.rec), newSide(3, origin.rec)}
		for range rapid.IntRange(0, 8).Draw(t, "writes") {
			s := sides[rapid.IntRange(0, 1).Draw(t, "side")]
			live := s.rec.Live()
			life := LifeOf(live)
			var delta map[string][]byte
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				delta, err = life.Mark(key, live, life.Finalizers, fmt.Sprint(s.replica))
				marked = true
			case 1:
				gone := rapid.SampledFrom(all).Draw(t, "finalizer")
				delta, err = life.WithoutFinalizer(key, live, gone)
				delete(left, gone)
			default:
				delta = map[string][]byte{"/data/k": []byte(`"v"`)}
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := s.set(uid, delta); err != nil {
				t.Fatal(err)
			}
		}
		for _, joined := range []*crdt.Record{crdt.Join(sides[0].rec, sides[1].rec), crdt.Join(sides[1].rec, sides[0].rec)} {
			life := LifeOf(joined.Live())
			if slices.Sort(life.Finalizers); life.Deleting != marked || !slices.Equal(life.Finalizers, slices.Sorted(maps.Keys(left))) {
				t.Fatalf("marked %v, held by %v; want %v and %v", life.Deleting, life.Finalizers, marked, slices.Sorted(maps.Keys(left)))
			}
			for _, c := range Conflicts(key, joined) {
				if c.Field != "data.k" {
					t.Fatalf("conflict of %s: nobody has to decide that", c.Field)
				}
			}
		}
	})
}

// What a cascade makes of the finalizers, as Kubernetes has it.
func TestFinalizersOfACascade(t *testing.T) {
	for _, c := range []struct {
		has  string
		how  Cascade
		want string
	}{
		{"[]", "", "[]"}, {"[x]", "", "[x]"}, {"[x orphan]", "", "[x orphan]"}, {"[x orphan]", Background, "[x]"},
		{"[foregroundDeletion x]", Background, "[x]"}, {"[]", Foreground, "[foregroundDeletion]"}, {"[x]", Orphan, "[x orphan]"},
		{"[orphan]", Foreground, "[foregroundDeletion]"}, {"[foregroundDeletion]", Orphan, "[orphan]"},
	} {
		var life Life
		for _, f := range []string{"foregroundDeletion", "x", "orphan"} {
			if strings.Contains(c.has, f) {
				life.Finalizers = append(life.Finalizers, f)
			}
		}
		if got := fmt.Sprint(life.Finalized(c.how)); got != c.want {
			t.Errorf("%s deleted with %q: %s, want %s", c.has, c.how, got, c.want)
		}
	}
}

func TestWhereAnOwnerIs(t *testing.T) {
	for want, o := range map[Key]Owner{
		"deployments.apps/team/a":                   {APIVersion: "apps/v1", Kind: "Deployment", Name: "a"},
		"deployments.apps/team/b":                   {APIVersion: "apps/v1beta1", Kind: "Deployment", Name: "b"},
		"nodes//n":                                  {APIVersion: "v1", Kind: "Node", Name: "n"},
		"clusterroles.rbac.authorization.k8s.io//r": {APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: "r"},
	} {
		if got := o.Key("team"); got != want {
			t.Errorf("%v is at %s, want %s", o, got, want)
		}
	}
	for _, o := range []Owner{{APIVersion: "x.io/v1", Kind: "Deployment", Name: "a"}, {APIVersion: "v1", Kind: "ConfigMap"}} {
		if got := o.Key("team"); got != "" {
			t.Errorf("%v is at %s", o, got)
		}
	}
	if got := (&Owner{APIVersion: "v1", Kind: "ConfigMap", Name: "a"}).Key(""); got != "" {
		t.Errorf("what is in no namespace is owned by %s", got)
	}
}
