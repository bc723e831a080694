package core

import (
	"slices"
	"testing"
	"time"

	"holon/crdt"
	"holon/crdt/state"
)

// sentTo lists the kinds of the frames for a peer.
func sentTo(ready Ready, peer string) (kinds []byte) {
	for _, e := range ready.Send {
		if string(e.To) == peer {
			kinds = append(kinds, e.Frame[0])
		}
	}
	return kinds
}

// A newcomer has no record of anybody, so nobody is live to it. It must go on asking
// whoever is connected, or one lost frame leaves it empty (seed 1566 of the histories).
func TestANewcomerAsksAgain(t *testing.T) {
	c := newSpreader(t)
	now := Instant(time.Second)
	if got := sentTo(c.Step(now, PeerUp{Peer: "p2"}), "p2"); !slices.Contains(got, kindDigest) {
		t.Fatalf("frames of kinds %v at first sight, no digest", got)
	}
	digests := 0
	for range 20 { // all of them are lost
		now += 500 * time.Millisecond
		if slices.Contains(sentTo(c.Step(now, Woke{}), "p2"), kindDigest) {
			digests++
		}
	}
	if digests < 5 {
		t.Errorf("%d digests in ten seconds", digests)
	}

	other := digestBody{Context: [32]byte{1}, Epoch: 1, Seq: 1, Answer: true}
	c.Step(now, Received{From: "p2", Frame: encodeMessage(kindDigest, other)})
	pulls := 0
	for range 20 {
		now += time.Second
		if slices.Contains(sentTo(c.Step(now, Woke{}), "p2"), kindPull) {
			pulls++
		}
	}
	if pulls < pullTries {
		t.Errorf("the pull was tried %d times more", pulls)
	}
}

// What a peer holds dead it must name, too: its tombstone may never be sent (seed 1556
// of the histories).
func TestACheckNamesTombstones(t *testing.T) {
	c := newSpreader(t)
	writeOne(t, c, "dead", 10)
	writeOne(t, c, "alive", 10)
	key := func(name string) state.Key { return state.MakeKey(state.ConfigMaps, "default", name) }
	dead, alive := c.store.record(key("dead")).Live(), c.store.record(key("alive")).Live()
	if err := c.bury(key("dead")); err != nil {
		t.Fatal(err)
	}
	item := func(name string, o *crdt.Object) checkItem {
		return checkItem{Key: key(name), UID: o.UID, By: o.Birth.Dot.Replica, At: o.Birth.Dot.Counter}
	}
	unborn := checkItem{Key: key("unborn"), UID: crdt.UID{7}, By: crdt.ReplicaID{9}, At: 1}
	items := []checkItem{item("alive", alive), item("dead", dead), unborn}
	c.Step(2, PeerUp{Peer: "p2"})
	ready := c.Step(3, Received{From: "p2", Frame: encodeMessage(kindCheck, checkBody{ID: 1, Round: 1, Items: items})})
	for _, e := range ready.Send {
		if e.Frame[0] != kindGone {
			continue
		}
		var gone goneBody
		if err := decodeMessage(e.Frame, &gone); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(gone.Gone, []int{1}) {
			t.Errorf("gone are %v, want the second", gone.Gone)
		}
		return
	}
	t.Fatal("no answer")
}
