package core

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
)

func newSpreader(t interface{ Fatal(...any) }) *Core {
	nothing := func(string, func(string, []byte) error) error { return nil }
	c, err := New(Config{Node: "n1", Peer: "p1", Cluster: "c", Replica: crdt.ReplicaID{1}, Epoch: 1}, 1, nothing)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// introduce makes a peer a member, live or not, connected or not.
func (c *Core) introduce(peer p2p.PeerID, live, connected bool) {
	c.members.byPeer[peer] = &member{peer: peer, live: live}
	if connected {
		c.members.connected[peer] = true
	}
}

func writeOne(t interface{ Fatal(...any) }, c *Core, name string, size int) {
	key := state.MakeKey(state.ConfigMaps, "default", name)
	err := c.write(key, func(rec *crdt.Record, w crdt.Write) (*crdt.Record, error) {
		uid := crdt.UID{9}
		if live := rec.Live(); live != nil {
			uid = live.UID
		}
		return rec.Set(uid, w, map[string][]byte{"/data/k": state.EncodeRegister(string(bytes.Repeat([]byte{'x'}, size)))})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What Spread gives to any one peer holds the newest state of each record that was
// written since the last call, or the offer of it, once, in frames that fit.
func TestSpreadOffersEachWriteOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newSpreader(t)
		c.introduce("p2", true, true)
		c.introduce("p3", true, true)
		for range rapid.IntRange(1, 3).Draw(t, "batches") {
			want := map[state.Key]bool{}
			for range rapid.IntRange(0, 40).Draw(t, "writes") {
				name := fmt.Sprint("k", rapid.IntRange(0, 15).Draw(t, "key"))
				writeOne(t, c, name, rapid.SampledFrom([]int{10, 3000, 20_000, 60_000}).Draw(t, "size"))
				want[state.MakeKey(state.ConfigMaps, "default", name)] = true
			}
			sent := c.Spread()
			for _, peer := range []p2p.PeerID{"p2", "p3"} {
				got := map[state.Key]bool{}
				note := func(key state.Key) {
					if got[key] {
						t.Fatalf("%s is offered twice to %s", key, peer)
					}
					got[key] = true
				}
				for _, e := range sent {
					if e.To != peer {
						continue
					}
					if len(e.Frame) > p2p.BroadcastBytesMax {
						t.Fatalf("a frame of %d bytes", len(e.Frame))
					}
					for key, encoded := range RecordsIn(e.Frame) {
						if !bytes.Equal(encoded, c.store.entries[key].encoded) {
							t.Fatalf("%s is not sent as it is", key)
						}
						note(key)
					}
					if e.Frame[0] == kindHave {
						var have haveBody
						if err := decodeMessage(e.Frame, &have); err != nil {
							t.Fatal(err)
						}
						for _, h := range have.Records {
							if c.store.entries[h.Key].vector()[h.By] != h.At {
								t.Fatalf("%s is offered under a dot that it lacks", h.Key)
							}
							note(h.Key)
						}
					}
				}
				if len(got) != len(want) {
					t.Fatalf("%d records are offered to %s, %d were written", len(got), peer, len(want))
				}
			}
		}
		if again := c.Spread(); len(again) > 0 {
			t.Fatalf("%d envelopes with nothing written", len(again))
		}
	})
}

// Who gets a frame: each connected member directly, and everybody by gossip if
// somebody is there whom this node does not reach, or if they are too many.
func TestSpreadGoesDirectlyOrByGossip(t *testing.T) {
	many := func(c *Core) {
		for i := range p2p.PeersDialledMax + 1 {
			c.introduce(p2p.PeerID(fmt.Sprint("q", i)), true, true)
		}
	}
	for _, test := range []struct {
		name string
		make func(*Core)
		want []p2p.PeerID
	}{
		{"alone", func(*Core) {}, nil},
		{"all connected", func(c *Core) { c.introduce("p2", true, true); c.introduce("p3", true, true) }, []p2p.PeerID{"p2", "p3"}},
		{"one is dead", func(c *Core) { c.introduce("p2", true, true); c.introduce("p3", false, false) }, []p2p.PeerID{"p2"}},
		{"others reach one", func(c *Core) { c.introduce("p2", true, true); c.introduce("p3", true, false) }, []p2p.PeerID{"p2", ""}},
		{"connected, not yet judged", func(c *Core) { c.introduce("p2", false, true) }, []p2p.PeerID{"p2"}},
		{"connected, its record is still to come", func(c *Core) { c.members.connected["p2"] = true }, []p2p.PeerID{"p2"}},
		{"connected, has left", func(c *Core) {
			c.introduce("p2", false, true)
			c.members.byPeer["p2"].Left = true
		}, nil},
		{"too many", many, []p2p.PeerID{""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newSpreader(t)
			test.make(c)
			writeOne(t, c, "a", 10)
			var to []p2p.PeerID
			for _, e := range c.Spread() {
				to = append(to, e.To)
			}
			if !slices.Equal(to, test.want) {
				t.Errorf("sent to %q, want %q", to, test.want)
			}
		})
	}
}

// The mesh's words make and end a direct way.
func TestConnectionsAreFollowed(t *testing.T) {
	c := newSpreader(t)
	c.Step(2, PeerUp{Peer: "p2"})
	if got := c.members.connectedPeers(); !slices.Equal(got, []p2p.PeerID{"p2"}) {
		t.Fatalf("connected after PeerUp: %q", got)
	}
	c.Step(3, PeerDown{Peer: "p2"})
	if got := c.members.connectedPeers(); len(got) > 0 {
		t.Fatalf("connected after PeerDown: %q", got)
	}
}

// Digests of nodes that began together drift apart, and keep their mean.
func TestDigestsDriftApart(t *testing.T) {
	a, b := newSyncer(1), newSyncer(2)
	var atA, atB, apart Instant
	const rounds = 1000
	for range rounds {
		x, y := a.apart(digestEvery), b.apart(digestEvery)
		for _, d := range []Instant{x, y} {
			if d < digestEvery*3/4 || d >= digestEvery*5/4 {
				t.Fatalf("a digest after %v", d)
			}
		}
		atA, atB = atA+x, atB+y
		apart = max(apart, max(atA, atB)-min(atA, atB))
	}
	if mean := atA / rounds; mean < digestEvery*9/10 || mean > digestEvery*11/10 {
		t.Errorf("one digest in %v", mean)
	}
	if apart < digestEvery {
		t.Errorf("at most %v apart in %d rounds", apart, rounds)
	}
}
