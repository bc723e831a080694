package state

import (
	"encoding/json"
	"maps"
	"slices"

	"holon/crdt"
)

func (c *checker) eachSlot(f func(key Key, s *Slot)) {
	for _, key := range slices.Sorted(maps.Keys(c.slots)) {
		s := c.slots[key]
		f(key, &s)
	}
}

// checkSlotIdentity: a slot has one record under one key. Objects that both
// sides of a partition made are cut down to one.
func (c *checker) checkSlotIdentity() {
	at := map[SlotID]Key{}
	c.eachSlot(func(key Key, s *Slot) {
		if other, twice := at[s.ID]; twice {
			c.find(Broken, key, "the slot is under %s, too", other)
		}
		at[s.ID] = key
		for _, rival := range s.Rivals {
			c.find(Unsettled, key, "its object %s has the rival %s", s.UID, rival)
		}
	})
}

// checkSlotOwners: a slot says whose it is from its first write on. The owner is
// a workload of the slot's namespace; it may be on its way, or be gone with the
// slot's burial on the way.
func (c *checker) checkSlotOwners() {
	c.eachSlot(func(key Key, s *Slot) {
		resource, namespace, _ := s.Owner.Split()
		w := c.workloads[s.ID.Workload]
		switch {
		case s.Owner == "":
			c.find(Broken, key, "it has no owner")
		case !IsWorkload(resource):
			c.find(Broken, key, "its owner %s is not a workload", s.Owner)
		case namespace != s.Namespace:
			c.find(Broken, key, "its owner %s lives in another namespace", s.Owner)
		case w != nil && w.Key != s.Owner:
			c.find(Broken, key, "its workload is %s, not its owner %s", w.Key, s.Owner)
		case w != nil:
		case c.known[s.ID.Workload]:
			c.find(Unsettled, key, "its owner %s is gone, it is not buried", s.Owner)
		case c.errors[s.Owner] == nil:
			c.find(Unsettled, key, "its owner %s with UID %s is not here", s.Owner, s.ID.Workload)
		}
	})
}

// checkHomes: a home is a node with a term, and the term is the rank of its
// write, of losing writes too: that is what makes the greatest term win.
func (c *checker) checkHomes() {
	c.eachSlot(func(key Key, s *Slot) {
		switch {
		case s.Home == (Home{}):
			c.find(Unsettled, key, "it has no home yet")
			return
		case s.Home.Term == 0:
			c.find(Broken, key, "home %s has no term", s.Home.Node)
		case s.Home.Node == "": // it waits for the node that has its volume, as long as it is wanted
			if w := c.workloads[s.ID.Workload]; w != nil && !w.Daemon() && w.Counts(s.ID.Index) {
				c.find(Unsettled, key, "it has no home any more")
			}
		}
		o, _ := liveSlot(c.doc[key])
		g := o.Registers[SlotHome]
		if g.Stamp.Rank != s.Home.Term {
			c.find(Broken, key, "term %d is written with rank %d", s.Home.Term, g.Stamp.Rank)
		}
		for _, sibling := range g.Siblings {
			var lost Home
			if err := json.Unmarshal(sibling.Value, &lost); err != nil || lost.Term != sibling.Stamp.Rank || lost.Term > s.Home.Term {
				c.find(Broken, key, "a losing home of rank %d is %s", sibling.Stamp.Rank, sibling.Value)
			}
		}
	})
}

// checkStandIns: a stand-in is named for a home that its writer has seen, so its
// basis is never ahead of the term. That it is another node is no rule: a merge of
// two homes may make it the same, and then it does not count (HasStandIn).
func (c *checker) checkStandIns() {
	c.eachSlot(func(key Key, s *Slot) {
		if s.StandIn == (StandIn{}) {
			return
		}
		switch {
		case s.StandIn.Node == "" || s.StandIn.Basis == 0:
			c.find(Broken, key, "stand-in %q on basis %d", s.StandIn.Node, s.StandIn.Basis)
		case s.StandIn.Basis > s.Home.Term:
			c.find(Broken, key, "stand-in %s is based on term %d, the home's is %d", s.StandIn.Node, s.StandIn.Basis, s.Home.Term)
		}
	})
}

// checkRuns: a slot runs a revision; make-before-break keeps another one. Its
// template is stored, or the workload's own; it may be on its way.
func (c *checker) checkRuns() {
	c.eachSlot(func(key Key, s *Slot) {
		if s.Run.Revision == "" {
			c.find(Broken, key, "it runs no revision")
			return
		}
		if s.Run.Prev == s.Run.Revision {
			c.find(Broken, key, "revision %s replaces itself", s.Run.Revision)
		}
		w := c.workloads[s.ID.Workload]
		if w == nil || w.OneTemplate() || !w.Daemon() && !w.Counts(s.ID.Index) {
			return // nobody runs it; a bare pod is its own template
		}
		for _, revision := range []string{s.Run.Revision, s.Run.Prev} {
			if revision != "" && revision != w.Revision && !c.revisions[revisionKey(s.Namespace, w.UID, revision)] {
				c.find(Unsettled, key, "the template of revision %s is not here", revision)
			}
		}
	})
}

// checkSlotNodes: homes and stand-ins are members, whose records may be on their
// way.
func (c *checker) checkSlotNodes() {
	c.eachSlot(func(key Key, s *Slot) {
		for what, node := range map[string]string{"home": s.Home.Node, "stand-in": s.StandIn.Node} {
			if node != "" && !c.names[node] {
				c.find(Unsettled, key, "no member bears the name of its %s %s", what, node)
			}
		}
	})
}

func revisionKey(namespace string, workload crdt.UID, hash string) Key {
	return MakeKey(Revisions, namespace, workload.String()+"-"+hash)
}
