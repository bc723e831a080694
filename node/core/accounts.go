package core

import (
	"fmt"

	"holon/crdt"
)

// Counters are what the accounting did since boot.
type Counters struct {
	FloorsTaken, Purged   int // floors joined; tombstones that went
	StalePaths, Dropped   int // checks begun; objects that they took out
	Sifted, Superseded    int // objects not taken in, and taken out, because a context or vector says that they were deleted
	Forks, Divergences    int
	Repaired              int // records that a repair changed
	Quarantined, Poisoned int
	Brakes, Limited       int
	Fetched               int // large records asked for
	SentBack              int // objects that came back although they were purged
	Orphans               int // workloads of which only slots or revisions were left
}

// Accounts is what the accounting says of itself. Nothing of it may be changed.
type Accounts struct {
	Replica  crdt.ReplicaID
	Context  *crdt.Context
	Floor    crdt.Floor
	Held     bool // a sync waits for a confirmation
	Counters Counters
}

// Accounts shows the accounting, to checkers.
func (c *Core) Accounts() Accounts {
	return Accounts{Replica: c.store.own.replica, Context: &c.store.context, Floor: c.floors.floor, Held: c.sync.held != nil, Counters: c.store.count}
}

// Audit compares what is kept incrementally with what a scan of all records
// finds, and says what differs.
func (c *Core) Audit() (bad []string) {
	s := &c.store
	dots := 0
	var fresh tree
	for _, key := range s.keys() {
		rec := s.record(key)
		dots += len(rec.Vector)
		for r, n := range rec.Vector {
			if at, ok := s.dots.Key(crdt.Dot{Replica: r, Counter: n}); !ok || at != string(key) {
				bad = append(bad, fmt.Sprintf("dot %s:%d of %s is indexed under %q", r, n, key, at))
			}
		}
		fresh.move(key, crdt.Fingerprint{}, rec.Fingerprint(string(key)))
		if graves := rec.Graves() > 0 || len(rec.Objects) == 0; graves != s.graves[key] {
			bad = append(bad, fmt.Sprintf("%s is listed as a grave: %v", key, s.graves[key]))
		}
	}
	if dots != s.dots.Len() {
		bad = append(bad, fmt.Sprintf("%d dots are indexed, the records have %d", s.dots.Len(), dots))
	}
	if fresh != s.tree {
		bad = append(bad, "the fingerprint tree is not that of the records")
	}
	return bad
}
