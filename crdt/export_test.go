package crdt

// ForgetShadows is r without the losers that nobody is shown: what a join that
// looks right, and is not, would keep.
func ForgetShadows(r *Record) *Record {
	out := &Record{Vector: r.Vector, Objects: make(map[UID]*Object)}
	for uid, o := range r.Objects {
		bare := *o
		if o.Registers != nil {
			bare.Registers = make(map[string]Register)
		}
		for path, g := range o.Registers {
			g.more = nil
			bare.Registers[path] = g
		}
		out.Objects[uid] = &bare
	}
	return out
}
