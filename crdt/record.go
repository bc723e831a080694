package crdt

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
)

// Bounds of what Set writes. A join of records within bounds may exceed them
// and stays readable (see Decode); the next Set that does not shrink it fails.
const (
	RegistersMax   = 4096    // per object, absent ones included: they live as long as the UID
	RecordBytesMax = 1 << 20 // of Encode
)

// Why a write is refused. No error changes anything.
var (
	ErrDead      = errors.New("object is deleted for good; make a new one under another UID")
	ErrNoObject  = errors.New("no such object in this record")
	ErrTooLarge  = errors.New("record is too large; split the object")
	ErrReused    = errors.New("dot is not newer than the replica's last write to this record; take the next one")
	ErrOutranked = errors.New("stamp is not greater than the register's; witness the record's Time, and raise the rank of a ranked register")
	ErrReplica   = errors.New("write is malformed; its dot and stamp carry one replica, and numbers from 1 to CounterMax and TimeMax")
)

// Object is one life of a name, from its birth to its death.
//
// Birth is the smallest stamp of those who created the UID: more than one where
// both sides of a partition derive the same UID. A delete wins over every write
// inside its UID, whatever their stamps: once Dead is set (the smallest stamp of
// those who deleted it) Registers is nil.
type Object struct {
	UID       UID
	Birth     Write
	Dead      *Write
	Registers map[string]Register
	unknown   []byte
}

// Record is all that is known under one key: several objects where the name was
// created on both sides of a partition, and tombstones.
//
// A record is immutable once built; every function returns a new one that may
// share parts with its arguments. A nil *Record is the empty record. The zero
// value and Decode are the only other ways to get a first one: fields are
// exported to be read.
//
// Every dot in a record is covered by its Vector: Vector[d.Replica] >= d.Counter.
type Record struct {
	Objects map[UID]*Object
	Vector  Vector
	unknown []byte
}

var empty = &Record{}

func (r *Record) orEmpty() *Record {
	if r == nil {
		return empty
	}
	return r
}

// Join returns the least record that contains both. It is commutative,
// associative and idempotent, and nil is its neutral element. Where b adds
// nothing the result is a itself.
//
// An object that only one side has goes if the other side's vector covers its
// birth: who has the last write of a replica has all its earlier ones, so the
// other side had the object, and it was deleted and purged (see Purge).
func Join(a, b *Record) *Record { return join(a, b, true) }

// Union is Join, but keeps every object. It mends what broken accounting has
// taken apart, when no vector can be trusted to say what was purged.
func Union(a, b *Record) *Record { return join(a, b, false) }

func join(a, b *Record, purged bool) *Record {
	a, b = a.orEmpty(), b.orEmpty()
	if a == b {
		return a
	}
	out := &Record{
		Objects: a.Objects,
		Vector:  a.Vector.join(b.Vector),
		unknown: joinUnknown(a.unknown, b.unknown),
	}
	changed := !a.Vector.Covers(b.Vector) || !bytes.Equal(out.unknown, a.unknown)
	copied := false
	own := func() {
		if !copied {
			out.Objects, copied = cloneWithRoom(a.Objects, len(b.Objects)), true
		}
	}
	for uid, theirs := range b.Objects {
		ours, have := a.Objects[uid]
		joined := theirs
		if have {
			joined = joinObject(ours, theirs)
		}
		if have && joined == ours || !have && purged && a.Vector.has(theirs.Birth.Dot) {
			continue
		}
		own()
		out.Objects[uid] = joined
	}
	for uid, ours := range a.Objects {
		if _, have := b.Objects[uid]; !have && purged && b.Vector.has(ours.Birth.Dot) {
			own()
			delete(out.Objects, uid)
		}
	}
	if !changed && !copied {
		return a
	}
	return out
}

func cloneWithRoom[K comparable, V any](m map[K]V, room int) map[K]V {
	if m == nil {
		return make(map[K]V, room)
	}
	return maps.Clone(m)
}

