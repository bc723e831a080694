package core

import (
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
)

// Gossip of what was written here.
const (
	putSpacing = 5 * time.Millisecond // between puts: GossipSub carries about 1,100 messages a second
	haveBytes  = 16 << 10             // larger records are offered, not sent
	fetchMax   = 64                   // records asked for at once
)

// outbox is what was written here and not offered yet. The first write after a
// pause goes at once; those that follow within putSpacing share a frame.
type outbox struct {
	dots  map[state.Key]crdt.Dot
	order []state.Key
	sent  Instant // when the last frame went
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

// flushWrites offers what was written here to all peers, in frames that the mesh
// carries.
func (c *Core) flushWrites() {
	o := &c.store.outbox
	if len(o.order) == 0 {
		return
	}
	if due := o.sent + putSpacing; c.now < due && o.sent != 0 {
		c.wake(due)
		return
	}
	var put putBody
	var have haveBody
	size := 0
	flush := func() {
		if len(put.Records) > 0 {
			c.send("", kindPut, put)
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
	for ; len(have.Records) > 0; have.Records = have.Records[min(len(have.Records), fetchMax):] {
		c.send("", kindHave, haveBody{Records: have.Records[:min(len(have.Records), fetchMax)]})
	}
	*o = outbox{sent: c.now}
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
