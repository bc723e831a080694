package core

import (
	"slices"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
)

// Gossip of what was written here.
const (
	haveBytes = 16 << 10 // larger records are offered, not sent
	fetchMax  = 64       // records asked for at once
)

// outbox is what was written here since the last Spread.
type outbox struct {
	dots  map[state.Key]crdt.Dot
	order []state.Key
}

func (o *outbox) add(key state.Key, d crdt.Dot) {
	if o.dots == nil {
		o.dots = map[state.Key]crdt.Dot{}
	}
	if _, waits := o.dots[key]; !waits {
		o.order = append(o.order, key)
	}
	o.dots[key] = d
}

// Spread offers to the peers what was written here since the last call. A shell
// calls it once per batch, when it hands the batch to the disk, and sends the
// envelopes once that is durable. So the disk sets the pace: what one sync makes
// durable shares a frame, and a write that comes alone waits for nothing.
func (c *Core) Spread() []Envelope {
	o := c.store.outbox
	c.store.outbox = outbox{}
	var frames [][]byte
	var put putBody
	var have haveBody
	size := 0
	flush := func() {
		if len(put.Records) > 0 {
			frames = append(frames, encodeMessage(kindPut, put))
			put, size = putBody{}, 0
		}
	}
	for _, key := range o.order {
		e, d := c.store.entries[key], o.dots[key]
		if e == nil {
			continue // purged meanwhile
		}
		n := len(key) + len(e.encoded) + 16
		if n > haveBytes {
			have.Records = append(have.Records, haveRecord{Key: key, By: d.Replica, At: d.Counter, Size: n})
			continue
		}
		if size+n > putBytesMax {
			flush()
		}
		put.Records, size = append(put.Records, packedRecord{Key: key, Record: e.encoded}), size+n
	}
	flush()
	for few := range slices.Chunk(have.Records, fetchMax) {
		frames = append(frames, encodeMessage(kindHave, haveBody{Records: few}))
	}
	return c.members.address(frames)
}

// address says how frames for all get to them. Whoever is connected with
// everybody needs nobody to pass his words on: that costs a frame per peer, where
// gossip costs each peer several. Gossip carries them as well while somebody is
// there whom only others reach, and alone where there are too many to connect.
func (m *members) address(frames [][]byte) []Envelope {
	if len(frames) == 0 {
		return nil
	}
	direct, relayed := m.connectedPeers(), false
	if len(direct) > p2p.PeersDialledMax {
		direct, relayed = nil, true
	}
	for peer, b := range m.byPeer {
		relayed = relayed || b.live && !m.connected[peer]
	}
	var sent []Envelope
	for _, frame := range frames {
		for _, peer := range direct {
			sent = append(sent, Envelope{To: peer, Frame: frame})
		}
		if relayed {
			sent = append(sent, Envelope{Frame: frame})
		}
	}
	return sent
}

// receiveHave asks for the large records that are not here yet.
func (c *Core) receiveHave(from p2p.PeerID, body haveBody) {
	var fetch fetchBody
	for _, h := range body.Records {
		if !c.store.context.Has(crdt.Dot{Replica: h.By, Counter: h.At}) && len(fetch.Keys) < fetchMax {
			fetch.Keys = append(fetch.Keys, h.Key)
		}
	}
	if len(fetch.Keys) > 0 {
		c.store.count.Fetched += len(fetch.Keys)
		c.send(from, kindFetch, fetch)
	}
}
