package core

import (
	"encoding/binary"
	"errors"
	"fmt"

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
)

// contextEvery bounds how often the context is written again: forgetting
// coverage is safe (I5), so it may lag.
const contextEvery = 2 * 1e9 // nanoseconds

// store holds the records and the accounting of their dots:
//
//	I1  every dot of a record's vector is in the context
//	I2  a dot in the context is contained in some record here
//	I4  a dot is issued at most once: counters are reserved in blocks on disk
type store struct {
	entries map[state.Key]*entry
	order   []state.Key // sorted, nil when stale
	context crdt.Context
	high    crdt.HighWater
	token   uint64
	// incarnation of the failure detector that was saved last.
	incarnation uint64

	unsent    []packedRecord // written in this Step, not broadcast yet
	contextAt Instant        // when the context went to disk last
	contextOf [32]byte       // hash of the context on disk
	dirty     bool           // the context differs from the one on disk
}

// entry is one record, encoded.
type entry struct {
	encoded []byte
	vector  crdt.Vector
	token   uint64
}

func (s *store) keys() []state.Key {
	if s.order == nil {
		s.order = sortedKeys(s.entries)
	}
	return s.order
}

// record decodes a stored record; nil if there is none. What is stored was
// decoded before, so it decodes.
func (s *store) record(key state.Key) *crdt.Record {
	e := s.entries[key]
	if e == nil {
		return nil
	}
	rec, err := crdt.Decode(e.encoded)
	if err != nil {
		panic(fmt.Sprintf("core: stored record %s does not decode: %v", key, err))
	}
	return rec
}

func (c *Core) loadStore(load func(prefix string, f func(key string, value []byte) error) error) error {
	s := &c.store
	s.entries = map[state.Key]*entry{}
	err := load("m/", func(key string, value []byte) (err error) {
		switch key {
		case diskContext:
			s.context, err = crdt.DecodeContext(value)
		case diskHigh:
			var marks crdt.Marks
			err = cbor.Unmarshal(value, &marks)
			s.high = crdt.Resume(marks)
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
		rec, err := crdt.Decode(value)
		if err != nil {
			return fmt.Errorf("record %s: %w", key, err)
		}
		s.put(state.Key(key[len(diskRecords):]), rec, append([]byte(nil), value...))
		s.high.Witness(rec.Time())
		return nil
	})
	if err != nil {
		return fmt.Errorf("core: load records: %w", err)
	}
	// Own counters up to the reserved mark are issued or will never be.
	s.context.AddThrough(c.cfg.Replica, s.high.Persisted().Counter)
	return nil
}

func (c *Core) persist(key string, value []byte) {
	c.out.Persist = append(c.out.Persist, crdt.KV{Key: key, Value: value})
}

// put stores a record in memory and claims its dots.
func (s *store) put(key state.Key, rec *crdt.Record, encoded []byte) *entry {
	s.token++
	if s.entries[key] == nil {
		s.order = nil
	}
	e := &entry{encoded: encoded, vector: rec.Vector, token: s.token}
	s.entries[key] = e
	s.context.AddVector(rec.Vector)
	s.dirty = true
	return e
}

// commit makes a changed record durable and visible, and everything that
// follows from it.
func (c *Core) commit(key state.Key, rec *crdt.Record) *entry {
	encoded := rec.Encode()
	e := c.store.put(key, rec, encoded)
	c.persist(diskRecords+string(key), encoded)
	c.out.Changed = append(c.out.Changed, Change{Key: key, Record: rec, Token: e.token})
	c.reindex(key)
	return e
}

// write changes one record with a new dot of this replica and offers it to the
// peers. change gets the present record and must use the write given.
func (c *Core) write(key state.Key, change func(rec *crdt.Record, w crdt.Write) (*crdt.Record, error)) error {
	old := c.store.record(key)
	high := c.store.high
	if high.Left() == 0 {
		var marks crdt.Marks
		high, marks = high.Reserve()
		c.out.Persist = append(c.out.Persist, EncodeReserved(marks))
	}
	w, ok := high.Next(c.cfg.Replica)
	if !ok {
		return errExhausted
	}
	rec, err := change(old, w)
	if err != nil {
		return err // the dot was never used
	}
	c.store.high = high
	e := c.commit(key, rec)
	c.store.unsent = append(c.store.unsent, packedRecord{Key: key, Record: e.encoded})
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
func Disown() []crdt.KV { return []crdt.KV{{Key: diskContext}} }

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

// join takes a record of a peer.
func (c *Core) join(p packedRecord) error {
	if err := p.Key.Validate(); err != nil {
		return err
	}
	theirs, err := crdt.Decode(p.Record)
	if err != nil {
		return fmt.Errorf("record %s: %w", p.Key, err)
	}
	if theirs.Time() > c.store.high.Time()+timeJumpMax {
		return fmt.Errorf("record %s: %w", p.Key, errJump)
	}
	ours := c.store.record(p.Key)
	joined := crdt.Join(ours, theirs)
	c.store.high.Witness(theirs.Time())
	if ours != nil && joined == ours {
		return nil
	}
	c.commit(p.Key, joined)
	c.merged(p.Key, ours, theirs, joined)
	return nil
}

// flushWrites offers what this Step wrote to all peers, in frames that the mesh
// carries; a record too large for one goes by anti-entropy.
func (c *Core) flushWrites() {
	var body putBody
	size := 0
	flush := func() {
		if len(body.Records) > 0 {
			c.send("", kindPut, body)
			body, size = putBody{}, 0
		}
	}
	for _, p := range c.store.unsent {
		n := len(p.Key) + len(p.Record) + 16
		if n > putBytesMax {
			c.sync.offer = true
			continue
		}
		if size+n > putBytesMax {
			flush()
		}
		body.Records, size = append(body.Records, p), size+n
	}
	flush()
	c.store.unsent = nil
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
	s.dirty, s.contextAt = false, c.now
	if h := s.context.Hash(); h != s.contextOf {
		s.contextOf = h
		c.persist(diskContext, s.context.Encode())
	}
}
