package crdttest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"holon/crdt"
)

// Describe is what a record must show, from the set of all writes in it and
// nothing else: the reference that Join is compared with. It knows no join; it
// replays everything, in the words of the rules.
//
//   - An object is born by the smallest stamp of its writes and dead once any of
//     them deleted it.
//   - A register's winner is the greatest stamp of the writes to it. In conflict
//     with it are those writes to it that no other write to it has seen and
//     whose value differs from the winner's, of each replica the last.
//   - A register forgets all but the last writes of the SiblingsMax+1 replicas
//     that wrote last.
func Describe(ops map[crdt.Dot]*Op) string {
	byUID := map[crdt.UID][]*Op{}
	vector := crdt.Vector{}
	for dot, op := range ops {
		byUID[op.UID] = append(byUID[op.UID], op)
		vector[dot.Replica] = max(vector[dot.Replica], dot.Counter)
	}
	var out strings.Builder
	for _, uid := range sortedKeys(byUID, crdt.UID.Compare) {
		describeObject(&out, uid, byUID[uid])
	}
	describeVector(&out, vector)
	return out.String()
}

func describeObject(out *strings.Builder, uid crdt.UID, ops []*Op) {
	var birth, dead *Op
	byPath := map[string][]*Op{}
	for _, op := range ops {
		if op.Delete {
			if dead == nil || before(op, dead) {
				dead = op
			}
			continue
		}
		if birth == nil || before(op, birth) {
			birth = op
		}
		for path := range op.Values {
			byPath[path] = append(byPath[path], op)
		}
	}
	fmt.Fprintf(out, "%s born %s", uid, birth.Dot)
	if dead != nil {
		fmt.Fprintf(out, " dead %s\n", dead.Dot)
		return
	}
	fmt.Fprintln(out)
	for _, path := range sortedKeys(byPath, cmp.Compare[string]) {
		describeRegister(out, path, byPath[path])
	}
}

// before compares births and deaths, whose rank does not count.
func before(a, b *Op) bool {
	x, y := a.Stamp, b.Stamp
	x.Rank, y.Rank = 0, 0
	return x.Compare(y) < 0
}

func describeRegister(out *strings.Builder, path string, writes []*Op) {
	slices.SortFunc(writes, func(a, b *Op) int { return b.Stamp.Compare(a.Stamp) })
	seen := map[crdt.Dot]bool{}
	for _, w := range writes {
		for dot := range w.Seen {
			seen[dot] = true
		}
	}
	winner := writes[0]
	fmt.Fprintf(out, "  %s = %s by %s", path, describeValue(winner.Values[path]), winner.Dot)
	replicas := map[crdt.ReplicaID]bool{winner.Dot.Replica: true}
	for _, w := range writes[1:] {
		if replicas[w.Dot.Replica] {
			continue
		}
		if len(replicas) > crdt.SiblingsMax {
			break
		}
		replicas[w.Dot.Replica] = true
		value := w.Values[path]
		if !seen[w.Dot] && describeValue(value) != describeValue(winner.Values[path]) {
			fmt.Fprintf(out, ", against %s by %s", describeValue(value), w.Dot)
		}
	}
	fmt.Fprintln(out)
}

// DescribeRecord is the same text from a record.
func DescribeRecord(r *crdt.Record) string {
	r = crdt.Join(r, nil) // nil is the empty record
	var out strings.Builder
	for _, uid := range sortedKeys(r.Objects, crdt.UID.Compare) {
		o := r.Objects[uid]
		fmt.Fprintf(&out, "%s born %s", o.UID, o.Birth.Dot)
		if o.Dead != nil {
			fmt.Fprintf(&out, " dead %s", o.Dead.Dot)
		}
		fmt.Fprintln(&out)
		for _, path := range sortedKeys(o.Registers, cmp.Compare[string]) {
			g := o.Registers[path]
			fmt.Fprintf(&out, "  %s = %s by %s", path, describeValue(g.Value), g.Dot)
			for _, s := range g.Siblings {
				fmt.Fprintf(&out, ", against %s by %s", describeValue(s.Value), s.Dot)
			}
			fmt.Fprintln(&out)
		}
	}
	describeVector(&out, r.Vector)
	return out.String()
}

func describeVector(out *strings.Builder, v crdt.Vector) {
	for _, r := range sortedKeys(v, crdt.ReplicaID.Compare) {
		fmt.Fprintf(out, "%s:%d\n", r, v[r])
	}
}

func describeValue(v []byte) string {
	if v == nil {
		return "absent"
	}
	return fmt.Sprintf("%q", v)
}

func sortedKeys[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	out := make([]K, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, compare)
	return out
}
