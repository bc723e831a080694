package crdt_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"holon/crdt"
	"holon/crdt/crdttest"
)

var uid = crdt.UID{1}

// write applies one write of r to the test's only object, seen values and all.
func write(t *testing.T, r *crdttest.Replica, values map[string][]byte) crdt.Write {
	t.Helper()
	w := r.Next(0)
	if !r.Apply(crdttest.Op{Write: w, UID: uid, Values: values}) {
		t.Fatalf("write %s refused", w.Dot)
	}
	return w
}

func value(s string) map[string][]byte { return map[string][]byte{"/a": []byte(s)} }

func replicas(n int) []*crdttest.Replica {
	out := make([]*crdttest.Replica, n)
	for i := range out {
		out[i] = crdttest.NewReplica(i)
	}
	return out
}

// The counterexample of the Register comment: equal values are no conflict, but
// one of them may become one.
func TestADuplicateBecomesASiblingWhenItsTwinIsOverwritten(t *testing.T) {
	r := replicas(3)
	write(t, r[0], value("1")) // a
	write(t, r[1], value("1")) // c, concurrent
	r[2].Receive(r[0].State)
	write(t, r[2], value("9")) // d has seen a, not c
	a, c, d := r[0].Record, r[1].Record, r[2].Record

	twins := crdt.Join(a, c)
	if n := len(twins.Live().Registers["/a"].Siblings); n != 0 {
		t.Errorf("equal values are shown as a conflict of %d", n)
	}
	left, right := crdt.Join(twins, d), crdt.Join(a, crdt.Join(c, d))
	if !crdt.Equal(left, right) {
		t.Errorf("not associative:\n%s\n%s", crdttest.DescribeRecord(left), crdttest.DescribeRecord(right))
	}
	g := left.Live().Registers["/a"]
	if string(g.Value) != "9" || len(g.Siblings) != 1 || string(g.Siblings[0].Value) != "1" {
		t.Errorf("want 9 against 1, have\n%s", crdttest.DescribeRecord(left))
	}
}

func TestAWriteClearsTheSiblingsItHasSeen(t *testing.T) {
	r := replicas(3)
	for i, v := range []string{"1", "2", "3"} {
		write(t, r[i], value(v))
	}
	r[0].Receive(r[1].State)
	write(t, r[0], value("4")) // has not seen 3
	r[0].Receive(r[2].State)
	g := r[0].Record.Live().Registers["/a"]
	if string(g.Value) != "4" || len(g.Siblings) != 1 || string(g.Siblings[0].Value) != "3" {
		t.Errorf("want 4 against 3 only, have\n%s", crdttest.DescribeRecord(r[0].Record))
	}
	write(t, r[0], value("4"))
	if g := r[0].Record.Live().Registers["/a"]; len(g.Siblings) != 0 {
		t.Errorf("writing the same value again does not end the conflict: %v", g.Siblings)
	}
}

func TestARegisterKeepsTheGreatestSiblings(t *testing.T) {
	r := replicas(crdt.SiblingsMax + 3)
	for i, w := range r {
		w.Time = uint64(i)
		write(t, w, value(fmt.Sprint(i)))
		r[0].Receive(w.State)
	}
	g := r[0].Record.Live().Registers["/a"]
	have := string(g.Value)
	for _, s := range g.Siblings {
		have += string(s.Value)
	}
	if have != "65432" {
		t.Errorf("kept %s, want 65432", have)
	}
}

func TestDifferentFieldsOfBothSidesSurvive(t *testing.T) {
	r := replicas(2)
	write(t, r[0], map[string][]byte{"/a": []byte("1"), "/b": []byte("1")})
	r[1].Receive(r[0].State)
	write(t, r[0], map[string][]byte{"/a": []byte("2")})
	write(t, r[1], map[string][]byte{"/b": nil, "/c": []byte("3")})
	r[0].Receive(r[1].State)
	regs := r[0].Record.Live().Registers
	if string(regs["/a"].Value) != "2" || regs["/b"].Value != nil || string(regs["/c"].Value) != "3" {
		t.Errorf("have\n%s", crdttest.DescribeRecord(r[0].Record))
	}
}

func TestADeleteWinsOverLaterWritesInsideItsUID(t *testing.T) {
	r := replicas(2)
	born := write(t, r[0], value("1"))
	r[1].Receive(r[0].State)
	r[0].Apply(crdttest.Op{Write: r[0].Next(0), UID: uid, Delete: true})
	for range 5 {
		write(t, r[1], value("2"))
	}
	r[1].Receive(r[0].State)
	o := r[1].Record.Objects[uid]
	if o.Dead == nil || o.Registers != nil || o.Birth != born || r[1].Record.Live() != nil {
		t.Errorf("have\n%s", crdttest.DescribeRecord(r[1].Record))
	}
	if _, err := r[1].Record.Set(uid, r[1].Next(0), nil); !errors.Is(err, crdt.ErrDead) {
		t.Errorf("a write to a dead object: %v", err)
	}
	again := crdt.UID{2}
	reborn, err := r[1].Record.Set(again, r[1].Next(0), value("3"))
	if err != nil || reborn.Live().UID != again {
		t.Errorf("the name cannot be used again: %v", err)
	}
}