// joinObject returns a itself if b adds nothing.
func joinObject(a, b *Object) *Object {
	if a == b {
		return a
	}
	out := &Object{
		UID:     a.UID,
		Birth:   smaller(a.Birth, b.Birth),
		Dead:    earlier(a.Dead, b.Dead),
		unknown: joinUnknown(a.unknown, b.unknown),
	}
	changed := out.Birth != a.Birth || !equalWrite(out.Dead, a.Dead) || !bytes.Equal(out.unknown, a.unknown)
	if out.Dead == nil {
		var grown bool
		out.Registers, grown = joinRegisters(a.Registers, b.Registers)
		changed = changed || grown
	}
	if !changed {
		return a
	}
	return out
}

// joinRegisters reports false if b adds nothing to a, and then returns a.
func joinRegisters(a, b map[string]Register) (map[string]Register, bool) {
	out, copied := a, false
	for path, theirs := range b {
		ours, have := a[path]
		joined := theirs
		if have {
			var grown bool
			if joined, grown = joinRegister(ours, theirs); !grown {
				continue
			}
		}
		if !copied {
			out, copied = cloneWithRoom(a, len(b)), true
		}
		out[path] = joined
	}
	return out, copied
}

func smaller(a, b Write) Write {
	if b.compare(a) < 0 {
		return b
	}
	return a
}

func earlier(a, b *Write) *Write {
	if a == nil || b != nil && b.compare(*a) < 0 {
		return b
	}
	return a
}

func equalWrite(a, b *Write) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// Live returns the object that the name stands for: of the live ones the first
// born, whose containers have run the longest; nil if there is none.
func (r *Record) Live() *Object {
	var first *Object
	for _, o := range r.orEmpty().Objects {
		if o.Dead == nil && (first == nil || bornBefore(o, first)) {
			first = o
		}
	}
	return first
}

// Counter is the last write of a replica that the record contains; 0: none.
func (r *Record) Counter(replica ReplicaID) uint64 { return r.orEmpty().Vector[replica] }

// Gone reports whether no live object has the UID.
func (r *Record) Gone(uid UID) bool {
	o := r.orEmpty().Objects[uid]
	return o == nil || o.Dead != nil
}

// Buried reports whether the record has the tombstone of an object.
func (r *Record) Buried(uid UID) bool {
	o := r.orEmpty().Objects[uid]
	return o != nil && o.Dead != nil
}

func bornBefore(a, b *Object) bool {
	if c := a.Birth.Stamp.Compare(b.Birth.Stamp); c != 0 {
		return c < 0
	}
	return a.UID.Compare(b.UID) < 0
}

// Time returns the greatest Lamport time in the record; a replica that stores
// the record witnesses it (HighWater.Witness).
func (r *Record) Time() uint64 {
	var t uint64
	for _, o := range r.orEmpty().Objects {
		t = max(t, o.Birth.Stamp.Time)
		if o.Dead != nil {
			t = max(t, o.Dead.Stamp.Time)
		}
		for _, g := range o.Registers {
			t = max(t, g.lastTime())
		}
	}
	return t
}

