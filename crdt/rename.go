package crdt

// CoversReplica reports whether what o has of one replica is in c.
func (c *Context) CoversReplica(o *Context, r ReplicaID) bool {
	return c.replicas[r].covers(o.replicas[r])
}

// Forget takes every dot of a replica out of the set, which is always safe (I5).
func (c *Context) Forget(r ReplicaID) { delete(c.replicas, r) }

// Counter is the last counter issued.
func (h HighWater) Counter() uint64 { return h.last.Counter }

// Rename gives the writes of one replica beyond a counter to another, with their
// counters and times: a node whose database was rolled back has used dots again
// that name other writes elsewhere. to must be a new replica. path says where a
// register of an object goes whose last write is renamed.
func (r *Record) Rename(from, to ReplicaID, above uint64, path func(string) string) *Record {
	r = r.orEmpty()
	write := func(w Write) Write {
		if w.Dot.Replica == from && w.Dot.Counter > above {
			w.Dot.Replica, w.Stamp.Replica = to, to
		}
		return w
	}
	out := &Record{Objects: make(map[UID]*Object, len(r.Objects)), Vector: make(Vector, len(r.Vector)+1), unknown: r.unknown}
	last := uint64(0) // of from's writes that keep their name
	stays := func(w Write) {
		if w.Dot.Replica == from {
			last = max(last, w.Dot.Counter)
		}
	}
	for uid, o := range r.Objects {
		next := *o
		next.Birth = write(o.Birth)
		stays(next.Birth)
		if o.Dead != nil {
			dead := write(*o.Dead)
			next.Dead = &dead
			stays(dead)
		}
		if o.Registers != nil {
			next.Registers = make(map[string]Register, len(o.Registers))
		}
		for at, g := range o.Registers {
			if write(g.Write) != g.Write {
				at = path(at)
			}
			var room [SiblingsMax + 1]entry
			es := g.entries(room[:0])
			for i := range es {
				es[i].Write = write(es[i].Write)
				stays(es[i].Write)
			}
			next.Registers[at] = arrange(keep(es), g.unknown())
		}
		out.Objects[uid] = &next
	}
	for replica, n := range r.Vector {
		if replica != from || n <= above {
			out.Vector[replica] = n
			continue
		}
		out.Vector[to] = n
		if last > 0 {
			out.Vector[from] = last
		}
	}
	return out
}

// Forked reports whether a and b show different writes under one dot of r: then
// r has issued it twice.
func Forked(a, b *Record, r ReplicaID) bool {
	a, b = a.orEmpty(), b.orEmpty()
	if a.Vector[r] == 0 || b.Vector[r] == 0 {
		return false
	}
	times := map[uint64]uint64{}
	a.eachWriteOf(r, func(w Write) { times[w.Dot.Counter] = w.Stamp.Time })
	forked := false
	b.eachWriteOf(r, func(w Write) {
		time, both := times[w.Dot.Counter]
		forked = forked || both && time != w.Stamp.Time
	})
	return forked
}

func (r *Record) eachWriteOf(replica ReplicaID, f func(Write)) {
	see := func(w Write) {
		if w.Dot.Replica == replica {
			f(w)
		}
	}
	for _, o := range r.Objects {
		see(o.Birth)
		if o.Dead != nil {
			see(*o.Dead)
		}
		for _, g := range o.Registers {
			see(g.Write)
			for _, s := range g.Siblings {
				see(s.Write)
			}
		}
	}
}
