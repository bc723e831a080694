package crdt_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/crdttest"
)

func TestRecordsJoinByTheLaws(t *testing.T) {
	crdttest.LawsWithin(t, crdttest.Records(), crdt.Join, crdt.Equal)
}

func TestTheEmptyRecordIsNeutral(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, r := range crdttest.Records().Draw(t, "records") {
			if !crdt.Equal(crdt.Join(r, nil), r) || !crdt.Equal(crdt.Join(nil, r), r) {
				t.Fatalf("joined with nothing, it is no longer\n%s", crdttest.DescribeRecord(r))
			}
		}
	})
}

// In the manner of etcd raft's quorum/quick_test.go: the fast way must agree
// with the obvious one.
func TestRecordsShowWhatAReplayOfAllWritesShows(t *testing.T) {
	conflicts, dead, full := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		states := crdttest.Histories().Draw(t, "history")
		pick := rapid.SampledFrom(states)
		for range 10 {
			states = append(states, pick.Draw(t, "left").Join(pick.Draw(t, "right")))
		}
		for _, s := range states {
			want, have := crdttest.Describe(s.Ops), crdttest.DescribeRecord(s.Record)
			if want != have {
				t.Fatalf("a replay of all writes shows\n%s\nbut the record\n%s", want, have)
			}
			for _, o := range s.Record.Objects {
				if o.Dead != nil {
					dead++
				}
				for _, g := range o.Registers {
					conflicts += len(g.Siblings)
					if len(g.Siblings) == crdt.SiblingsMax {
						full++
					}
				}
			}
		}
	})
	t.Logf("%d siblings, %d full registers, %d dead objects", conflicts, full, dead)
	if conflicts == 0 || dead == 0 || full == 0 {
		t.Errorf("histories too tame: %d siblings, %d full registers, %d dead objects", conflicts, full, dead)
	}
}

// What one replica had, a later state of it contains: the ground of I2.
func TestWhoeverHasTheVectorHasTheWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		states := crdttest.Records().Draw(t, "records")
		for _, a := range states {
			for _, b := range states {
				if a.Vector.Covers(b.Vector) && !crdt.Equal(crdt.Join(a, b), a) {
					t.Fatalf("%s\ncovers the vector of, yet does not contain\n%s",
						crdttest.DescribeRecord(a), crdttest.DescribeRecord(b))
				}
			}
		}
	})
}

func TestJoinLeavesItsArgumentsAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		states := crdttest.Records().Draw(t, "records")
		a, b := rapid.SampledFrom(states).Draw(t, "a"), rapid.SampledFrom(states).Draw(t, "b")
		before := [][]byte{a.Encode(), b.Encode()}
		crdt.Join(a, b)
		if !bytes.Equal(a.Encode(), before[0]) || !bytes.Equal(b.Encode(), before[1]) {
			t.Fatal("Join changed an argument")
		}
	})
}

// The laws are only worth something if they catch joins that break them. Each of
// these is a mistake somebody has made.
func TestTheLawsCatchPlantedBugs(t *testing.T) {
	for _, planted := range []struct {
		name  string
		join  func(a, b *crdt.Record) *crdt.Record
		equal func(a, b *crdt.Record) bool
	}{
		{"the last to arrive wins", func(a, b *crdt.Record) *crdt.Record { return b }, crdt.Equal},
		{"the longer vector wins", func(a, b *crdt.Record) *crdt.Record {
			if len(b.Vector) > len(a.Vector) {
				return b
			}
			return a
		}, crdt.Equal},
		{"the registers of an object come from the later birth", func(a, b *crdt.Record) *crdt.Record {
			out := &crdt.Record{Vector: crdt.Join(a, b).Vector, Objects: map[crdt.UID]*crdt.Object{}}
			for uid, o := range crdt.Join(a, b).Objects {
				out.Objects[uid] = o
				if mine, ok := a.Objects[uid]; ok {
					out.Objects[uid] = mine
				}
			}
			return out
		}, crdt.Equal},
		{"losers of equal value are forgotten at once", func(a, b *crdt.Record) *crdt.Record {
			return crdt.ForgetShadows(crdt.Join(crdt.ForgetShadows(a), crdt.ForgetShadows(b)))
		}, func(a, b *crdt.Record) bool { return crdt.Equal(crdt.ForgetShadows(a), crdt.ForgetShadows(b)) }},
	} {
		t.Run(planted.name, func(t *testing.T) {
			const tries = 5000
			gen := crdttest.Records()
			for seed := range tries {
				states := gen.Example(seed)
				n := len(states)
				a, b, c := states[seed%n], states[(seed*7+3)%n], states[(seed*13+5)%n]
				if err := crdttest.Violation(a, b, c, planted.join, planted.equal); err != nil {
					law, _, _ := strings.Cut(err.Error(), "\n")
					t.Logf("caught in history %d: %s", seed, law)
					return
				}
			}
			t.Errorf("not caught in %d histories", tries)
		})
	}
}
