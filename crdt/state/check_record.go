package state

import "holon/crdt"

// checkKeys: a key has three parts and a record, and nothing is stored that is
// derived.
func (c *checker) checkKeys() {
	for key, rec := range c.doc {
		if rec == nil {
			c.find(Broken, key, "there is no record under this key")
		}
		if err := key.Validate(); err != nil {
			c.find(Broken, key, "%v", err)
		}
		if r := key.Resource(); r == ReplicaSets || r == Volumes || r == StorageClasses {
			c.find(Broken, key, "%s are derived and never stored", r)
		}
	}
}

// eachWrite calls f for every write that a record still shows.
func eachWrite(rec *crdt.Record, f func(o *crdt.Object, what string, w crdt.Write)) {
	for _, o := range sortedObjects(rec) {
		f(o, "birth", o.Birth)
		if o.Dead != nil {
			f(o, "death", *o.Dead)
		}
		for _, path := range sortedPaths(o) {
			f(o, path, o.Registers[path].Write)
			for _, s := range o.Registers[path].Siblings {
				f(o, path, s.Write)
			}
		}
	}
}

// checkDots: I4 and the contract of vectors. A dot names one write, of one
// record; it carries the replica of its stamp and is covered by its record's
// vector.
func (c *checker) checkDots() {
	type use struct {
		key  Key
		time uint64
	}
	used := map[crdt.Dot]use{}
	for _, key := range c.keys {
		rec := c.doc[key]
		eachWrite(rec, func(o *crdt.Object, what string, w crdt.Write) {
			switch before, ok := used[w.Dot]; {
			case w.Dot.Replica != w.Stamp.Replica || w.Dot.Counter == 0:
				c.find(Broken, key, "%s of %s: write %s has a stamp of replica %s", what, o.UID, w.Dot, w.Stamp.Replica)
			case rec.Vector[w.Dot.Replica] < w.Dot.Counter:
				c.find(Broken, key, "%s of %s: write %s is not covered by the record's vector", what, o.UID, w.Dot)
			case ok && before.key != key:
				c.find(Broken, key, "%s of %s: dot %s names a write of %s, too", what, o.UID, w.Dot, before.key)
			case ok && before.time != w.Stamp.Time:
				c.find(Broken, key, "%s of %s: dot %s has the times %d and %d", what, o.UID, w.Dot, before.time, w.Stamp.Time)
			default:
				used[w.Dot] = use{key, w.Stamp.Time}
			}
		})
	}
}

// checkOrder: nothing of an object is written before its birth, and of the
// writes to a register the greatest is shown.
func (c *checker) checkOrder() {
	for _, key := range c.keys {
		eachWrite(c.doc[key], func(o *crdt.Object, what string, w crdt.Write) {
			if w.Stamp.Time < o.Birth.Stamp.Time {
				c.find(Broken, key, "%s of %s: written at time %d, before its birth at %d", what, o.UID, w.Stamp.Time, o.Birth.Stamp.Time)
			}
			if g, ok := o.Registers[what]; ok && g.Stamp.Compare(w.Stamp) < 0 {
				c.find(Broken, key, "%s of %s: shows the write of time %d and hides the greater one of %d", what, o.UID, g.Stamp.Time, w.Stamp.Time)
			}
		})
	}
}

// checkRanks: only homes, bindings and goodbyes outrank time.
func (c *checker) checkRanks() {
	for _, key := range c.keys {
		eachWrite(c.doc[key], func(o *crdt.Object, what string, w crdt.Write) {
			ranked := key.Resource() == Slots && what == SlotHome || key.Resource() == Members && what == MemberLeft ||
				key.Resource() == Claims && what == ClaimBinding ||
				what == oldGenerationPath
			if !ranked && w.Stamp.Rank != 0 {
				c.find(Broken, key, "%s of %s: has rank %d", what, o.UID, w.Stamp.Rank)
			}
		})
	}
}

// checkDeaths: a tombstone has no registers, and an object is filed under its
// own UID, which is never zero.
func (c *checker) checkDeaths() {
	for _, key := range c.keys {
		for uid, o := range c.doc[key].Objects {
			if o.UID != uid || uid == (crdt.UID{}) {
				c.find(Broken, key, "object %s is filed under %s", o.UID, uid)
			}
			if o.Dead != nil && len(o.Registers) > 0 {
				c.find(Broken, key, "object %s is dead and has %d registers", uid, len(o.Registers))
			}
		}
	}
}

// checkDecodes: every record makes sense by itself.
func (c *checker) checkDecodes() {
	for _, key := range c.keys {
		if err := c.errors[key]; err != nil {
			c.find(Broken, key, "%v", err)
		}
	}
}