func TestTheFirstBornIsLive(t *testing.T) {
	r := replicas(2)
	r[1].Time = 100
	late := r[1].Next(0)
	r[1].Apply(crdttest.Op{Write: late, UID: crdt.UID{1}})
	r[0].Apply(crdttest.Op{Write: r[0].Next(0), UID: crdt.UID{9}})
	r[1].Receive(r[0].State)
	if live := r[1].Record.Live(); live.UID != (crdt.UID{9}) {
		t.Errorf("live is %s, born %v", live.UID, live.Birth)
	}
	// Both sides derive one UID: it is as old as its first birth, also if that
	// write carried a rank.
	w := r[0].Next(0)
	first, _ := r[0].Record.SetRanked(crdt.UID{1}, w, "home", 7, nil)
	w.Stamp.Rank = 0
	if o := crdt.Join(r[1].Record, first).Objects[crdt.UID{1}]; o.Birth != w {
		t.Errorf("birth %v, want %v", o.Birth, w)
	}
}

func TestRankOutranksTime(t *testing.T) {
	r := replicas(2)
	w := r[0].Next(0)
	majority, err := (*crdt.Record)(nil).SetRanked(uid, w, "home", 2, []byte("n1"))
	if err != nil {
		t.Fatal(err)
	}
	r[1].Time = 1000
	minority, _ := (*crdt.Record)(nil).SetRanked(uid, r[1].Next(0), "home", 1, []byte("n2"))
	joined := crdt.Join(minority, majority)
	if g := joined.Live().Registers["home"]; string(g.Value) != "n1" {
		t.Errorf("home is %s", g.Value)
	}
	if joined.Time() != 1001 {
		t.Errorf("the loser's time counts too: %d", joined.Time())
	}
	if _, err := joined.SetRanked(uid, r[1].Next(0), "home", 1, []byte("n2")); !errors.Is(err, crdt.ErrOutranked) {
		t.Errorf("a known higher rank was overwritten: %v", err)
	}
	if next, err := joined.SetRanked(uid, r[1].Next(0), "home", 3, []byte("n2")); err != nil || string(next.Live().Registers["home"].Value) != "n2" {
		t.Errorf("a higher rank was refused: %v", err)
	}
}

func TestWritesThatAreRefused(t *testing.T) {
	r := replicas(2)
	w := write(t, r[0], value("1"))
	tooMany := map[string][]byte{}
	for i := range crdt.RegistersMax {
		tooMany[fmt.Sprint(i)] = nil
	}
	next := r[0].Next(0)
	stale := next
	stale.Stamp.Time = w.Stamp.Time
	foreign := next
	foreign.Stamp.Replica = r[1].ID
	for _, c := range []struct {
		name   string
		w      crdt.Write
		values map[string][]byte
		want   error
	}{
		{"a dot twice", w, value("2"), crdt.ErrReused},
		{"a stamp twice", stale, value("2"), crdt.ErrOutranked},
		{"dot and stamp of two replicas", foreign, value("2"), crdt.ErrReplica},
		{"no counter", crdt.Write{}, value("2"), crdt.ErrReplica},
		{"too many registers", next, tooMany, crdt.ErrTooLarge},
		{"too many bytes", next, value(strings.Repeat("x", crdt.RecordBytesMax)), crdt.ErrTooLarge},
	} {
		before := r[0].Record.Encode()
		if _, err := r[0].Record.Set(uid, c.w, c.values); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if string(before) != string(r[0].Record.Encode()) {
			t.Errorf("%s changed the record", c.name)
		}
	}
	if _, err := r[0].Record.Delete(crdt.UID{7}, next); !errors.Is(err, crdt.ErrNoObject) {
		t.Errorf("deleting nothing: %v", err)
	}
	if _, err := r[0].Record.Set(uid, next, value("2")); err != nil {
		t.Errorf("the good write: %v", err)
	}
}

// A join may exceed what Set allows. It must stay readable, and a write that
// makes it smaller must be possible.
func TestARecordThatGrewByJoiningCanBeReadAndShrunk(t *testing.T) {
	r := replicas(2)
	half := strings.Repeat("x", crdt.RecordBytesMax*3/4)
	write(t, r[0], map[string][]byte{"/a": []byte(half)})
	write(t, r[1], map[string][]byte{"/b": []byte(half)})
	r[0].Receive(r[1].State)
	read, err := crdt.Decode(r[0].Record.Encode())
	if err != nil || !crdt.Equal(read, r[0].Record) {
		t.Fatalf("not readable: %v", err)
	}
	if _, err := read.Set(uid, r[0].Next(0), map[string][]byte{"/c": []byte("1")}); !errors.Is(err, crdt.ErrTooLarge) {
		t.Errorf("grew further: %v", err)
	}
	if _, err := read.Set(uid, r[0].Next(0), map[string][]byte{"/b": nil}); err != nil {
		t.Errorf("cannot be shrunk: %v", err)
	}
}

func TestJoinReturnsItsFirstArgumentIfNothingIsNew(t *testing.T) {
	r := replicas(2)
	write(t, r[0], value("1"))
	old := r[0].Record
	write(t, r[0], value("2"))
	copied, _ := crdt.Decode(r[0].Record.Encode())
	for _, b := range []*crdt.Record{nil, old, r[0].Record, copied} {
		if crdt.Join(r[0].Record, b) != r[0].Record {
			t.Errorf("a new record for nothing new:\n%s", crdttest.DescribeRecord(b))
		}
	}
}
