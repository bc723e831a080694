package core

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"holon/crdt"
	"holon/crdt/state"
)

// Keys of what the store keeps on disk. The shell adds its own under "n/".
const (
	diskRecords = "r/" // + key: an encoded record
	diskContext = "m/context"
	diskHigh    = "m/high"
	diskSwim    = "m/incarnation"
	diskFloor   = "m/floor"
	diskMet     = "m/met"    // see identity
	diskUptime  = "m/uptime" // see quarantine
	diskAside   = "x/"       // + boot and number, key: what was put aside
)

// contextEvery bounds how often the context is written again: forgetting
// coverage is safe (I5), so it may lag.
const contextEvery = 2 * 1e9 // nanoseconds

// store holds the records and the accounting of their dots:
//
//	I1  every dot of a record's vector is in the context
//	I2  a dot in the context is contained in some record here, or was purged
//	I4  a dot is issued at most once: counters are reserved in blocks on disk
type store struct {
	entries map[state.Key]*Stored
	recent  recent
	order   []state.Key // sorted, nil when stale
	dots    crdt.DotIndex
	graves  map[state.Key]bool // records with tombstones, or with nothing but dots
	context crdt.Context
	high    crdt.HighWater
	own     identity
	tree    tree
	count   Counters
	token   uint64
	scratch []byte // room to encode in
	// incarnation of the failure detector that was saved last.
	incarnation uint64

	outbox    outbox
	contextAt Instant  // when the context went to disk last
	contextOf [32]byte // hash of the context on disk
	dirty     bool     // the context differs from the one on disk
}

// Stored is one state of a record, encoded. It never changes, so whoever shows it
// to readers may share it.
type Stored struct {
	encoded []byte
	print   crdt.Fingerprint
	token   uint64
}

// recent is the one record that is held decoded: an event that changes a record
// reads it several times.
type recent struct {
	stored *Stored
	record *crdt.Record
}

// Record decodes the record; its values are parts of what is stored. What is
// stored was decoded before, so it decodes.
func (e *Stored) Record() *crdt.Record {
	rec, err := crdt.View(e.encoded)
	if err != nil {
		panic(fmt.Sprintf("core: a stored record does not decode: %v", err))
	}
	return rec
}

func (e *Stored) vector() crdt.Vector { return crdt.ViewVector(e.encoded) }

func (s *store) keys() []state.Key {
	if s.order == nil {
		s.order = sortedKeys(s.entries)
	}
	return s.order
}

// record decodes a stored record; nil if there is none.
func (s *store) record(key state.Key) *crdt.Record {
	e := s.entries[key]
	if e == nil {
		return nil
	}
	if s.recent.stored != e {
		s.recent = recent{e, e.Record()}
	}
	return s.recent.record
}