// Set writes registers of one object, creating it with Birth w if the record
// lacks it; a nil value makes the register absent. w.Stamp.Rank holds for all
// registers of the call. One write is one Set, SetRanked or Delete of one
// record: its dot cannot be used again.
//
// It fails with ErrDead, ErrTooLarge, ErrReused, ErrOutranked or ErrReplica.
// Values are not copied.
func (r *Record) Set(uid UID, w Write, values map[string][]byte) (*Record, error) {
	r = r.orEmpty()
	if err := r.admit(w); err != nil {
		return nil, err
	}
	next := &Object{UID: uid, Birth: w.unranked()}
	var old map[string]Register
	if o, ok := r.Objects[uid]; ok {
		if o.Dead != nil {
			return nil, fmt.Errorf("set %s: %w", uid, ErrDead)
		}
		next.Birth, next.unknown, old = o.Birth, o.unknown, o.Registers
	}
	next.Registers = make(map[string]Register, len(old)+len(values))
	maps.Copy(next.Registers, old)
	for path, value := range values {
		g, ok := old[path]
		if !ok {
			next.Registers[path] = Register{Write: w, Value: value}
			continue
		}
		if w.Stamp.Compare(g.Stamp) <= 0 {
			return nil, fmt.Errorf("set %q of %s: rank %d, time %d against rank %d, time %d: %w",
				path, uid, w.Stamp.Rank, w.Stamp.Time, g.Stamp.Rank, g.Stamp.Time, ErrOutranked)
		}
		next.Registers[path] = g.overwrite(w, value)
	}
	if n := len(next.Registers); n > RegistersMax && n > len(old) {
		return nil, fmt.Errorf("set %s: %d registers, at most %d (removed ones count): %w", uid, n, RegistersMax, ErrTooLarge)
	}
	out := r.with(next, w)
	if out.sizeHint() < RecordBytesMax/2 {
		return out, nil
	}
	if size := len(out.Encode()); size > RecordBytesMax && size > len(r.Encode()) {
		return nil, fmt.Errorf("set %s: %d bytes, at most %d: %w", uid, size, RecordBytesMax, ErrTooLarge)
	}
	return out, nil
}

// SetRanked is Set of one register with Stamp.Rank set to rank.
func (r *Record) SetRanked(uid UID, w Write, path string, rank uint64, value []byte) (*Record, error) {
	w.Stamp.Rank = rank
	return r.Set(uid, w, map[string][]byte{path: value})
}

// Delete puts a tombstone on the object: Birth and Dead remain of it. It fails
// with ErrDead, ErrNoObject, ErrReused or ErrReplica.
func (r *Record) Delete(uid UID, w Write) (*Record, error) {
	r = r.orEmpty()
	if err := r.admit(w); err != nil {
		return nil, err
	}
	o, ok := r.Objects[uid]
	if !ok {
		return nil, fmt.Errorf("delete %s: %w", uid, ErrNoObject)
	}
	if o.Dead != nil {
		return nil, fmt.Errorf("delete %s: %w", uid, ErrDead)
	}
	w = w.unranked()
	return r.with(&Object{UID: uid, Birth: o.Birth, Dead: &w, unknown: o.unknown}, w), nil
}

// admit checks what every write must fulfil: I4, and the bounds that Decode
// will check again.
func (r *Record) admit(w Write) error {
	if w.Dot.Replica != w.Stamp.Replica || w.Dot.Counter == 0 || w.Dot.Counter > CounterMax || w.Stamp.Time > TimeMax {
		return fmt.Errorf("write %s at time %d of %s: %w", w.Dot, w.Stamp.Time, w.Stamp.Replica, ErrReplica)
	}
	if last := r.Vector[w.Dot.Replica]; w.Dot.Counter <= last {
		return fmt.Errorf("write %s after %d: %w", w.Dot, last, ErrReused)
	}
	return nil
}

// with returns r with one object replaced and w on its vector.
func (r *Record) with(o *Object, w Write) *Record {
	out := &Record{
		Objects: make(map[UID]*Object, len(r.Objects)+1),
		Vector:  r.Vector.with(w.Dot),
		unknown: r.unknown,
	}
	maps.Copy(out.Objects, r.Objects)
	out.Objects[o.UID] = o
	return out
}

// Equal reports whether a and b are the same element of the lattice. Equal
// records have equal encodings.
func Equal(a, b *Record) bool {
	a, b = a.orEmpty(), b.orEmpty()
	return a == b || maps.Equal(a.Vector, b.Vector) &&
		bytes.Equal(a.unknown, b.unknown) &&
		maps.EqualFunc(a.Objects, b.Objects, equalObject)
}

func equalObject(a, b *Object) bool {
	return a == b || a.UID == b.UID && a.Birth == b.Birth && equalWrite(a.Dead, b.Dead) &&
		bytes.Equal(a.unknown, b.unknown) &&
		maps.EqualFunc(a.Registers, b.Registers, equalRegister)
}
