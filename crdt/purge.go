package crdt

import "maps"

// Purge removes the tombstones whose birth and death are under the floor, and
// returns r itself where there are none. The vector stays: what it says was
// written is no less true.
//
// It is sound for objects with one birth only: where two sides create one UID,
// the birth is the smaller one, and a purged death would not cover the other. So
// whatever may be deleted gets a UID of the write that makes it; only what is
// never deleted (members, tokens) may share one.
func (r *Record) Purge(under func(Dot) bool) *Record {
	var gone []UID
	for uid, o := range r.orEmpty().Objects {
		if o.Dead != nil && under(o.Birth.Dot) && under(o.Dead.Dot) {
			gone = append(gone, uid)
		}
	}
	return r.Without(gone)
}

// Spent reports whether nothing is left of a record but dots under the floor:
// then the record itself may go.
func (r *Record) Spent(under func(Dot) bool) bool {
	r = r.orEmpty()
	if len(r.Objects) > 0 {
		return false
	}
	for replica, n := range r.Vector {
		if !under(Dot{replica, n}) {
			return false
		}
	}
	return true
}

// Graves counts the tombstones of a record.
func (r *Record) Graves() (count int) {
	for _, o := range r.orEmpty().Objects {
		if o.Dead != nil {
			count++
		}
	}
	return count
}

// Without is r without some objects, with the vector that it had; r itself where
// it has none of them.
func (r *Record) Without(uids []UID) *Record {
	r = r.orEmpty()
	out := r
	for _, uid := range uids {
		if _, has := r.Objects[uid]; !has {
			continue
		}
		if out == r {
			out = &Record{Objects: maps.Clone(r.Objects), Vector: r.Vector, unknown: r.unknown}
		}
		delete(out.Objects, uid)
	}
	return out
}

// Only is r with nothing but some of its objects.
func (r *Record) Only(uids []UID) *Record {
	r = r.orEmpty()
	out := &Record{Objects: make(map[UID]*Object, len(uids)), Vector: r.Vector}
	for _, uid := range uids {
		if o, has := r.Objects[uid]; has {
			out.Objects[uid] = o
		}
	}
	return out
}

// Sift is the ingest rule: it takes out of a record that arrives every object
// that ours lacks although its birth is in the context. By I2 the context says
// that ours has had the object, so it was deleted and purged. The vector stays,
// so that nobody sends it again.
func (r *Record) Sift(ours *Record, has func(Dot) bool) (kept *Record, purged []UID) {
	for uid, o := range r.orEmpty().Objects {
		if _, here := ours.orEmpty().Objects[uid]; !here && has(o.Birth.Dot) {
			purged = append(purged, uid)
		}
	}
	return r.Without(purged), purged
}
