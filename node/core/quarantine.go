package core

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"holon/crdt"
	"holon/crdt/state"
	"holon/p2p"
)

// Bounds of what is put aside.
const (
	quarantineMax      = 1000
	quarantineBytesMax = 16 << 20
	quarantineKept     = 30 * 24 * time.Hour // of this node's uptime
	uptimeEvery        = time.Hour           // how exactly uptime is remembered
)

// Beyond both of them a stale path stops and asks: a tenth of all objects here.
const (
	brakeObjects = 20
	brakeShare   = 10
)

var errForeignIndex = errors.New("an answer names an object that was not asked about")

// quarantined is what a node took out of its records, or did not take in, on
// disk for whoever misses it. The newest is kept; nothing reads it but people.
type quarantined struct {
	Key    state.Key     `cbor:"1,keyasint"`
	Why    string        `cbor:"2,keyasint"`
	Record []byte        `cbor:"3,keyasint"`
	Uptime time.Duration `cbor:"4,keyasint"` // of this node when it was put aside
}

type quarantineEntry struct {
	disk   string
	key    state.Key
	why    string
	bytes  int
	uptime time.Duration
}

type quarantine struct {
	entries []quarantineEntry // the oldest first
	bytes   int
	seq     uint64
	before  time.Duration // uptime of earlier boots
	saved   Instant       // when uptime was saved last
}

func (c *Core) loadQuarantine(load func(prefix string, f func(key string, value []byte) error) error) error {
	q := &c.aside
	return load(diskAside, func(disk string, value []byte) error {
		var item quarantined
		if err := cbor.Unmarshal(value, &item); err != nil {
			item.Why = "does not decode: " + err.Error()
		}
		q.entries = append(q.entries, quarantineEntry{disk, item.Key, item.Why, len(value), item.Uptime})
		q.bytes += len(value)
		return nil
	})
}

func (c *Core) uptime() time.Duration { return c.aside.before + c.now - c.booted }

// quarantine puts an encoded record aside.
func (c *Core) quarantine(key state.Key, record []byte, why string) {
	q := &c.aside
	value, err := cbor.Marshal(quarantined{Key: key, Why: why, Record: record, Uptime: c.uptime()})
	if err != nil {
		panic(fmt.Sprintf("core: a quarantined record does not encode: %v", err)) // plain data
	}
	if len(value) > quarantineBytesMax {
		return
	}
	q.seq++
	disk := fmt.Sprintf("%s%016x%08x/%s", diskAside, c.cfg.Epoch, q.seq, key)
	c.persist(disk, value)
	q.entries = append(q.entries, quarantineEntry{disk, key, why, len(value), c.uptime()})
	q.bytes += len(value)
	c.store.count.Quarantined++
	c.fact(true, key, "Quarantined", "%s: %s", key, why)
	c.shrinkQuarantine()
}

func (c *Core) shrinkQuarantine() {
	q := &c.aside
	for len(q.entries) > 0 {
		oldest := q.entries[0]
		if len(q.entries) <= quarantineMax && q.bytes <= quarantineBytesMax && c.uptime()-oldest.uptime <= quarantineKept {
			return
		}
		c.persist(oldest.disk, nil)
		q.entries, q.bytes = q.entries[1:], q.bytes-oldest.bytes
	}
}

// tickQuarantine remembers uptime, by which what was put aside gets old.
func (c *Core) tickQuarantine() {
	q := &c.aside
	if len(q.entries) == 0 || c.now < q.saved+uptimeEvery && q.saved != 0 {
		return
	}
	q.saved = c.now
	c.persist(diskUptime, encodeNumber(uint64(c.uptime())))
	c.shrinkQuarantine()
}

// poison names a record that cannot be taken and puts it aside, once.
func (c *Core) poison(from p2p.PeerID, p packedRecord, err error) {
	c.store.count.Poisoned++
	c.members.complain(c, from, err)
	why := fmt.Sprintf("refused from peer %s: %v", from, err)
	if p.Key.Validate() != nil || len(p.Record) > crdt.DecodeBytesMax {
		return
	}
	if !slices.ContainsFunc(c.aside.entries, func(e quarantineEntry) bool { return e.key == p.Key && e.why == why }) {
		c.quarantine(p.Key, p.Record, why)
	}
}

// held is a stale path that would drop so much that a person has to agree.
type held struct {
	peer  p2p.PeerID
	count int
	of    int
}

// braked stops a stale path that would drop too much, unless it was confirmed.
func (c *Core) braked(from p2p.PeerID, k *check) bool {
	s := &c.sync
	if k.count < brakeObjects || k.count*brakeShare < c.objects() || s.confirmed {
		s.held, s.confirmed = nil, false
		return false
	}
	if s.held == nil || s.held.count != k.count {
		c.store.count.Brakes++
		c.fact(true, "", "SyncHeld", "peer %s says that %d objects of this node were deleted while it was away; nothing is dropped until you confirm it with `holon sync confirm` on this node", from, k.count)
	}
	s.held = &held{peer: from, count: k.count, of: c.objects()}
	s.pause[from] = c.now + brakePause
	return true
}

// brakePause is how long a peer is left alone whose word would drop too much.
const brakePause = 10 * time.Second

func (c *Core) confirmSync() error {
	if c.sync.held == nil {
		return errNothingHeld
	}
	c.sync.confirmed = true
	clear(c.sync.pause)
	c.sync.offer = true
	return nil
}

var errNothingHeld = errors.New("no sync of this node waits for a confirmation")

// objects counts what may be dropped: about one object per record.
func (c *Core) objects() int { return len(c.store.entries) }

// QuarantineView is one thing that was put aside, for `holon status`.
type QuarantineView struct {
	Disk string
	Key  state.Key
	Why  string
	Age  time.Duration
}

// HeldView is a sync that waits for a confirmation.
type HeldView struct {
	Peer    p2p.PeerID
	Objects int
	Of      int
}

func (c *Core) quarantineView() []QuarantineView {
	var list []QuarantineView
	for _, e := range c.aside.entries {
		list = append(list, QuarantineView{strings.TrimPrefix(e.disk, diskAside), e.key, e.why, c.uptime() - e.uptime})
	}
	return list
}