func (c *Core) loadStore(load func(prefix string, f func(key string, value []byte) error) error) error {
	s := &c.store
	s.entries, s.graves = map[state.Key]*Stored{}, map[state.Key]bool{}
	err := load("m/", func(key string, value []byte) (err error) {
		switch key {
		case diskContext:
			s.context, err = crdt.DecodeContext(value)
		case diskHigh:
			var marks crdt.Marks
			err = cbor.Unmarshal(value, &marks)
			s.high = crdt.Resume(marks)
		case diskFloor:
			var floor crdt.Floor
			if floor, err = crdt.DecodeFloor(value); err == nil {
				c.floors.set(floor)
			}
		case diskMet:
			s.own.marked = true
			s.own.met, err = decodeNumber(value)
		case diskUptime:
			var before uint64
			before, err = decodeNumber(value)
			c.aside.before = time.Duration(before)
		case diskSwim:
			if len(value) == 8 {
				s.incarnation = binary.BigEndian.Uint64(value)
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("core: load marks: %w", err)
	}
	err = load(diskRecords, func(key string, value []byte) error {
		value = bytes.Clone(value)
		rec, err := crdt.View(value)
		if err != nil {
			return fmt.Errorf("record %s: %w", key, err)
		}
		s.put(state.Key(key[len(diskRecords):]), rec, value)
		if at := state.Key(key[len(diskRecords):]); unplanned(at) {
			c.index.followLife(at, rec) // New looks at all others
		}
		s.high.Witness(rec.Time())
		return nil
	})
	if err != nil {
		return fmt.Errorf("core: load records: %w", err)
	}
	c.loadIdentity()
	return nil
}

func encodeNumber(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func decodeNumber(value []byte) (uint64, error) {
	if len(value) != 8 {
		return 0, fmt.Errorf("a number of %d bytes", len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

func (c *Core) persist(key string, value []byte) {
	c.out.Persist = append(c.out.Persist, crdt.KV{Key: key, Value: value})
}

// put stores a record in memory and claims its dots.
func (s *store) put(key state.Key, rec *crdt.Record, encoded []byte) *Stored {
	s.token++
	before := s.entries[key]
	if before == nil {
		s.order = nil
		before = &Stored{}
	}
	e := &Stored{encoded: encoded, print: rec.Fingerprint(string(key)), token: s.token}
	s.entries[key], s.recent = e, recent{e, rec}
	s.dots.Move(string(key), before.vector(), rec.Vector)
	s.tree.move(key, before.print, e.print)
	s.bury(key, rec)
	s.context.AddVector(rec.Vector)
	s.dirty = true
	return e
}

// bury keeps the list of records that may be purged one day.
func (s *store) bury(key state.Key, rec *crdt.Record) {
	if rec.Graves() > 0 || len(rec.Objects) == 0 {
		s.graves[key] = true
	} else {
		delete(s.graves, key)
	}
}

// drop forgets a record of which nothing is left.
func (s *store) drop(key state.Key) {
	s.token++
	e := s.entries[key]
	s.dots.Move(string(key), e.vector(), nil)
	s.tree.move(key, e.print, crdt.Fingerprint{})
	delete(s.entries, key)
	delete(s.graves, key)
	s.order = nil
}

// commit makes a changed record durable and visible, and everything that
// follows from it. What may be purged of it, is.
func (c *Core) commit(key state.Key, rec *crdt.Record) *Stored {
	whole := rec
	c.ownersDied(key, whole)
	rec = rec.Purge(c.purgeable)
	c.depart(whole, rec)
	c.store.count.Purged += len(whole.Objects) - len(rec.Objects)
	c.store.scratch = rec.AppendTo(c.store.scratch[:0])
	encoded := bytes.Clone(c.store.scratch) // as small as can be: it stays in memory
	e := c.store.put(key, rec, encoded)
	change := Change{Key: key, Record: rec, Token: e.token, Stored: e}
	if rec.Spent(c.purgeable) {
		c.store.drop(key)
		change.Record, change.Stored, encoded = nil, nil, nil
	}
	c.persist(diskRecords+string(key), encoded)
	c.out.Changed = append(c.out.Changed, change)
	c.reindex(key, change.Record)
	return e
}

// write changes one record with a new dot of this replica; Spread offers it to the
// peers. change gets the present record and must use the write given.
func (c *Core) write(key state.Key, change func(rec *crdt.Record, w crdt.Write) (*crdt.Record, error)) error {
	old := c.store.record(key)
	high := c.store.high
	if high.Left() == 0 {
		var marks crdt.Marks
		high, marks = high.Reserve()
		c.out.Persist = append(c.out.Persist, EncodeReserved(marks))
	}
	w, ok := high.Next(c.store.own.replica)
	if !ok {
		return errExhausted
	}
	rec, err := change(old, w)
	if err != nil {
		return err // the dot was never used
	}
	c.store.high = high
	c.store.own.last = w.Dot.Counter
	c.commit(key, rec)
	if !c.cfg.Passive {
		c.store.outbox.add(key, w.Dot)
	}
	return nil
}

// set is write of some registers of one object.
func (c *Core) set(key state.Key, uid crdt.UID, values map[string][]byte) error {
	return c.write(key, func(rec *crdt.Record, w crdt.Write) (*crdt.Record, error) { return rec.Set(uid, w, values) })
}

func (c *Core) setRanked(key state.Key, uid crdt.UID, path string, rank uint64, value []byte) error {
	return c.write(key, func(rec *crdt.Record, w crdt.Write) (*crdt.Record, error) {
		return rec.SetRanked(uid, w, path, rank, value)
	})
}

// bury deletes every live object of a record.
func (c *Core) bury(key state.Key) error {
	for {
		live := c.store.record(key).Live()
		if live == nil {
			return nil
		}
		err := c.write(key, func(rec *crdt.Record, w crdt.Write) (*crdt.Record, error) { return rec.Delete(live.UID, w) })
		if err != nil {
			return err
		}
	}
}

// errExhausted cannot happen in the life of a cluster: 63 bits of counters.
var errExhausted = errors.New("this replica has used up its counters: join again with an empty data directory")

// Reserved is the highest counter that a batch reserves, for a shell that keeps
// it outside the store too; false if it reserves none.
func Reserved(batch []crdt.KV) (counter uint64, reserves bool) {
	for _, kv := range batch {
		var marks crdt.Marks
		if kv.Key == diskHigh && cbor.Unmarshal(kv.Value, &marks) == nil {
			counter, reserves = max(counter, marks.Counter), true
		}
	}
	return counter, reserves
}

// Disown is what a shell deletes in the batch that makes a replica ID fresh:
// claims that a rolled-back or damaged database cannot stand by. Forgetting them
// is safe (I5); the records that are here are claimed again by New.
func Disown() []crdt.KV { return []crdt.KV{{Key: diskContext}, {Key: diskFloor}} }

// EncodeReserved is the pair that reserves marks, as Reserved reads it.
func EncodeReserved(m crdt.Marks) crdt.KV { return crdt.KV{Key: diskHigh, Value: encodeMarks(m)} }

func encodeMarks(m crdt.Marks) []byte {
	text, err := cbor.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("core: marks do not encode: %v", err)) // two numbers
	}
	return text
}

// errJump refuses a Lamport time that no honest peer can have reached.
var errJump = errors.New("record's Lamport time is too far ahead of ours")

// timeJumpMax is how far a peer may be ahead: more writes than a cluster makes
// in years.
const timeJumpMax = 1 << 40

// join takes a record of a peer, without what was deleted and purged here.
func (c *Core) join(p packedRecord) error { return c.take(p, false) }

// take is join, or for a repair the plain union with what was sent.
func (c *Core) take(p packedRecord, repair bool) error {
	if err := p.Key.Validate(); err != nil {
		return err
	}
	theirs, err := crdt.View(p.Record) // of this message alone
	if err != nil {
		return fmt.Errorf("record %s: %w", p.Key, err)
	}
	if theirs.Time() > c.store.high.Time()+timeJumpMax {
		return fmt.Errorf("record %s: %w", p.Key, errJump)
	}
	ours := c.store.record(p.Key)
	if c.suspectRecord(ours, theirs) {
		ours = c.store.record(p.Key) // under another replica ID now
	}
	c.store.high.Witness(theirs.Time())
	merge := crdt.Join
	if repair || state.Lasting(p.Key) {
		merge = crdt.Union
	} else if c.cfg.Ablate != IngestRule {
		var purged []crdt.UID
		theirs, purged = theirs.Sift(ours, c.store.context.Has)
		c.store.count.Sifted += len(purged)
	}
	joined := merge(ours, theirs)
	if ours != nil && joined == ours || ours == nil && joined.Spent(c.purgeable) {
		return nil
	}
	c.setAside(p.Key, ours, joined)
	if repair {
		c.store.count.Repaired++
	}
	c.commit(p.Key, joined)
	c.merged(p.Key, ours, theirs, joined)
	c.sendBack(p.Key, joined)
	return nil
}

// setAside keeps live objects that a peer's record shows to have been purged.
func (c *Core) setAside(key state.Key, before, after *crdt.Record) {
	var lost []crdt.UID
	if before != nil {
		for uid, o := range before.Objects {
			if o.Dead == nil && after.Objects[uid] == nil {
				lost = append(lost, uid)
			}
		}
	}
	if len(lost) > 0 {
		c.store.count.Superseded += len(lost)
		c.quarantine(key, before.Only(lost).Encode(), "deleted elsewhere and purged there")
	}
}

// persistMarks writes the context along with other things, or by itself when it
// has been dirty for long enough.
func (c *Core) persistMarks() {
	s := &c.store
	if !s.dirty {
		return
	}
	if due := s.contextAt + contextEvery; c.now < due && s.contextAt != 0 {
		c.wake(due)
		return
	}
	c.saveContext()
}

func (c *Core) saveContext() {
	s := &c.store
	s.dirty, s.contextAt = false, c.now
	if h := s.context.Hash(); h != s.contextOf {
		s.contextOf = h
		c.persist(diskContext, s.context.Encode())
	}
}
