package state

import (
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
)

// Whoever writes a spec, on whichever side: the generation never goes back, and
// after a merge it is greater than on each side that the other had news for.
func TestGenerationGrowsAtWritesAndMerges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sides := []*replica{{id: crdt.ReplicaID{1}}, {id: crdt.ReplicaID{2}}, {id: crdt.ReplicaID{3}}}
		total := int64(0)
		write := func(r *replica) {
			r.time++
			w := crdt.Write{Dot: crdt.Dot{Replica: r.id, Counter: r.time}, Stamp: crdt.Stamp{Time: r.time, Replica: r.id}}
			live := r.rec.Live()
			rec, err := r.rec.Set(testUID, w, map[string][]byte{"/spec/x": []byte("1"), GenerationPath(r.id): NextGeneration(live, r.id)})
			if err != nil {
				t.Fatal(err)
			}
			r.rec, total = rec, total+1
		}
		of := func(r *replica) int64 {
			if r.rec == nil {
				return 0
			}
			meta, _ := r.object(t)["metadata"].(map[string]any)
			n, _ := meta["generation"].(int64)
			return n
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			r := rapid.SampledFrom(sides).Draw(t, "side")
			before := of(r)
			if rapid.Bool().Draw(t, "write") {
				write(r)
				if of(r) != before+1 {
					t.Fatalf("from %d to %d at a write", before, of(r))
				}
				continue
			}
			from := rapid.SampledFrom(sides).Draw(t, "from")
			news := !vectorOf(r.rec).Covers(vectorOf(from.rec))
			r.rec, r.time = crdt.Join(r.rec, from.rec), max(r.time, from.time)
			if after := of(r); after < before || news && after == before || after < of(from) {
				t.Fatalf("from %d to %d at a merge with %d", before, after, of(from))
			}
		}
		all := crdt.Join(crdt.Join(sides[0].rec, sides[1].rec), sides[2].rec)
		if n := of(&replica{rec: all}); n != total {
			t.Fatalf("%d writes make generation %d", total, n)
		}
	})
}

func vectorOf(rec *crdt.Record) crdt.Vector {
	if rec == nil {
		return nil
	}
	return rec.Vector
}

// What the first version of holon counted in one number goes on.
func TestGenerationGoesOnFromTheOldForm(t *testing.T) {
	o := written(map[string][]byte{oldGenerationPath: []byte("7"), GenerationPath(crdt.ReplicaID{1}): []byte("2"), "/spec/x": []byte("1")}, 1)
	obj, err := BuildObject(o)
	if n := obj["metadata"].(map[string]any)["generation"]; err != nil || n != int64(9) {
		t.Errorf("generation %v, %v", n, err)
	}
	for _, forged := range []string{"-1", "x", "9223372036854775807"} {
		write(o, map[string][]byte{GenerationPath(crdt.ReplicaID{2}): []byte(forged)}, 2)
		if obj, err := BuildObject(o); err != nil || obj["metadata"].(map[string]any)["generation"].(int64) < 9 {
			t.Errorf("%s: %v, %v", forged, obj, err)
		}
	}
}
